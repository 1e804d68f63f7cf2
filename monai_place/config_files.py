"""Where the configs for MMDetection and MMSegmentation are: beside the package in a clone, inside it when installed."""

from __future__ import annotations

import difflib
from pathlib import Path

__all__ = ["config_folder", "config_names", "config_path"]

NEAR = 5  # names offered in place of an unknown one


def config_folder() -> Path:
    """Return the folder of the configs.

    Raises:
        FileNotFoundError: this installation has none.

    Example:
        >>> (config_folder() / "README.md").is_file()
        True
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "mm_configs", package.parent / "mm_configs"):
        if (folder / "_base_").is_dir():
            return folder
    raise FileNotFoundError("there are no mm_configs in this installation of monai-place")


def config_names() -> list[str]:
    """Return the names of all configs that can be trained, sorted.

    Example:
        >>> len(config_names()) > 50
        True
    """
    return sorted(_files())


def config_path(name: str) -> str:
    """Return the file of a config, for MMEngine's `Config.fromfile` and the tools of MMDetection and MMSegmentation.

    Args:
        name: of the config, with or without `.py`.

    Raises:
        ValueError: there is no such config; the message lists the nearest names.

    Example:
        >>> path = config_path("placevit-tiny_upernet_1xb8-2k_phantom-224x224")
        >>> Path(path).name
        'placevit-tiny_upernet_1xb8-2k_phantom-224x224.py'
    """
    files = _files()
    found = files.get(name.removesuffix(".py"))
    if found is None:
        near = difflib.get_close_matches(name, files, n=NEAR, cutoff=0.3)
        others = f"the nearest are {', '.join(near)}" if near else "`monai-place config-path` lists them all"
        raise ValueError(f"there is no config {name!r:.120}; {others}")
    return str(found)


def _files() -> dict[str, Path]:
    folder = config_folder()
    return {file.stem: file for part in ("detection", "segmentation") for file in sorted((folder / part).glob("*.py"))}
