"""Small helpers around MONAI's tracked tensors and the boxes that go with them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform
from monai.transforms.inverse import TraceableTransform
from monai.utils import convert_to_tensor

__all__ = ["check_image", "check_unit_range", "move_boxes", "plain", "pushed", "spatial_size", "untracked"]

ROUNDING = 1e-4  # of resampling


def plain(image: Any) -> torch.Tensor:
    """Return the values as a plain tensor: every operation on a MetaTensor costs 20 to 50 microseconds more."""
    tensor: torch.Tensor = convert_to_tensor(image, track_meta=False)
    return tensor.as_tensor() if isinstance(tensor, MetaTensor) else tensor


def spatial_size(image: Any) -> tuple[int, int]:
    """Return (H, W) of a channel-first image.

    Raises:
        ValueError: the image is not (C, H, W).
    """
    if len(image.shape) != 3:
        raise ValueError(f"expected an image of shape (C, H, W), got {tuple(image.shape)}")
    return int(image.shape[1]), int(image.shape[2])


def check_image(image: Any, key: Hashable) -> None:
    """Refuse what is no radiograph between loading and normalization; nothing is cast silently.

    Args:
        image: must be (1, H, W), floating point.
        key: that it lies under, for the message.

    Raises:
        TypeError: the values are not floating point.
        ValueError: the shape is another one.
    """
    if not hasattr(image, "dtype") or not hasattr(image, "shape"):
        raise TypeError(f"{key!r} must be an image (1, H, W), float32 in [0, 1], got {type(image).__name__}")
    if not (image.is_floating_point() if isinstance(image, torch.Tensor) else image.dtype.kind == "f"):
        kind = str(image.dtype).removeprefix("torch.")
        raise TypeError(f"{key!r} must be float32 in [0, 1], got {kind}; divide by the largest value of its type")
    if len(image.shape) != 3 or image.shape[0] != 1:
        hint = "; channels come first" if len(image.shape) == 3 and image.shape[-1] in (1, 3, 4) else ""
        raise ValueError(f"{key!r} must have the shape (1, H, W), got {tuple(image.shape)}{hint}")


def check_unit_range(values: torch.Tensor, key: Hashable) -> None:
    """Refuse values outside [0, 1], as of a picture in 0..255 or one that is normalized already.

    Args:
        values: at the network's size, where looking at every value costs nothing.
        key: that they lie under, for the message.

    Raises:
        ValueError: a value is outside, or not a number.
    """
    low, high = (float(bound) for bound in torch.aminmax(values)) if values.numel() else (0.0, 0.0)
    if not (low >= -ROUNDING and high <= 1 + ROUNDING):  # false for NaN, too
        raise ValueError(f"{key!r} must lie in [0, 1], got {low:g} to {high:g}")


def pushed(
    transform: InvertibleTransform,
    source: Any,
    values: torch.Tensor,
    *,
    affine: npt.NDArray[np.floating] | None = None,
    extra: dict[str, Any] | None = None,
) -> torch.Tensor:
    """Return `values` with the metadata of `source` and a note of what `transform` did, for its inverse.

    Args:
        transform: that made `values` from `source`.
        source: the image before; what is not a MetaTensor is not tracked.
        values: the image after.
        affine: (3, 3) from an index (row, column) after to one before; None where no pixel moved.
        extra: what the inverse needs to know, plain values.
    """
    if not isinstance(source, MetaTensor):
        return values
    result = MetaTensor(values).copy_meta_from(source)
    transform.push_transform(result, orig_size=spatial_size(source), affine=affine, extra_info=extra or {})
    return result


def untracked(source: Any, values: torch.Tensor, affine: npt.NDArray[np.floating] | None = None) -> torch.Tensor:
    """Return `values` with the metadata of `source`, moved by `affine`, and no note."""
    if not isinstance(source, MetaTensor):
        return values
    result = MetaTensor(values).copy_meta_from(source)
    if affine is not None:
        result.copy_meta_from(TraceableTransform.track_transform_meta(result, affine=affine))
    return result


def move_boxes(
    data: dict[Hashable, Any],
    boxes_key: Hashable | None,
    label_keys: Sequence[Hashable],
    move: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.floating]],
    size: tuple[int, int],
) -> None:
    """Move the boxes of `data` in place, clip them, and drop those that left the image, with their labels.

    Args:
        data: the dictionary of a record.
        boxes_key: of [[x0, y0, x1, y1], ...]; nothing happens where it is None, missing or null.
        label_keys: of lists with one entry a box.
        move: from (n, 4) boxes before to boxes after.
        size: (H, W) of the image after.

    Raises:
        ValueError: a list of labels has another length than the boxes.
    """
    if boxes_key is None or data.get(boxes_key) is None:
        return
    boxes = np.asarray(data[boxes_key], dtype=np.float32).reshape(-1, 4)
    limit = np.array([size[1], size[0]] * 2, dtype=np.float32)
    moved = np.clip(move(boxes), 0, limit).astype(np.float32)
    kept = (moved[:, 2] > moved[:, 0]) & (moved[:, 3] > moved[:, 1])
    data[boxes_key] = moved[kept]
    for key in label_keys:
        if data.get(key) is None:
            continue
        if len(data[key]) != len(boxes):
            raise ValueError(f"{key!r} has {len(data[key])} entries for {len(boxes)} boxes in {boxes_key!r}")
        if not kept.all():
            data[key] = [label for label, keep in zip(data[key], kept, strict=True) if keep]
