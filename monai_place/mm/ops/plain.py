"""What the served operators share: they run as compiled ones do, whatever autograd and autocast are set to."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

__all__ = ["check_regions", "plainly", "widened"]

P = ParamSpec("P")
R = TypeVar("R")


def plainly(operator: Callable[P, R]) -> Callable[P, R]:
    """Run `operator` without autograd and autocast: mmcv's autograd functions see to the one and cast for the other."""

    @wraps(operator)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        device = next(value.device for value in (*args, *kwargs.values()) if isinstance(value, Tensor))
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            return operator(*args, **kwargs)

    return run


def widened(value: Tensor) -> Tensor:
    """Return `value` in float32, or float64 where it is: torchvision has few kernels for half, and none for bfloat16.

    Example:
        >>> widened(torch.ones(1, dtype=torch.bfloat16)).dtype
        torch.float32
    """
    return value if value.dtype in (torch.float32, torch.float64) else value.float()


def check_regions(rois: Tensor, images: int) -> None:
    """Raise where a region would have a kernel read memory that is not the features'; on a GPU that would be a wait.

    Args:
        rois: (R, 5) image, x0, y0, x1, y1.
        images: how many there are.

    Raises:
        ValueError: a region is not finite, or of an image that there is not.
    """
    if rois.device.type != "cpu":
        return
    wrong = ~rois.isfinite().all(1) | (rois[:, 0] < 0) | (rois[:, 0] >= images)
    if wrong.any():
        first = int(wrong.nonzero()[0])
        raise ValueError(
            f"region {first} is {rois[first].tolist()}, expected finite numbers: an image from 0 to {images - 1}, "
            "x0, y0, x1, y1. Boxes that are not finite come of a training that has diverged"
        )
