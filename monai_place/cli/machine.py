"""What is installed, by the records that the packages left when they were installed; nothing is imported."""

from __future__ import annotations

import importlib.util
import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

__all__ = ["check_machine"]

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
OPTIONAL = ("highdicom", "onnx", "onnxruntime", "pycocoevalcap", "pycocotools", "imaug", "imgaug", "opencv-python")
# By the name it is imported by: the distributions that bring it, the maintained fork before the upstream one.
OPENMMLAB = {
    "mmengine": ("onedl-mmengine", "mmengine", "mmengine-lite"),
    "mmcv": ("onedl-mmcv", "mmcv", "mmcv-lite"),
    "mmdet": ("onedl-mmdetection", "mmdet"),
    "mmseg": ("onedl-mmsegmentation", "mmsegmentation"),
}
# What an extra brings, by the names it is imported by: of some packages there are forks of other names.
EXTRAS = {
    "dicom": ("highdicom",),
    "export": ("onnx", "onnxruntime", "onnxscript"),
    "generation": ("pycocoevalcap",),
    "mm": (*OPENMMLAB, "imgaug", "pycocotools"),
}


def check_machine() -> dict[str, Any]:
    """Return the versions of what is needed and of what is there, and what is missing of each extra.

    Example:
        >>> sorted(check_machine())
        ['extras', 'openmmlab', 'optional', 'platform', 'python', 'versions']
    """
    return {
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "versions": {name: _version(name) for name in CORE},
        "openmmlab": {name: _installed(distributions) for name, distributions in OPENMMLAB.items()},
        "optional": _installed(OPTIONAL),
        "extras": {extra: [name for name in names if not _is_installed(name)] for extra, names in EXTRAS.items()},
    }


def _installed(names: tuple[str, ...]) -> dict[str, str]:
    """Return the versions of those of the distributions that are installed."""
    return {name: found for name in names if (found := _version(name)) is not None}


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
