"""What is wrong with what `monai-place doctor` has found, and the line that mends it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from monai_place.cli.machine import EXTRAS

__all__ = ["find_problems", "fitting_torchvision"]

Problem = dict[str, str]
Found = Mapping[str, Any]
Entries = Iterator[tuple[str, str, str]]  # part, problem, fix

PIP = "pip install"
EXTRA = "pip install 'monai-place[{}]'"
ANEW = "pip install --force-reinstall --no-deps --no-cache-dir {}"
COMPILE = "pip install --no-build-isolation --no-deps --force-reinstall --no-cache-dir {}"
LITE = f"pip uninstall -y mmcv-lite && {ANEW.format('onedl-mmcv')}"
IMAUG = f"pip uninstall -y imgaug && {ANEW.format('imaug')}"
FORKS = (
    "pip uninstall -y mmengine mmcv mmcv-lite mmdet mmsegmentation && "
    "pip install --force-reinstall --no-deps onedl-mmengine onedl-mmcv onedl-mmdetection onedl-mmsegmentation"
)
ALSO = {"mm": ("operators",)}  # what is tried for an extra beside what it brings
# By the name it is imported by: the distribution that brings it, where that is another.
DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python",
    "ignite": "pytorch-ignite",
    "imgaug": "imaug",
    "monai_place": "monai-place",
    "operators": "monai-place",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
# What the text of an error says -> the line that mends it; the first that is found.
KNOWN = (
    (r"libGL|libgthread", "pip uninstall -y opencv-python && " + ANEW.format("'opencv-python-headless<4.13'")),
    (r"pkg_resources", "pip install 'setuptools<82'"),
    (r"is used but incompatible|MM\w+==", FORKS),
    (r"No module named '?imgaug", "pip install imaug"),
    (r"No module named '?mmcv\.ops|cannot import name 'ops' from 'mmcv'", LITE),  # mmcv-lite is mmcv without them
    (r"np\.\w+`? was removed", IMAUG),  # the imgaug from before numpy 2
    (r"Numba needs NumPy", "pip install 'numpy<2.3'"),
)


def find_problems(found: Found, *, asked: Collection[str]) -> list[Problem]:
    """Return each problem as {"part", "problem", "fix"}; a part is "core", "gpu", an extra, or "operators".

    What is of the "operators" is in nobody's way: the stand-in serves.

    Args:
        found: what `monai_place.cli.doctor.examine` gathers.
        asked: the parts that are wanted: what is merely not there is a problem of these alone.
    """
    steps = (_missing_core, _torchvision, _broken, _blind, _families, _numbers, _operators)
    problems = [entry for step in steps for entry in step(found)]
    absent = [*_missing_extras(found), *_no_gpu(found)]
    problems += [entry for entry in absent if entry[0] in asked]
    return [{"part": part, "problem": problem, "fix": fix} for part, problem, fix in problems]


def fitting_torchvision(torch: str) -> str | None:
    """Return the torchvision (major and minor) that belongs to a torch, None for a torch that is not known.

    Example:
        >>> fitting_torchvision("2.12.1+cu130")
        '0.27'
    """
    parts = re.match(r"2\.(\d+)", torch)
    return f"0.{int(parts[1]) + 15}" if parts else None  # 2.0 came with 0.15, and so on since


def _missing_core(found: Found) -> Entries:
    for name, version in found["versions"].items():
        if version is None:
            yield "core", f"{name} is missing", f"{PIP} monai-place"


def _missing_extras(found: Found) -> Entries:
    for extra, names in found["extras"].items():
        missing = set(names)
        if extra == "mm":  # one toolbox is enough, and each needs what it imports
            toolboxes = {"mmdet", "mmseg"}
            missing &= {"mmengine", "mmcv", *(toolboxes if toolboxes <= missing else ())}
            missing |= {"pycocotools"} & set(names) if "mmdet" not in names else set()
        if missing:
            yield extra, f"not installed: {', '.join(name for name in names if name in missing)}", EXTRA.format(extra)


def _torchvision(found: Found) -> Entries:
    torch, torchvision = found["versions"]["torch"], found["versions"]["torchvision"]
    if torch is None or torchvision is None or found["imports"].get("torch"):
        return
    fits, error = fitting_torchvision(torch), found["imports"].get("torchvision")
    if fits is not None and not torchvision.startswith(f"{fits}."):
        problem = f"torchvision {torchvision} does not belong to torch {torch}, torchvision {fits} does"
        yield "core", problem + (f" ({error})" if error else ""), ANEW.format(f"'torchvision=={fits}.*'")
    elif error:
        both = f"'torch=={torch.partition('+')[0]}' 'torchvision=={torchvision.partition('+')[0]}'"
        problem = f"torchvision {torchvision} was not built for this build of torch {torch} ({error})"
        yield "core", problem, f"{PIP} --force-reinstall {both}"


def _broken(found: Found) -> Entries:
    """Report what is there and does not import; each error once, by the package that the others stand on."""
    told = set()
    for name, error in found["imports"].items():
        if not error or name == "torchvision" or error in told:
            continue
        told.add(error)
        part = next((extra for extra, names in EXTRAS.items() if name in (*names, *ALSO.get(extra, ()))), "core")
        title = "monai_place.mm" if name == "operators" else name
        yield part, f"{title} does not import ({error})", _mend(name, error, found)


def _mend(name: str, error: str, found: Found) -> str:
    for pattern, fix in KNOWN:
        if re.search(pattern, error):
            return fix
    missing = re.search(r"No module named '(\w+)", error)
    if missing and missing[1] not in (name, *found["openmmlab"]):
        return f"{PIP} {DISTRIBUTIONS.get(missing[1], missing[1])}"
    if missing and not found["openmmlab"].get(missing[1], name):
        return EXTRA.format("mm")
    distributions = found["openmmlab"].get(name) or [DISTRIBUTIONS.get(name, name)]
    return ANEW.format(next(iter(distributions)))


def _no_gpu(found: Found) -> Entries:
    if not found["nvidia"] and len(found["devices"]) == 1:
        yield "gpu", "there is no NVIDIA GPU, or its driver is not installed", "install the driver of your NVIDIA GPU"


def _blind(found: Found) -> Entries:
    """Report a GPU that torch does not see."""
    if not found["nvidia"] or len(found["devices"]) > 1 or found["imports"].get("torch", "") is not None:
        return
    if found["cuda"] is None:
        torch = found["versions"]["torch"].partition("+")[0]
        yield "gpu", "this torch was built without CUDA", f"{PIP} --force-reinstall 'torch=={torch}'"
    else:
        why = found["cuda_warning"] or "the driver does not answer, or is too old"
        yield "gpu", f"torch (CUDA {found['cuda']}) sees no GPU: {why}", "update the driver of your NVIDIA GPU"


def _families(found: Found) -> Entries:
    """Report a fork and its upstream side by side: they write into the same folder."""
    for name, distributions in found["openmmlab"].items():
        if len(distributions) > 1:
            first, *others = distributions
            problem = f"{' and '.join(distributions)} both bring {name}, and have overwritten each other's files"
            yield "mm", problem, f"pip uninstall -y {' '.join(others)} && {ANEW.format(first)}"


def _numbers(found: Found) -> Entries:
    numpy, optional = found["versions"]["numpy"], found["optional"]
    if numpy is None:
        return
    version = tuple(int(part) for part in re.findall(r"\d+", numpy)[:2])
    if "imaug" in optional and version >= (2, 3):
        yield "mm", f"imaug, which mmdet imports, needs numpy < 2.3 and this is {numpy}", f"{PIP} 'numpy<2.3'"
    if "imgaug" in optional and version >= (2, 0):
        yield "mm", f"imgaug, which mmdet imports, breaks with numpy 2; imaug is its maintained fork ({numpy})", IMAUG


def _operators(found: Found) -> Entries:
    again = COMPILE.format(next(iter(found["openmmlab"].get("mmcv") or ["onedl-mmcv"])))
    if found["operators"] == "compiled" and found["operators_cuda"] is None and len(found["devices"]) > 1:
        yield "mm", "mmcv's operators are compiled for the CPU alone, and this machine has a GPU", again
    if found["operators_error"]:
        problem = f"mmcv's compiled operators do not load, and the stand-in serves ({found['operators_error']})"
        yield "operators", problem, again
