"""What the decoders of radiographs share: the error, the size limit, the way to [0, 1]."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["MAX_PIXELS", "Picture", "RadiographError", "check_size", "luminance", "min_max_to_unit", "silent_decoders"]

logger = logging.getLogger(__name__)

# Above any radiograph (a large detector has 30 million pixels), below Pillow's own alarm at 89 million.
MAX_PIXELS = 80_000_000

# A pixel is colored when its channels differ by more than JPEG's chroma coding adds to a grey picture ...
COLOR_SPREAD = 16 / 255
# ... and a picture is when more than this part of it is: a colored side marker alone does not make a photograph.
COLOR_PART = 0.01


class RadiographError(ValueError):
    """A file is not a radiograph that can be used; the message names the file and the reason, never a tag's value."""


@dataclass(frozen=True)
class Picture:
    """A decoded radiograph.

    Args:
        pixels: (H, W) float32 in [0, 1], row 0 on top.
        spacing_mm: (row, column) distance of pixel centers, or None where the file does not say.
        whole_size: (height, width) of the picture in the file, where fewer pixels of it were decoded.
    """

    pixels: npt.NDArray[np.float32]
    spacing_mm: tuple[float, float] | None = None
    whole_size: tuple[int, int] | None = None


def check_size(height: int, width: int) -> None:
    """Refuse an empty picture and a decompression bomb, before anything is decoded.

    Raises:
        RadiographError: the size is out of bounds.
    """
    if height < 1 or width < 1:
        raise RadiographError(f"the picture is empty ({height} x {width} pixels)")
    if height * width > MAX_PIXELS:
        raise RadiographError(f"{height} x {width} pixels are more than the limit of {MAX_PIXELS:,}")


def luminance(channels: npt.NDArray[np.float32], name: str) -> npt.NDArray[np.float32]:
    """Turn (H, W, 3) into grey by ITU-R BT.601; equal channels give exactly that channel, real color is logged."""
    spread = channels.max(axis=2) - channels.min(axis=2)
    if not spread.any():
        return np.ascontiguousarray(channels[..., 0])
    if (spread > COLOR_SPREAD).mean() > COLOR_PART:
        logger.warning("%s: a color picture, converted to grey by luminance", name)
    return channels @ np.array([0.299, 0.587, 0.114], dtype=np.float32)


def min_max_to_unit(
    values: npt.NDArray[np.floating], counted: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[np.float64]:
    """Map the smallest value to 0 and the largest to 1; a constant picture becomes zero.

    Args:
        values: any shape, finite.
        counted: the values that take part in the minimum and the maximum; the others are clipped.
    """
    chosen = values if counted is None else values[counted]
    low, high = (float(chosen.min()), float(chosen.max())) if chosen.size else (0.0, 0.0)
    if high <= low:
        return np.zeros(values.shape)
    return np.clip((values.astype(np.float64) - low) / (high - low), 0.0, 1.0)


# Where decoders log; a filter of a logger does not hold for those below it.
_DECODERS = ("pydicom", "pydicom.pixels.utils", "pydicom.pixels.decoders.base", "nibabel.global")
_silenced = threading.local()


@contextmanager
def silent_decoders() -> Iterator[None]:
    """Let no decoder warn or log while the block runs in this thread: they quote values, and those may tell of people.

    What a file lacks is said by our own errors, without a value.
    """
    for name in _DECODERS:
        logging.getLogger(name).addFilter(_is_heard)  # the same filter is added once
    depth = getattr(_silenced, "depth", 0)
    _silenced.depth = depth + 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        _silenced.depth = depth


def _is_heard(_record: logging.LogRecord) -> bool:
    return not getattr(_silenced, "depth", 0)
