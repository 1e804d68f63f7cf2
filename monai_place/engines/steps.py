"""Small things about a training step that several handlers have to agree on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

__all__ = ["NonFiniteLossError", "accumulation_position", "all_finite"]


class NonFiniteLossError(RuntimeError):
    """Loss, gradients or weights are NaN or infinite, and going on would not help."""


def accumulation_position(engine: Any) -> tuple[bool, bool]:
    """Return whether the running step is the first, and whether it is the last, of its gradient accumulation.

    The same arithmetic as in MONAI's `SupervisedTrainer`, which steps the optimizer on the last.

    Args:
        engine: a MONAI trainer.
    """
    steps = getattr(engine, "accumulation_steps", 1)
    length = engine.state.epoch_length
    done = (engine.state.iteration - 1) % length if length else engine.state.iteration - 1
    return done % steps == 0, (done + 1) % steps == 0 or done + 1 == length


def all_finite(tensors: Iterable[torch.Tensor]) -> bool:
    """Return whether no number is NaN or infinite, with one wait for each device.

    Example:
        >>> all_finite([torch.ones(2), torch.tensor([1.0, float("nan")])])
        False
    """
    by_device: dict[torch.device, list[torch.Tensor]] = {}
    for tensor in tensors:
        if tensor.is_floating_point() and tensor.numel():
            by_device.setdefault(tensor.device, []).append(torch.isfinite(tensor).all())
    return all(bool(torch.stack(flags).all()) for flags in by_device.values())
