"""PLACE: medical vision-language pretraining as a MONAI bundle and an OpenMMLab backbone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from monai_place.config_files import config_path
    from monai_place.inference import PLACEPredictor, load, load_report_generator

__all__ = ["PLACEPredictor", "__version__", "config_path", "load", "load_report_generator"]


def __getattr__(name: str) -> Any:
    """Import on first use, so that `import monai_place` stays light."""
    if name == "config_path":
        from monai_place import config_files

        return config_files.config_path
    if name in {"PLACEPredictor", "load", "load_report_generator"}:
        from monai_place import inference

        return getattr(inference, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
