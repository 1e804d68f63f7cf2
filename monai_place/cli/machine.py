"""`monai-place doctor`: what is installed, and what does not fit together."""

from __future__ import annotations

import importlib.util
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer

from monai_place.cli.common import FAILED, print_json

__all__ = ["COMMANDS", "check_machine"]

CORE = (
    "monai-place",
    "torch",
    "torchvision",
    "monai",
    "pytorch-ignite",
    "timm",
    "transformers",
    "pydicom",
    "nibabel",
    "numpy",
)
OPTIONAL = ("highdicom", "onnxruntime", "pycocoevalcap", "onedl-mmengine", "mmengine", "onedl-mmdetection", "mmdet")
# What an extra brings, by the names it is imported by: of some packages there are forks of other names.
EXTRAS = {
    "dicom": ("highdicom",),
    "export": ("onnx", "onnxruntime", "onnxscript"),
    "generation": ("pycocoevalcap",),
    "mm": ("mmengine", "mmcv", "mmdet", "mmseg"),
}


def check_machine() -> dict[str, Any]:
    """Return versions, extras, devices and problems; each problem says what mends it.

    Example:
        >>> sorted(check_machine())
        ['devices', 'extras', 'optional', 'platform', 'problems', 'python', 'versions']
    """
    versions = {name: _version(name) for name in CORE}
    problems = [f"{name} is missing: pip install monai-place" for name, found in versions.items() if found is None]
    devices = ["cpu"]
    if versions["torch"] is not None and versions["torchvision"] is not None:
        devices += _gpus()
        if broken := _torchvision_problem():
            problems.append(
                f"torchvision {versions['torchvision']} does not fit torch {versions['torch']} ({broken}): "
                "pip install --force-reinstall torch torchvision -c constraints.txt"
            )
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": versions,
        "optional": {name: found for name in OPTIONAL if (found := _version(name)) is not None},
        "extras": {extra: [name for name in names if not _is_installed(name)] for extra, names in EXTRAS.items()},
        "devices": devices,
        "problems": problems,
    }


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,  # noqa: FBT002
) -> None:
    """Show versions, extras and devices, and what mends each problem; exit code 1 if there is one."""
    found = check_machine()
    if as_json:
        print_json(found)
    else:
        rows = {"python": found["python"], "platform": found["platform"], **found["versions"], **found["optional"]}
        for extra, missing in found["extras"].items():
            needs = f"not installed: {', '.join(missing)} (pip install monai-place[{extra}])"
            rows[f"extra {extra}"] = needs if missing else "installed"
        rows["devices"] = ", ".join(found["devices"])
        for name, value in rows.items():
            typer.echo(f"{name:20s} {value or 'missing'}")
        for problem in found["problems"]:
            typer.echo(f"PROBLEM: {problem}", err=True)
    if found["problems"]:
        raise typer.Exit(FAILED)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _is_installed(name: str) -> bool:
    """Tell without importing it; a module that something has half loaded counts as absent."""
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False


def _gpus() -> list[str]:
    import torch

    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]


def _torchvision_problem() -> str:
    """Call one compiled operator: a torchvision built for another torch fails there, or on import."""
    try:
        import torch
        import torchvision.ops

        torchvision.ops.nms(torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([1.0]), 0.5)
    except (ImportError, RuntimeError, AttributeError) as error:
        return type(error).__name__
    return ""


COMMANDS = (doctor,)
