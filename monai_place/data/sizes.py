"""The size of a radiograph from the head of its file, for whoever needs the sizes of many and the pixels of none."""

from __future__ import annotations

import os
from pathlib import Path

from monai_place.data.pixels import MAX_PIXELS, silent_decoders
from monai_place.data.radiograph import file_kind, read_radiograph
from monai_place.data.raster import ORIENTATION, TURNED

__all__ = ["radiograph_size"]

PNG_SIGNATURE_BYTES = 8


def radiograph_size(path: str | os.PathLike[str]) -> tuple[int, int]:
    """Return height and width of a radiograph as `read_radiograph` returns it.

    Of PNG, JPEG and DICOM files only the head is read; a file whose head does not tell all (NIfTI's axes, a PNG with
    an orientation) is decoded.

    Args:
        path: a DICOM, NIfTI, PNG or JPEG file.

    Raises:
        RadiographError: the file is missing or cannot be used; damage behind the head is not looked for.

    Example:
        >>> import numpy, tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.fromarray(numpy.zeros((5, 7), dtype=numpy.uint8)).save(f"{folder}/a.png")
        ...     radiograph_size(f"{folder}/a.png")
        (5, 7)
    """
    path = Path(path)
    readers = {"PNG": _png_size, "JPEG": _jpeg_size, "DICOM": _dicom_size}
    reader = readers.get(file_kind(path) or "")
    size = None
    if reader is not None:
        try:
            with silent_decoders():  # what they warn of is told by the error of the full reading
                size = reader(path)
        except Exception:  # whatever a damaged head leads a decoder to: the full reading says it in our words
            size = None
    if size is None or min(size) < 1 or size[0] * size[1] > MAX_PIXELS:
        height, width = read_radiograph(path)[0].shape
        size = height, width
    return size


def _png_size(path: Path) -> tuple[int, int] | None:
    """Height and width of the IHDR chunk, or None where a chunk may hold an orientation."""
    with path.open("rb") as file:
        file.seek(PNG_SIGNATURE_BYTES)
        size = None
        while len(head := file.read(8)) == 8:
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            begin = file.read(min(length, 32))
            if kind == b"IHDR":
                size = int.from_bytes(begin[4:8], "big"), int.from_bytes(begin[:4], "big")
            if kind == b"eXIf" or (kind in (b"tEXt", b"zTXt", b"iTXt") and _tells_orientation(begin)):
                return None
            file.seek(length - len(begin) + 4, os.SEEK_CUR)  # the rest, and the checksum
    return size


def _tells_orientation(begin: bytes) -> bool:
    keyword = begin.split(b"\0")[0].lower()
    return b"exif" in keyword or b"xmp" in keyword


def _jpeg_size(path: Path) -> tuple[int, int]:
    from PIL import Image

    with Image.open(path, formats=["JPEG"]) as image:
        turned = image.getexif().get(ORIENTATION) in TURNED
        return (image.width, image.height) if turned else (image.height, image.width)


def _dicom_size(path: Path) -> tuple[int, int]:
    from pydicom import dcmread

    from monai_place.data.dicom import _refuse_deflate_bomb

    _refuse_deflate_bomb(path)
    dataset = dcmread(path, force=True, stop_before_pixels=True, specific_tags=["Rows", "Columns"])
    return int(dataset.Rows), int(dataset.Columns)
