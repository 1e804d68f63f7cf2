"""The stand-in's operators against mmcv's compiled ones, on a CPU and at sizes that detection meets.

One process, both in turn (A B A B ...), so that a drifting machine meets both alike; reported are medians, spread, and
the ratios call by call: below 1, the stand-in is the faster. The compiled operators are those of the installed mmcv,
or of a wheel in the folder that --wheels or MONAI_PLACE_MMCV_WHEELS names.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import platform
import statistics
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from contextlib import redirect_stdout
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

WHEELS = Path(os.environ.get("MONAI_PLACE_MMCV_WHEELS", Path(__file__).resolve().parents[2] / "shared" / "wheels"))
Case = Callable[[Any], Any]


def compiled_operators(scratch: Path, *, wheels: Path = WHEELS) -> ModuleType:
    """Return mmcv's compiled module, loaded aside: that of the installed mmcv, else the first of a wheel that loads.

    Args:
        scratch: a folder where a wheel's library is put.
        wheels: a folder where wheels are looked for.

    Raises:
        LookupError: there is none, with the reason of each wheel that does not load.
    """
    import mmcv

    reasons = []
    for source in [Path(str(mmcv.__file__)).parent, *sorted(wheels.glob("*mmcv*.whl"))]:
        library = _library(source, scratch)
        if library is None:
            reasons.append(f"{source.name}: none for Python {sys.version_info[0]}.{sys.version_info[1]}")
            continue
        found = _load(library)
        if isinstance(found, ModuleType):
            return found
        reasons.append(f"{source.name}: {found}")
    raise LookupError(f"no compiled operators of mmcv load beside torch {torch.__version__} ({'; '.join(reasons)})")


def _library(source: Path, scratch: Path) -> Path | None:
    """Return the library of a package's folder or of a wheel, which is unpacked."""
    names = [f"_ext{suffix}" for suffix in EXTENSION_SUFFIXES]
    if source.is_dir():
        return next((source / name for name in names if (source / name).is_file()), None)
    with zipfile.ZipFile(source) as archive:
        inside = [name for name in archive.namelist() if name.endswith(tuple(names))]
        return Path(archive.extract(inside[0], scratch)) if inside else None


def _load(library: Path) -> ModuleType | str:
    # Only the last part of the name has to be that of the library: what serves as mmcv._ext stays as it is.
    spec: Any = importlib.util.spec_from_file_location("compiled_mmcv._ext", library)
    try:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    except (ImportError, OSError) as error:
        return str(error).replace(str(library), library.name)
    return module


def random_boxes(count: int, width: float, height: float) -> tuple[Tensor, Tensor]:
    """Draw boxes of all sizes around a tenth as many objects, as a detector's head gives them, and their scores."""
    draw = torch.Generator().manual_seed(0)
    size = torch.tensor([width, height])
    objects = torch.rand(max(1, count // 10), 2, generator=draw) * size
    center = objects.repeat(11, 1)[:count] + 8 * torch.randn(count, 2, generator=draw)
    half = (2 ** (5 * torch.rand(len(center), 2, generator=draw))) * size / 100
    boxes = torch.cat([center - half, center + half], dim=1)
    return boxes.clamp(min=0).minimum(size.repeat(2)), torch.rand(len(center), generator=draw)


def cases() -> dict[str, Case]:
    """Return, by name, what takes a module of operators and does one call's work."""
    boxes, scores = random_boxes(2000, 1333, 800)
    rois = torch.cat([torch.zeros(512, 1), random_boxes(512, 800, 800)[0]], dim=1)
    image = torch.randn(1, 256, 50, 50, generator=torch.Generator().manual_seed(0))

    def align(ext: Any, mode: int, *, backward: bool) -> None:
        output, grad = image.new_zeros(512, 256, 7, 7), image.new_ones(512, 256, 7, 7)
        places = [torch.zeros_like(output) if mode == 0 else image.new_zeros(0) for _ in range(2)]
        settings = (7, 7, 1 / 16, 0, mode, True)
        ext.roi_align_forward(image, rois, output, *places, *settings)
        if backward:
            ext.roi_align_backward(grad, rois, *places, torch.zeros_like(image), *settings)

    def convolve(ext: Any) -> None:
        weight, bias = image.new_ones(64, 256, 3, 3), image.new_zeros(64)
        offset, mask = image.new_full((1, 18, 50, 50), 0.3), image.new_full((1, 9, 50, 50), 0.5)
        output, buffers = image.new_zeros(1, 64, 50, 50), [image.new_zeros(0) for _ in range(2)]
        settings = (3, 3, 1, 1, 1, 1, 1, 1, 1, 1, True)
        ext.modulated_deform_conv_forward(image, weight, bias, buffers[0], offset, mask, output, buffers[1], *settings)
        grads = [torch.zeros_like(value) for value in (image, weight, bias, offset, mask)]
        ext.modulated_deform_conv_backward(
            image, weight, bias, buffers[0], offset, mask, buffers[1], *grads, torch.ones_like(output), *settings
        )

    return {
        "nms, 2000 boxes": lambda ext: ext.nms(boxes, scores, 0.5, 0),
        "soft-nms, 2000 boxes": lambda ext: ext.softnms(boxes, scores, boxes.new_zeros(2000, 5), 0.3, 0.5, 1e-3, 1, 0),
        "roi_align, 512 regions of 256x50x50, forward": lambda ext: align(ext, 1, backward=False),
        "roi_align, 512 regions of 256x50x50, both ways": lambda ext: align(ext, 1, backward=True),
        "roi_align (max), 512 regions of 256x50x50, both ways": lambda ext: align(ext, 0, backward=True),
        "modulated_deform_conv, 256x50x50 to 64, both ways": convolve,
    }


def measure(args: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Time each case with both modules in turn."""
    with redirect_stdout(sys.stderr):  # MMEngine logs on stdout
        from monai_place.mm.ops.stand_in import build_stand_in

    torch.set_num_threads(args.threads)
    modules = {"stand-in": build_stand_in(), "compiled": compiled_operators(scratch, wheels=Path(args.wheels))}
    found = {}
    for title, case in cases().items():
        times: dict[str, list[float]] = {name: [] for name in modules}
        for number in range(args.warmup + args.repeats):
            for name, module in modules.items():
                begin = time.perf_counter()
                case(module)
                if number >= args.warmup:
                    times[name].append(time.perf_counter() - begin)
        ratios = [ours / theirs for ours, theirs in zip(times["stand-in"], times["compiled"], strict=True)]
        found[title] = {
            "milliseconds": {name: _spread([1000 * value for value in values]) for name, values in times.items()},
            "stand_in_over_compiled": _spread(ratios),
        }
    return {
        "setting": {"warmup": args.warmup, "repeats": args.repeats, "threads": torch.get_num_threads()},
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "cases": found,
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def main() -> int:
    """Measure and print; 1 if there is nothing to compare with."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wheels", default=str(WHEELS), help="folder of compiled wheels of mmcv")
    parser.add_argument("--threads", type=int, default=1, help="the compiled operators use one")
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=15)
    try:
        with tempfile.TemporaryDirectory() as scratch:
            print(json.dumps(measure(parser.parse_args(), Path(scratch)), indent=2))
    except LookupError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
