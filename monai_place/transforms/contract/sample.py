"""Records to try a transform on, with something planted in the picture, and where it is found afterwards."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.data import MetaTensor

__all__ = ["BOXES", "BOX_CLASSES", "IMAGE", "MASK", "SIZES", "Point", "Sample", "dot_center", "same"]

IMAGE, MASK, BOXES, BOX_CLASSES = "image", "mask", "boxes", "box_classes"
SIZES = {"landscape": (96, 144), "portrait": (150, 90)}
BORDER = 9  # dark, as a collimator leaves it
REACH = 6  # of the mask and the box around the dot, in pixels

Point = tuple[float, float]  # (x, y) in pixels; pixel 0 covers [0, 1)


@dataclass(frozen=True)
class Sample:
    """How a record is made.

    Args:
        size: (H, W) of the picture, which is not square.
        dot: whether the bright dot is there; its mask and box are in any case.
        constant: a black picture and nothing else.
        tracked: whether images are MetaTensors, as behind the loading.
    """

    size: tuple[int, int] = SIZES["landscape"]
    dot: bool = True
    constant: bool = False
    tracked: bool = True

    @property
    def center(self) -> tuple[int, int]:
        """Row and column of the dot's pixel, in the upper right part: no flip and no turn leaves it there."""
        return self.size[0] * 3 // 10, self.size[1] * 2 // 3

    def record(self) -> dict[Hashable, Any]:
        """Return a fresh record."""
        row, column = self.center
        image = torch.zeros(1, *self.size)
        if not self.constant:
            field = torch.rand(self.size, generator=torch.Generator().manual_seed(7)) * 0.2 + 0.3
            inside = (slice(BORDER, -BORDER),) * 2
            image[0][inside] = field[inside]
        if self.dot and not self.constant:
            image[0, row - 1 : row + 2, column - 1 : column + 2] = 1
        mask = torch.zeros(1, *self.size)
        mask[0, row - REACH : row + REACH + 1, column - REACH : column + REACH + 1] = 2
        make = MetaTensor if self.tracked else torch.clone
        return {
            "id": "planted",
            IMAGE: make(image),
            MASK: make(mask),
            BOXES: [[column - REACH, row - REACH, column + REACH + 1, row + REACH + 1]],
            BOX_CLASSES: ["dot"],
            "report": "FINDINGS: There is a bright dot. No effusion.",
            "sentence_texts": ["There is a bright dot.", "No effusion."],
            "label": [1, None],
            "view": "PA",
        }


def dot_center(with_dot: Any, without: Any) -> Point | None:
    """Return the center of what the dot has changed in a picture; None where nothing is left of it.

    Args:
        with_dot: (1, H, W) of the record with the dot, behind the transform.
        without: the same of the record without.
    """
    change = np.abs(_array(with_dot) - _array(without))[0]
    top = float(change.max()) if change.size else 0.0
    if not top > 1e-3:
        return None
    weights = np.clip(change - 0.5 * top, 0, None)  # what spreads over the picture is not the dot
    rows, columns = np.indices(weights.shape)
    return (
        float((columns * weights).sum() / weights.sum()) + 0.5,
        float((rows * weights).sum() / weights.sum()) + 0.5,
    )


def same(one: Any, other: Any) -> bool:
    """Tell whether two values of a record are equal to the last bit, in type, shape and content."""
    if isinstance(one, (torch.Tensor, np.ndarray)) or isinstance(other, (torch.Tensor, np.ndarray)):
        if not all(isinstance(value, (torch.Tensor, np.ndarray)) for value in (one, other)):
            return False
        left, right = _array(one), _array(other)
        return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    return type(one) is type(other) and bool(one == other)


def _array(value: Any) -> npt.NDArray[Any]:
    return np.asarray(value.as_tensor() if isinstance(value, MetaTensor) else value)
