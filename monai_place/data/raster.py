"""PNG and JPEG radiographs and masks, by Pillow; what Pillow would cut to 8 bits, by torchvision."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from monai_place.data.pixels import Picture, RadiographError, check_size, luminance

__all__ = ["ORIENTATION", "TURNED", "read_index_mask", "read_raster"]

# Offsets in the IHDR chunk, which a PNG must begin with (PNG specification, 11.2.2).
BIT_DEPTH_AT, COLOR_TYPE_AT = 24, 25
GREY, PALETTE = 0, 3
ORIENTATION = 0x0112
# At DEBUG this part of Pillow writes the values of EXIF tags into the log, and cameras and archives put names there.
logging.getLogger("PIL.TiffImagePlugin").setLevel(logging.INFO)
TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange height and width


# What libjpeg decodes a block of 8 x 8 to: one of 1, 2 or 4 pixels a side.
JPEG_REDUCTIONS = (8, 4, 2)


def read_raster(path: Path, kind: str, *, least_side: int | None = None) -> Picture:
    """Decode a PNG or JPEG file; EXIF orientation is applied, transparency is ignored.

    8 bit values are divided by 255 and 16 bit values by 65535, whatever the picture holds.

    Args:
        path: the file.
        kind: `PNG` or `JPEG`, as the content of the file says.
        least_side: decode a JPEG at a half, a quarter or an eighth where the shorter side keeps so many pixels. The
            picture covers what the whole one does, to its edges.

    Raises:
        RadiographError: the file is damaged, animated or too large.
    """
    pixels, whole = _decode(path, kind, least_side=least_side)
    if pixels.dtype == np.bool_:
        grey = pixels.astype(np.float32)
    else:
        grey = pixels.astype(np.float32) / np.float32(np.iinfo(pixels.dtype).max)
    if grey.ndim == 3:
        grey = luminance(grey, path.name)
    return Picture(grey, whole_size=whole)


def read_index_mask(path: Path) -> npt.NDArray[np.int32]:
    """Decode a PNG mask to its integer values (H, W), unscaled; a 1 bit mask gives 0 and 1.

    Raises:
        RadiographError: the file is damaged, too large or has several channels.
    """
    pixels, _ = _decode(path, "PNG", indices=True)
    if pixels.ndim == 3:
        raise RadiographError(f"{path.name}: a mask has one channel, this file has {pixels.shape[2]}")
    return pixels.astype(np.int32)


def _decode(
    path: Path, kind: str, *, indices: bool = False, least_side: int | None = None
) -> tuple[npt.NDArray[Any], tuple[int, int] | None]:
    """Return (H, W) or (H, W, 3), bool, uint8 or uint16, and the whole picture's size where this is a reduced one."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path, formats=[kind]) as image:
            check_size(image.height, image.width)
            if kind == "PNG" and getattr(image, "n_frames", 1) > 1:
                raise RadiographError("an animated picture is not a radiograph")
            if kind == "PNG" and _loses_depth(path):
                return _decode_deep(path), None
            if kind == "JPEG" and least_side is not None and (reduction := _reduction(image, least_side)) > 1:
                return _decode_reduced(image, reduction)
            return _channels(ImageOps.exif_transpose(image), indices=indices), None
    except RadiographError as error:
        raise RadiographError(f"{path.name}: {error}") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise RadiographError(f"{path.name}: too many pixels, a decompression bomb") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        # Pillow's message may hold the whole path.
        reason = "truncated" if "truncat" in str(error) else "damaged"
        raise RadiographError(f"{path.name}: the {kind} file is {reason}") from None


def _reduction(image: Any, least_side: int) -> int:
    return next((number for number in JPEG_REDUCTIONS if min(image.size) >= number * least_side), 1)


def _decode_reduced(image: Any, reduction: int) -> tuple[npt.NDArray[Any], tuple[int, int]]:
    """Let libjpeg decode fewer pixels: what it saves is the transform, not the entropy decoding."""
    from PIL import Image, ImageOps

    width, height = image.size
    exact = width / reduction, height / reduction
    image.draft(image.mode, (width // reduction, height // reduction))
    image.load()
    if image.size != exact:
        # The last column or row is a part of a pixel: to count it as a whole one would shift what lies beside it.
        image = image.resize(tuple(map(round, exact)), Image.Resampling.BILINEAR, box=(0, 0, *exact))
    is_turned = image.getexif().get(ORIENTATION) in TURNED
    pixels = _channels(ImageOps.exif_transpose(image), indices=False)
    return pixels, ((width, height) if is_turned else (height, width))


def _channels(image: Any, *, indices: bool) -> npt.NDArray[Any]:
    mode = image.mode
    if indices and mode == "P":
        return np.asarray(image)
    if mode in ("LA", "La"):
        image = image.getchannel(0)
    elif mode == "I":  # older Pillow's name for 16 bit grey
        return np.asarray(image).astype(np.uint16)
    elif mode not in ("1", "L", "RGB") and not mode.startswith("I;16"):  # palette, RGBA, CMYK, YCbCr
        image = image.convert("RGB")
    pixels = np.asarray(image)
    return pixels.astype(np.uint16) if pixels.dtype.kind == "u" and pixels.dtype.itemsize == 2 else pixels


def _loses_depth(path: Path) -> bool:
    """Tell whether Pillow would read this PNG with 8 of its 16 bits, as it does unless it is plain grey."""
    with path.open("rb") as file:
        header = file.read(COLOR_TYPE_AT + 1)
    return header[BIT_DEPTH_AT] == 16 and header[COLOR_TYPE_AT] not in (GREY, PALETTE)


def _decode_deep(path: Path) -> npt.NDArray[np.uint16]:
    from torchvision.io import ImageReadMode, decode_image, read_file

    try:
        tensor = decode_image(read_file(str(path)), mode=ImageReadMode.UNCHANGED)  # (C, H, W)
    except RuntimeError:
        raise RadiographError("the PNG file is damaged") from None
    pixels: npt.NDArray[np.uint16] = tensor.numpy().astype(np.uint16)
    return pixels[0] if len(pixels) < 3 else np.moveaxis(pixels[:3], 0, -1)  # alpha is ignored
