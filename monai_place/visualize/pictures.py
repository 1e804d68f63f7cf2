"""Pictures small enough for one page: shrunken, embedded as base64 PNG, the true region as a vector outline."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from monai_place.visualize.inputs import check_shown_image
from monai_place.visualize.overlay import encode_png, heat_layer

__all__ = ["data_uri", "embed_heat", "embed_image", "outline_path", "shrink"]

Array = npt.NDArray[Any]
_MOST_POINTS = 400  # of one closed line


def shrink(image: Array, largest: int) -> npt.NDArray[np.float32]:
    """Return an image whose longer side is at most `largest` pixels, averaged, never enlarged.

    Args:
        image: (H, W) floats.
        largest: most pixels of the longer side.
    """
    picture = np.asarray(image, dtype=np.float32)
    height, width = picture.shape
    scale = largest / max(height, width)
    if scale >= 1:
        return picture
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))


def data_uri(pixels: Array) -> str:
    """Return a picture as a PNG address that needs no file.

    Args:
        pixels: what `overlay.encode_png` takes.
    """
    return "data:image/png;base64," + base64.b64encode(encode_png(pixels)).decode("ascii")


def embed_image(image: Array, *, largest: int) -> str:
    """Return a radiograph as a PNG address.

    Args:
        image: (H, W) floats in [0, 1].
        largest: most pixels of the longer side.
    """
    return data_uri((shrink(check_shown_image(image), largest) * 255).round().astype(np.uint8))


def embed_heat(heat: Array, *, largest: int) -> str:
    """Return a map as a PNG address with opacity, to lie over its radiograph. The browser smooths it.

    Args:
        heat: (H, W), NaN where there is no answer.
        largest: most pixels of the longer side. Values are picked, not averaged: no NaN spreads.
    """
    height, width = np.shape(heat)
    step = max(1.0, max(height, width) / largest)
    rows = ((np.arange(max(1, int(height / step))) + 0.5) * step).astype(np.int64)
    columns = ((np.arange(max(1, int(width / step))) + 0.5) * step).astype(np.int64)
    layer = heat_layer(heat)  # of the whole map: picking must not change its limits
    return data_uri(layer[rows.clip(max=height - 1)][:, columns.clip(max=width - 1)])


def outline_path(mask: Array) -> str:
    """Return the outline of a region as the `d` of an SVG path, in pixels of the image; empty for an empty region.

    Args:
        mask: (H, W), anything above zero is inside.

    Example:
        >>> import numpy as np
        >>> outline_path(np.array([[0, 1]]))
        'M1 0.5L1.5 0L2 0.5L1.5 1L1 0.5Z'
    """
    from contourpy import contour_generator

    padded = np.pad((np.asarray(mask) > 0).astype(np.float32), 1)  # so that lines close at the border
    lines: Any = contour_generator(z=padded, line_type="Separate").lines(0.5)
    parts = []
    for line in lines:
        points = np.asarray(line)[:: max(1, len(line) // _MOST_POINTS)] - 0.5  # pixel i reaches from i to i + 1
        parts.append("M" + "L".join(f"{x:g} {y:g}" for x, y in points.round(1)) + "Z")
    return "".join(parts)
