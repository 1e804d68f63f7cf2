"""The precision in which losses compute."""

from __future__ import annotations

import torch

__all__ = ["at_least_float32"]


def at_least_float32(tensor: torch.Tensor) -> torch.Tensor:
    """Raise half precision to float32 and leave float64 as it is, so that gradients can be checked in it.

    exp(1 / 0.01) is far out of the range of half precision, and sums over a batch lose its small terms.

    Example:
        >>> [at_least_float32(torch.zeros(1, dtype=kind)).dtype for kind in (torch.bfloat16, torch.float64)]
        [torch.float32, torch.float64]
    """
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor
