"""The learning rate as a function of the iteration: linear warm-up, then half a cosine."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

from monai.engines import IterationEvents
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from monai_place.engines.steps import accumulation_position

__all__ = ["IterationScheduleHandler", "build_warmup_cosine", "warmup_cosine_factor"]


def warmup_cosine_factor(step: int, *, warmup_steps: int, total_steps: int, floor: float = 0.0) -> float:
    """Return the factor on the learning rate in step `step`, counted from 0.

    Args:
        step: 0 is the first.
        warmup_steps: the factor rises linearly and is 1 in the last of these.
        total_steps: the factor would reach `floor` in the step after these; from there on it stays.
        floor: the smallest factor after the warm-up.

    Example:
        >>> [round(warmup_cosine_factor(step, warmup_steps=2, total_steps=6), 2) for step in range(6)]
        [0.5, 1.0, 0.9, 0.65, 0.35, 0.1]
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    # The peak was the last step of the warm-up (or, without one, is step 0).
    peak = max(warmup_steps - 1, 0)
    progress = min((step - peak) / (total_steps - peak), 1.0)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * progress))


def build_warmup_cosine(optimizer: Optimizer, *, warmup_steps: int, total_steps: int, floor: float = 0.0) -> LambdaLR:
    """Return a scheduler that is stepped once an iteration, see `IterationScheduleHandler`.

    MONAI's `WarmupCosineSchedule` begins at a rate of 0, which wastes the first step, and its `end_lr` is absolute, the
    same for all groups.

    Args:
        optimizer: its groups keep their ratios.
        warmup_steps: iterations of the linear rise.
        total_steps: iterations of the training.
        floor: the smallest factor after the warm-up.

    Raises:
        ValueError: a number is out of its range.
    """
    if total_steps < 1 or not 0 <= warmup_steps <= total_steps or not 0 <= floor <= 1:
        raise ValueError(
            "expected total_steps of at least 1, warmup_steps in [0, total_steps] and floor in [0, 1], got "
            f"{total_steps}, {warmup_steps} and {floor}"
        )
    # A partial has no state of its own: after a resume the configuration's schedule holds, at the checkpoint's step.
    factor = partial(warmup_cosine_factor, warmup_steps=warmup_steps, total_steps=total_steps, floor=floor)
    return LambdaLR(optimizer, factor)


class IterationScheduleHandler:
    """Steps a scheduler once an iteration; with gradient accumulation, when the optimizer has stepped.

    It leaves the rates of the iteration, by group, in `engine.state.learning_rates` for handlers that log.

    Args:
        scheduler: of torch.
    """

    def __init__(self, scheduler: LRScheduler) -> None:
        self.scheduler = scheduler
        self._due = 0

    def attach(self, engine: Any) -> None:
        """Attach to a MONAI trainer."""
        # Before ITERATION_COMPLETED, so that whatever is saved or logged there finds the step complete, in any order
        # of the handlers.
        engine.add_event_handler(IterationEvents.MODEL_COMPLETED, self._step)

    def _step(self, engine: Any) -> None:
        groups = self.scheduler.optimizer.param_groups
        engine.state.learning_rates = {
            str(group.get("name", index)): float(group["lr"]) for index, group in enumerate(groups)
        }
        self._due += 1
        if accumulation_position(engine)[1]:
            for _ in range(self._due):
                self.scheduler.step()
            self._due = 0
