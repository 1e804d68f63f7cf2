from __future__ import annotations

from typing import Any

import pytest

from monai_place.cli.diagnosis import find_problems, fitting_torchvision
from monai_place.cli.machine import CORE, EXTRAS, OPENMMLAB


def machine(**changes: Any) -> dict[str, Any]:
    """Return what a machine without fault and without GPU gives, with changes; a dictionary is changed in part."""
    found: dict[str, Any] = {
        "versions": dict.fromkeys(CORE, "1.0") | {"torch": "2.12.1", "torchvision": "0.27.1", "numpy": "2.2.6"},
        "openmmlab": {name: {distributions[0]: "1.0"} for name, distributions in OPENMMLAB.items()},
        "optional": {"imaug": "0.4.3"},
        "extras": {extra: [] for extra in EXTRAS},
        "imports": dict.fromkeys(("torch", "torchvision", "timm", "mmcv", "operators", "mmdet")),
        "operators": "stand-in",
        "operators_cuda": None,
        "operators_error": None,
        "cuda": "13.0",
        "cuda_warning": None,
        "devices": ["cpu"],
        "nvidia": False,
    }
    for name, change in changes.items():
        found[name] = found[name] | change if isinstance(change, dict) else change
    return found


def problems(*asked: str, **changes: Any) -> list[tuple[str, str]]:
    return [(entry["part"], entry["fix"]) for entry in find_problems(machine(**changes), asked={"core", *asked})]


def test_a_machine_without_fault_has_no_problem() -> None:
    assert problems("mm", "dicom", "export", "generation") == []


def test_a_missing_package_of_the_core_is_installed_with_ours() -> None:
    assert problems(versions={"monai": None}) == [("core", "pip install monai-place")]


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_that_is_not_installed_is_a_problem_of_who_asks_for_it(extra: str) -> None:
    missing = {extra: list(EXTRAS[extra])}
    assert problems(extras=missing) == []
    assert problems(extra, extras=missing) == [(extra, f"pip install 'monai-place[{extra}]'")]


@pytest.mark.parametrize(
    ("missing", "is_problem"),
    [
        (["mmseg"], False),
        (["mmdet"], False),
        (["mmdet", "pycocotools"], False),
        (["pycocotools"], True),
        (["mmcv"], True),
        (["mmdet", "mmseg"], True),
    ],
)
def test_one_toolbox_is_enough(missing: list[str], is_problem: bool) -> None:
    assert bool(problems("mm", extras={"mm": missing})) == is_problem


@pytest.mark.parametrize(
    ("torch", "torchvision"), [("2.8.0", "0.23"), ("2.12.1+cpu", "0.27"), ("2.13.0", "0.28"), ("3.0.0", None)]
)
def test_the_torchvision_that_belongs_to_a_torch(torch: str, torchvision: str | None) -> None:
    assert fitting_torchvision(torch) == torchvision


def test_a_torchvision_of_another_torch_is_replaced_by_the_one_that_belongs_to_it() -> None:
    expected = [("core", "pip install --force-reinstall --no-deps --no-cache-dir 'torchvision==0.27.*'")]
    assert problems(versions={"torchvision": "0.26.0"}) == expected
    assert problems(versions={"torchvision": "0.26.0"}, imports={"torchvision": "RuntimeError: no nms"}) == expected


def test_a_torchvision_of_another_build_is_replaced_together_with_torch() -> None:
    # The trap of a CPU build of torch beside torchvision's wheel for CUDA: the versions belong together.
    error = {"torchvision": "RuntimeError: operator torchvision::nms does not exist"}
    expected = [("core", "pip install --force-reinstall 'torch==2.12.1' 'torchvision==0.27.1'")]
    assert problems(versions={"torch": "2.12.1+cpu"}, imports=error) == expected


def test_a_broken_torch_is_the_one_problem() -> None:
    error = "OSError: libcudart.so: cannot open shared object file"
    expected = [("core", "pip install --force-reinstall --no-deps --no-cache-dir torch")]
    assert problems(imports={"torch": error, "torchvision": error, "timm": error}) == expected


@pytest.mark.parametrize(
    ("error", "fix"),
    [
        ("ImportError: libGL.so.1: cannot open shared object file", "opencv-python-headless"),
        ("ModuleNotFoundError: No module named 'pkg_resources'", "'setuptools<82'"),
        ("AssertionError: MMCV==2.2.0 is used but incompatible. Please install mmcv>=2.0.0rc4", "onedl-mmdetection"),
        ("ModuleNotFoundError: No module named 'imgaug'", "pip install imaug"),
        ("AttributeError: `np.sctypes` was removed in the NumPy 2.0 release", "uninstall -y imgaug"),
        ("ImportError: Numba needs NumPy 2.2 or less. Got NumPy 2.3.", "'numpy<2.3'"),
        ("ModuleNotFoundError: No module named 'yaml'", "pip install pyyaml"),
        ("ImportError: something else", "--no-cache-dir onedl-mmcv"),
        ("ModuleNotFoundError: No module named 'mmcv.cnn'", "--no-cache-dir onedl-mmcv"),
    ],
)
def test_an_import_that_fails_is_mended_by_what_its_error_says(error: str, fix: str) -> None:
    (found,) = problems(imports={"mmcv": error, "mmdet": error})
    assert found[0] == "mm"
    assert fix in found[1]


def test_operators_that_do_not_come_up_are_a_problem_of_mm() -> None:
    assert [part for part, _ in problems(imports={"operators": "ImportError: x"})] == ["mm"]


def test_fork_and_upstream_side_by_side_are_told_apart() -> None:
    fix = "pip uninstall -y mmcv && pip install --force-reinstall --no-deps --no-cache-dir onedl-mmcv"
    assert problems(openmmlab={"mmcv": {"onedl-mmcv": "2.3.6", "mmcv": "2.2.0"}}) == [("mm", fix)]


@pytest.mark.parametrize("numpy", ["2.3.0", "2.10.1", "3.0"])
def test_a_numpy_that_imaug_does_not_take_is_a_problem(numpy: str) -> None:
    assert problems(versions={"numpy": numpy}) == [("mm", "pip install 'numpy<2.3'")]


def test_without_imaug_any_numpy_does() -> None:
    found = machine(versions={"numpy": "2.3.0"}) | {"optional": {}}
    assert find_problems(found, asked={"mm"}) == []


def test_the_imgaug_that_breaks_on_numpy_2_is_replaced_by_its_fork() -> None:
    (found,) = problems(optional={"imgaug": "0.4.0"})
    assert found == (
        "mm",
        "pip uninstall -y imgaug && pip install --force-reinstall --no-deps --no-cache-dir imaug",
    )


def test_no_gpu_is_a_problem_of_who_asks_for_one() -> None:
    assert problems() == []
    assert [part for part, _ in problems("gpu")] == ["gpu"]
    assert problems("gpu", devices=["cpu", "NVIDIA H100"], nvidia=True) == []


def test_a_gpu_that_torch_does_not_see_is_always_told() -> None:
    assert problems(nvidia=True, cuda=None) == [("gpu", "pip install --force-reinstall 'torch==2.12.1'")]
    assert problems(nvidia=True, cuda_warning="driver too old") == [("gpu", "update the driver of your NVIDIA GPU")]


def test_operators_compiled_for_the_cpu_alone_are_a_problem_beside_a_gpu() -> None:
    compiled = {"operators": "compiled", "devices": ["cpu", "NVIDIA H100"]}
    ((part, fix),) = problems(**compiled)
    assert part == "mm"
    assert "--no-build-isolation" in fix
    assert problems(**compiled, operators_cuda="13.0") == []


def test_compiled_operators_that_do_not_load_are_noted_and_in_nobody_s_way() -> None:
    again = "pip install --no-build-isolation --no-deps --force-reinstall --no-cache-dir {}"
    broken = {"operators_error": "ImportError: _ext.so: undefined symbol: x"}
    assert problems("mm", **broken) == [("operators", again.format("onedl-mmcv"))]
    # A fork beside the upstream that is installed would overwrite its files.
    assert problems("mm", openmmlab={"mmcv": {"mmcv": "2.2.0"}}, **broken) == [("operators", again.format("mmcv"))]


@pytest.mark.parametrize("error", ["No module named 'mmcv.ops'", "cannot import name 'ops' from 'mmcv' (__init__.py)"])
def test_mmcv_without_operators_gives_way_to_one_that_has_them(error: str) -> None:
    lite = {"openmmlab": {"mmcv": {"mmcv-lite": "2.2.0"}}}
    fix = "pip uninstall -y mmcv-lite && pip install --force-reinstall --no-deps --no-cache-dir onedl-mmcv"
    assert problems(imports={"operators": f"ImportError: {error}"}, **lite) == [("mm", fix)]


def test_what_mmcv_needs_and_is_not_there_is_installed_and_mmcv_stays() -> None:
    gone = {"openmmlab": {"mmengine": {}}, "imports": {"mmcv": "ModuleNotFoundError: No module named 'mmengine'"}}
    assert problems(**gone) == [("mm", "pip install 'monai-place[mm]'")]
