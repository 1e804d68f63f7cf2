"""`monai-place doctor`: what is installed, and what does not fit together."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer

from monai_place.cli.common import FAILED, print_json

__all__ = ["check_machine", "register"]

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


def check_machine() -> dict[str, Any]:
    """Return versions, devices and problems; each problem says what mends it.

    Example:
        >>> sorted(check_machine())
        ['devices', 'optional', 'platform', 'problems', 'python', 'versions']
    """
    import torch

    problems: list[str] = []
    versions = {name: _version(name) for name in CORE}
    problems += [f"{name} is missing: pip install monai-place" for name, found in versions.items() if found is None]
    try:
        import torchvision.ops

        boxes, scores = torch.tensor([[0.0, 0.0, 1.0, 1.0]]), torch.tensor([1.0])
        torchvision.ops.nms(boxes, scores, 0.5)
    except (ImportError, RuntimeError, AttributeError) as error:
        problems.append(
            f"torchvision {versions['torchvision']} does not fit torch {versions['torch']} ({type(error).__name__}): "
            "pip install --force-reinstall torch torchvision -c constraints.txt"
        )
    devices = ["cpu"] + [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": versions,
        "optional": {name: found for name in OPTIONAL if (found := _version(name)) is not None},
        "devices": devices,
        "problems": problems,
    }


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Print as JSON.")] = False,  # noqa: FBT002
) -> None:
    """Show versions and devices, and what mends each problem; exit code 1 if there is one."""
    found = check_machine()
    if as_json:
        print_json(found)
    else:
        for name, value in {"python": found["python"], **found["versions"], **found["optional"]}.items():
            typer.echo(f"{name:20s} {value}")
        typer.echo(f"{'devices':20s} {', '.join(found['devices'])}")
        for problem in found["problems"]:
            typer.echo(f"PROBLEM: {problem}", err=True)
    if found["problems"]:
        raise typer.Exit(FAILED)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(doctor)


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
