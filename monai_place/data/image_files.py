"""Which files of a folder are images, for everything that takes a folder of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from monai_place.data.radiograph import holds_dicom

__all__ = ["image_files", "images_below"]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm", ".dicom", ".nii", ".nii.gz")
UNIQUE_IDENTIFIER = re.compile(r"[\d.]+")  # archives name DICOM files so
NUMBERED = re.compile(r"[^.]*\d[^.]*")  # or so: IM000001


def images_below(folder: Path) -> list[Path]:
    """List the images anywhere below a folder, in order of path.

    An image is a file with a suffix of DICOM, NIfTI, PNG or JPEG, one whose content begins as DICOM does, whatever its
    name, or one with a name as archives give to DICOM files: a unique identifier, or without suffix and with a digit.
    A broken one is thus listed, too, and whoever reads it tells of it. What has a name, or lies in a folder with one,
    that begins with a dot is left out, and so is DICOMDIR, which lists images and is none.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for name in ("b.png", "IM0001", "notes.txt"):
        ...         _ = Path(folder, name).write_bytes(b"")
        ...     [path.name for path in images_below(Path(folder))]
        ['IM0001', 'b.png']
    """
    return [
        path
        for path in sorted(folder.rglob("*"))
        if not any(part.startswith(".") for part in path.relative_to(folder).parts) and _is_image(path)
    ]


def image_files(inputs: Sequence[Path]) -> list[Path]:
    """List files, each once; a folder stands for `images_below` it. A file that is named is taken as it is.

    Raises:
        FileNotFoundError: an input does not exist, or there is no image.
    """
    files: list[Path] = []
    for entry in inputs:
        if entry.is_dir():
            files += images_below(entry)
        elif entry.exists():
            files.append(entry)
        else:
            raise FileNotFoundError(f"{entry.name!r} does not exist")
    if not files:
        raise FileNotFoundError(f"no image (DICOM, NIfTI, PNG or JPEG) in {[entry.name for entry in inputs]}")
    unique: dict[Path, Path] = {}
    for path in files:
        unique.setdefault(path.absolute(), path)
    return list(unique.values())


def _is_image(path: Path) -> bool:
    if not path.is_file() or path.name.upper() == "DICOMDIR":
        return False
    named = UNIQUE_IDENTIFIER.fullmatch(path.name) or NUMBERED.fullmatch(path.name)
    return bool(named) or path.name.lower().endswith(IMAGE_SUFFIXES) or holds_dicom(path)
