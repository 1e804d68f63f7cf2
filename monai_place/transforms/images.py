"""The image side of a study's transforms as one list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monai.transforms import Transform

from monai_place.preprocess import PreprocessSpec
from monai_place.transforms.augment import RandRadiographAffined
from monai_place.transforms.geometry import FitRadiographd
from monai_place.transforms.intensity import NormalizeRadiographd, RandRadiographIntensityd
from monai_place.transforms.load import LoadRadiographd

__all__ = ["image_transforms"]


def image_transforms(
    spec: PreprocessSpec,
    *,
    augment: bool = False,
    mask_keys: Sequence[str] = (),
    boxes_key: str | None = None,
    box_label_keys: Sequence[str] = (),
) -> list[Transform]:
    """Return the transforms from `image` (a path) to the network's input, for `monai.transforms.Compose`.

    Args:
        spec: the preprocessing that travels with the weights.
        augment: add random pose and exposure, for training; never a flip. Large JPEGs are then decoded at a lower
            resolution (`spec.least_side`), unless there are masks or boxes.
        mask_keys: of paths of masks that go with the image.
        boxes_key: of boxes that go with the image.
        box_label_keys: of lists with one entry a box.

    Returns:
        Loading, fitting to the square, random pose and exposure where asked for, normalization. The normalization
        leaves no note for `Invertd`, which is for maps.

    Example:
        >>> [type(step).__name__ for step in image_transforms(PreprocessSpec(image_size=64))]
        ['LoadRadiographd', 'FitRadiographd', 'NormalizeRadiographd']
    """
    boxes: dict[str, Any] = {"boxes_key": boxes_key, "box_label_keys": tuple(box_label_keys)}
    masks = tuple(mask_keys)
    # What is trained on may be read at a lower resolution; what is measured, and what has a place in the file, is not.
    reduced = augment and not masks and boxes_key is None
    steps: list[Transform] = [
        LoadRadiographd("image", masks, least_side=spec.least_side if reduced else None),
        FitRadiographd("image", spec.image_size, resize_rule=spec.resize_rule, mask_keys=masks, **boxes),
    ]
    if augment:
        steps += [RandRadiographAffined("image", masks, **boxes), RandRadiographIntensityd("image")]
    return [*steps, NormalizeRadiographd("image", spec.mean, spec.std, invertible=False)]
