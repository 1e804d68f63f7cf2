"""A map over its radiograph, in the radiograph's own size: the picture that `monai-place ground` writes."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from monai_place.atomic import write_bytes_atomic
from monai_place.visualize.inputs import check_heat, check_mask, check_shown_image

__all__ = ["encode_png", "heat_layer", "mask_outline", "overlay_heat", "write_overlay"]

Array = npt.NDArray[Any]
Pixels = npt.NDArray[np.uint8]
# Low to high: one hue that no radiograph has, from dark to light, so that order shows without color too.
_RAMP = np.array([(196, 62, 0), (240, 126, 16), (255, 196, 64), (255, 240, 170)], dtype=np.float64)
_OUTLINE = np.array((70, 220, 255), dtype=np.uint8)  # cyan against orange
_HALO = np.array((0, 0, 0), dtype=np.uint8)
_NO_ANSWER_DARKNESS = 0.55
_FADE = 1.5  # low values fade faster than they fall: what is near nothing leaves the radiograph as it is


def heat_layer(heat: Array, *, limits: tuple[float, float] | None = None, strength: float = 0.7) -> Pixels:
    """Turn a map into a picture to lay over its image: the higher the value, the lighter and the less transparent.

    Where the map is NaN (no answer) the layer darkens what is below it. A constant map is wholly transparent: it
    points nowhere.

    Args:
        heat: (H, W) numbers, NaN where there is no answer.
        limits: values shown as nothing and as full; least and greatest value of the map where None.
        strength: opacity of the greatest value, 0 to 1.

    Returns:
        (H, W, 4) red, green, blue, opacity.

    Raises:
        ValueError: if `strength` or `limits` are out of order.

    Example:
        >>> import numpy as np
        >>> heat_layer(np.array([[0.0, 1.0]]), strength=1.0)[0, :, 3]
        array([  0, 255], dtype=uint8)
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength must lie between 0 and 1, got {strength}")
    values = check_heat(heat, shape=np.shape(heat))
    known = np.isfinite(values)
    low, high = limits or (values[known].min(initial=np.inf), values[known].max(initial=-np.inf))
    if limits is not None and not low < high:
        raise ValueError(f"limits must be two growing numbers, got {limits}")
    span = high - low
    share = np.clip((np.where(known, values, low) - low) / span, 0, 1) if span > 0 else np.zeros(values.shape)
    at = share * (len(_RAMP) - 1)
    layer = np.empty((*values.shape, 4))
    for channel in range(3):
        layer[..., channel] = np.interp(at, range(len(_RAMP)), _RAMP[:, channel])
    layer[..., 3] = 255 * strength * share**_FADE
    layer[~known] = (0, 0, 0, 255 * _NO_ANSWER_DARKNESS)
    return layer.round().astype(np.uint8)


def mask_outline(mask: Array, *, thickness: int = 1) -> npt.NDArray[np.bool_]:
    """Return the pixels just outside a region, so that the smallest region stays visible within its outline.

    Args:
        mask: (H, W), anything above zero is inside.
        thickness: of the outline, in pixels.

    Example:
        >>> import numpy as np
        >>> mask_outline(np.array([[0, 0, 0], [0, 1, 0], [0, 0, 0]])).astype(int)
        array([[1, 1, 1],
               [1, 0, 1],
               [1, 1, 1]])
    """
    from scipy.ndimage import binary_dilation

    inside = np.asarray(mask) > 0
    return np.asarray(binary_dilation(inside, np.ones((3, 3)), iterations=thickness) & ~inside)


def overlay_heat(
    image: Array,
    heat: Array,
    *,
    mask: Array | None = None,
    limits: tuple[float, float] | None = None,
    strength: float = 0.7,
) -> Pixels:
    """Lay a map over its image, and outline the true region; no scale, no frame, the image's own size.

    Args:
        image: (H, W) floats in [0, 1].
        heat: (H, W) map, NaN where there is no answer: these pixels are darkened.
        mask: (H, W) true region, outlined in cyan.
        limits: values shown as nothing and as full; least and greatest value of the map where None.
        strength: opacity of the greatest value, 0 to 1.

    Returns:
        (H, W, 3) red, green, blue.

    Raises:
        ValueError: if the image is not (H, W) in [0, 1], or map or mask are of another shape.

    Example:
        >>> import numpy as np
        >>> overlay_heat(np.full((2, 3), 0.5), np.zeros((2, 3)))[0, 0]
        array([128, 128, 128], dtype=uint8)
    """
    gray = check_shown_image(image)
    layer = heat_layer(check_heat(heat, shape=gray.shape), limits=limits, strength=strength).astype(np.float64)
    opacity = layer[..., 3:] / 255  # (H, W, 1)
    picture = gray[..., None] * 255 * (1 - opacity) + layer[..., :3] * opacity
    pixels = picture.round().astype(np.uint8)
    if mask is not None:
        region = check_mask(mask, shape=gray.shape)
        thickness = max(1, round(min(gray.shape) / 300))
        outline = mask_outline(region, thickness=thickness)
        pixels[mask_outline(region | outline, thickness=thickness)] = _HALO
        pixels[outline] = _OUTLINE
    return pixels


def encode_png(pixels: Array) -> bytes:
    """Encode a picture as PNG; the same picture gives the same bytes.

    Args:
        pixels: (H, W) gray, (H, W, 3) color or (H, W, 4) color and opacity, uint8.

    Raises:
        ValueError: if it is no picture of uint8.
    """
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3):
        raise ValueError(
            f"pixels must be a (H, W), (H, W, 3) or (H, W, 4) array of uint8, got {pixels.dtype} {pixels.shape}"
        )
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def write_overlay(
    path: str | os.PathLike[str],
    image: Array,
    *,
    heat: Array,
    mask: Array | None = None,
    limits: tuple[float, float] | None = None,
    strength: float = 0.7,
) -> Path:
    """Write `overlay_heat` as a PNG in the image's own size, whole or not at all.

    Args:
        path: file to write, ending in .png.
        image: (H, W) floats in [0, 1].
        heat: (H, W) map, NaN where there is no answer.
        mask: (H, W) true region, outlined.
        limits: values shown as nothing and as full; least and greatest value of the map where None.
        strength: opacity of the greatest value, 0 to 1.

    Raises:
        ValueError: if the ending is not .png, or the arrays do not fit each other.
    """
    target = Path(path)
    if target.suffix.lower() != ".png":
        raise ValueError(f"path must end in .png, got {target.name!r}")
    write_bytes_atomic(target, encode_png(overlay_heat(image, heat, mask=mask, limits=limits, strength=strength)))
    return target
