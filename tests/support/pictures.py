"""Pictures with something planted in them, and where it is found again."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

__all__ = ["center_of", "planted_record"]


def planted_record(height: int, width: int, box: tuple[int, int, int, int]) -> dict[str, Any]:
    """Return a record with a bright rectangle, its mask (value 2) and its box [x0, y0, x1, y1]."""
    x0, y0, x1, y1 = box
    image = torch.zeros(1, height, width)
    image[0, y0:y1, x0:x1] = 1
    return {"id": "a", "image": image, "mask": image * 2, "boxes": [list(box)], "box_classes": ["nodule"]}


def center_of(image: Any) -> tuple[float, float]:
    """Return the center of mass of a (1, H, W) picture as a point (x, y)."""
    weights = np.asarray(image, dtype=np.float64)[0]
    rows, columns = np.indices(weights.shape)
    return (
        float((columns * weights).sum() / weights.sum()) + 0.5,
        float((rows * weights).sum() / weights.sum()) + 0.5,
    )
