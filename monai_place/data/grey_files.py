"""Grey pictures as files: the one place that decides how a radiograph in [0, 1] is stored as PNG or JPEG."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt

from monai_place.atomic import atomic_path

__all__ = ["GreyFormat", "quantize", "write_grey", "write_index_mask"]

FileFormat = Literal["png", "jpeg"]
DEPTHS = (8, 16)
RUN_LENGTHS = 3  # zlib's strategy Z_RLE


@dataclass(frozen=True)
class GreyFormat:
    """How grey pictures are stored.

    Args:
        depth: 8 or 16 bits a pixel; JPEG has 8.
        file_format: `png` keeps every bit, `jpeg` is several times smaller.
        quality: of a JPEG, 1 to 100.

    Raises:
        ValueError: a value is none of these, or JPEG is asked for 16 bits.

    Example:
        >>> GreyFormat(16).suffix, GreyFormat(file_format="jpeg").suffix
        ('.png', '.jpg')
    """

    depth: int = 8
    file_format: FileFormat = "png"
    quality: int = 95

    def __post_init__(self) -> None:
        if self.depth not in DEPTHS:
            raise ValueError(f"depth must be one of {DEPTHS}, got {self.depth!r}")
        if self.file_format not in get_args(FileFormat):
            raise ValueError(f"file_format must be one of {get_args(FileFormat)}, got {self.file_format!r}")
        if self.file_format == "jpeg" and self.depth != 8:
            raise ValueError("a JPEG file has 8 bits a pixel; depth=16 needs file_format='png'")
        if not 1 <= self.quality <= 100:
            raise ValueError(f"quality must be 1 to 100, got {self.quality}")

    @property
    def suffix(self) -> str:
        """Of the files, with its dot."""
        return ".jpg" if self.file_format == "jpeg" else ".png"


def quantize(pixels: npt.NDArray[np.floating], depth: int = 8) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """Return pixels in [0, 1] as the nearest integers of 8 or 16 bits, 1 being the largest.

    Args:
        pixels: (H, W); what lies outside [0, 1] is clipped.
        depth: 8 or 16.

    Raises:
        ValueError: the picture is empty, not (H, W), of integers, or holds NaN or infinity.

    Example:
        >>> quantize(np.array([[0.0, 0.5, 1.0]], dtype=np.float32)).tolist()
        [[0, 128, 255]]
    """
    if pixels.ndim != 2 or not pixels.size:
        raise ValueError(f"a grey picture has the shape (H, W), got {pixels.shape}")
    if pixels.dtype.kind != "f":
        raise ValueError(f"pixels must be floating point in [0, 1], got {pixels.dtype}")
    if not np.isfinite(pixels).all():
        raise ValueError("pixels hold NaN or infinity")
    # Half up, in single precision: 65535 and a half need 17 of its 24 bits.
    levels = np.float32(2**depth - 1)
    stored = np.clip(pixels.astype(np.float32, copy=False), 0, 1) * levels + np.float32(0.5)
    return stored.astype(np.uint8) if depth == 8 else stored.astype(np.uint16)


def write_grey(
    path: str | os.PathLike[str],
    pixels: npt.NDArray[np.floating],
    *,
    depth: int = 8,
    file_format: FileFormat = "png",
    quality: int = 95,
) -> None:
    """Write a radiograph as a grey PNG or JPEG file, whole or not at all; nothing but pixels is in it.

    `read_radiograph` gives the pixels back: of PNG to within half a level, of JPEG nearly.

    Args:
        path: the file; its folder is made where it is missing. The suffix does not choose the format.
        pixels: (H, W) floating point in [0, 1], as `read_radiograph` returns them; beyond is clipped.
        depth: 8 or 16 bits a pixel; JPEG has 8.
        file_format: `png` or `jpeg`.
        quality: of a JPEG.

    Raises:
        ValueError: the pixels are no such picture, or the format is none of these.
    """
    from PIL import Image

    chosen = GreyFormat(depth, file_format, quality)
    picture = Image.fromarray(quantize(pixels, depth))
    with atomic_path(path) as temporary:
        if chosen.file_format == "jpeg":
            picture.save(temporary, "JPEG", quality=chosen.quality)
        else:
            # Runs alone: noise has no longer repetitions. Smaller than all that level 6 looks for, in a third of its
            # time, and read a tenth faster.
            picture.save(temporary, "PNG", compress_level=6, compress_type=RUN_LENGTHS)


def write_index_mask(path: str | os.PathLike[str], mask: npt.NDArray[np.integer]) -> None:
    """Write a mask (H, W) of integers 0 to 255 as a PNG file, whole or not at all; `read_mask` gives it back."""
    from PIL import Image

    if mask.ndim != 2 or not mask.size or mask.min() < 0 or mask.max() > np.iinfo(np.uint8).max:
        raise ValueError(f"a mask has the shape (H, W) and values of 0 to 255, got the shape {mask.shape}")
    with atomic_path(path) as temporary:
        Image.fromarray(mask.astype(np.uint8)).save(temporary, "PNG")
