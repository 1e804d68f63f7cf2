"""DICOM, NIfTI, PNG and JPEG radiographs as one kind of array.

Axes. The array is (H, W): axis 0 counts rows from the top, axis 1 counts columns from the left of the picture as it is
shown to a reader of a frontal radiograph, so the patient's right side is at column 0. This is the order of pydicom's
`pixel_array` and of `numpy.asarray(PIL.Image)`; MONAI's own readers transpose both. A NIfTI file says by its affine
where its axes point, and is turned to this order (`monai_place.data.nifti`).

Values. float32 in [0, 1], dark to bright, bone bright; how each format gets there stands in its module.

Affine. diag(row spacing, column spacing, 1, 1) in mm: coordinates in the plane of the detector, axis 0 down, axis 1 to
the right. A projection has no place in the patient's space, so nothing more is claimed. Unknown spacing counts as 1.

Reduced pictures. Most of the pixels of a JPEG are thrown away before a network sees it, and decoding them takes most of
the time: `least_side` reads such a file at a half, a quarter or an eighth of its size, at most. The picture then covers
what the whole one does, to its edges, and `affine` leads to the same place as the whole one's; boxes and masks of the
file are in pixels of `file_shape`, and must be brought to the picture's.

The kind of a file is told by its content; its suffix is not believed, and need not be there.
"""

from __future__ import annotations

import os
import stat
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from monai_place.data.pixels import Picture, RadiographError
from monai_place.data.raster import read_index_mask, read_raster

__all__ = ["RadiographError", "file_kind", "holds_dicom", "read_mask", "read_radiograph"]

SNIFFED_BYTES = 352  # a NIfTI-1 header with its magic; the DICOM mark lies at 128
NIFTI_STARTS = tuple(size.to_bytes(4, order) for size in (348, 540) for order in ("little", "big"))


def read_radiograph(
    path: str | os.PathLike[str], *, least_side: int | None = None
) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
    """Read one radiograph.

    Args:
        path: a DICOM, NIfTI, PNG or JPEG file.
        least_side: pixels of the shorter side that suffice: a JPEG that has at least twice as many is decoded at a
            half, a quarter or an eighth, which takes a fraction of the time. Other files are read whole.

    Returns:
        The pixels (H, W), float32 in [0, 1], row 0 on top, and the metadata: `affine` (4, 4) in mm, `spatial_shape`
        (2,), `file_shape` (2,), which is the same unless fewer pixels were decoded, `pixel_spacing_mm` (row, column) or
        None, `original_channel_dim` and `filename_or_obj`.

    Raises:
        RadiographError: the file is missing, damaged, of another kind, or not one grey picture.
        ValueError: `least_side` is not at least 1.
    """
    if least_side is not None and least_side < 1:
        raise ValueError(f"least_side must be None or at least 1 pixel, got {least_side}")
    path = Path(path)
    picture = _decode(path, least_side)
    shape = np.array(picture.pixels.shape)
    whole = np.array(picture.whole_size or picture.pixels.shape)
    spacing = np.array(picture.spacing_mm or (1.0, 1.0))
    affine = np.diag([*(spacing * whole / shape), 1.0, 1.0])
    affine[:2, 3] = spacing * (whole / shape - 1) / 2  # the center of the first pixel lies further inside
    return picture.pixels, {
        "affine": affine,
        "original_affine": affine.copy(),
        "spatial_shape": shape,
        "file_shape": whole,
        "pixel_spacing_mm": picture.spacing_mm,
        "original_channel_dim": "no_channel",
        "filename_or_obj": str(path),
    }


def read_mask(path: str | os.PathLike[str]) -> npt.NDArray[np.int32]:
    """Read a mask as it is stored: (H, W) integers, row 0 on top.

    Args:
        path: a PNG file with one channel; a palette counts as its indices.

    Raises:
        RadiographError: the file is missing, damaged or no such picture.
    """
    path = Path(path)
    if (kind := file_kind(path)) != "PNG":
        raise RadiographError(f"{path.name}: a mask must be a PNG file, this is {kind or 'something else'}")
    return read_index_mask(path)


def _decode(path: Path, least_side: int | None) -> Picture:
    kind = file_kind(path)
    if kind in ("PNG", "JPEG"):
        return read_raster(path, kind, least_side=least_side)
    if kind == "DICOM":
        from monai_place.data.dicom import read_dicom

        return read_dicom(path)
    if kind == "NIfTI":
        from monai_place.data.nifti import read_nifti

        return read_nifti(path)
    raise RadiographError(f"{path.name}: not a DICOM, NIfTI, PNG or JPEG file by its content")


def holds_dicom(path: Path) -> bool:
    """Tell whether a file's content begins as DICOM does, with or without the preamble; of an unreadable one, False."""
    try:
        return file_kind(path) == "DICOM"
    except RadiographError:
        return False


def file_kind(path: Path) -> str | None:
    """Tell by its content whether a file is PNG, JPEG, DICOM or NIfTI; None for anything else.

    Raises:
        RadiographError: it is empty, no file, or cannot be opened.
    """
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):  # to open a pipe would wait for whoever writes into it
            what = "a folder" if stat.S_ISDIR(mode) else "a pipe, a socket or a device"
            raise RadiographError(f"{path.name}: {what}, not a file")
        with path.open("rb") as file:
            head = file.read(SNIFFED_BYTES)
    except RadiographError:
        raise
    except FileNotFoundError:
        raise RadiographError(f"{path.name}: the file does not exist") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise RadiographError(f"{path.name}: cannot be opened: {reason}") from None
    if not head:
        raise RadiographError(f"{path.name}: the file is empty")
    return _kind_of_content(head)


def _kind_of_content(head: bytes) -> str | None:
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head[128:132] == b"DICM":
        return "DICOM"
    # NIfTI-1 (a header of 348 bytes) and NIfTI-2 (540) in either byte order, or gzip, which only NIfTI comes in.
    if head[:4] in NIFTI_STARTS or head[:2] == b"\x1f\x8b":
        return "NIfTI"
    # A DICOM data set without preamble begins with group 0002 or 0008, in either byte order (PS3.10 7.1 asks for the
    # preamble, older archives lack it).
    if head[:2] in (b"\x02\0", b"\x08\0", b"\0\x02", b"\0\x08") and len(head) >= 16:
        return "DICOM"
    return None


def __getattr__(name: str) -> Any:
    """Hand on MONAI's reader, which is known by this module's name; not before, since MONAI takes seconds to import."""
    if name == "RadiographReader":
        return getattr(import_module("monai_place.data.reader"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
