"""Gradient clipping, and what happens when a loss or a gradient is NaN or infinite."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import torch
from monai.engines import IterationEvents
from monai.utils.enums import CommonKeys

from monai_place.engines.prepare import loss_terms
from monai_place.engines.ranks import any_rank
from monai_place.engines.steps import NonFiniteLossError, accumulation_position

__all__ = ["GradientPolicyHandler"]

logger = logging.getLogger(__name__)


class GradientPolicyHandler:
    """Clips the gradients' norm, and skips steps that would put NaN into the weights.

    A step with a loss or gradient that is not finite, on any rank, is skipped on all: the gradients are set to None,
    with which an optimizer does nothing. It is logged with the ids of this rank's studies and counted in
    `engine.state.skipped_steps`. With gradient accumulation the whole accumulated step is skipped. The norm before
    clipping is in `engine.state.gradient_norm`, None for a skipped step.

    While a gradient scaler (float16) searches its scale, gradients overflow with a finite loss; these steps are skipped
    but do not count towards `max_in_a_row`.

    Args:
        max_norm: the norm to clip to; None does not clip.
        max_in_a_row: so many skipped steps in a row end the run.

    Raises:
        ValueError: a number is out of its range.
    """

    def __init__(self, *, max_norm: float | None = 1.0, max_in_a_row: int = 10) -> None:
        if max_norm is not None and not max_norm > 0:
            raise ValueError(f"max_norm must be positive or None, got {max_norm}")
        if max_in_a_row < 1:
            raise ValueError(f"max_in_a_row must be at least 1, got {max_in_a_row}")
        self.max_norm = max_norm
        self.max_in_a_row = max_in_a_row
        self.skipped = 0
        self.in_a_row = 0
        self._group_is_finite = True

    def attach(self, engine: Any) -> None:
        """Attach to a MONAI trainer."""
        engine.add_event_handler(IterationEvents.BACKWARD_COMPLETED, self._backward_completed)

    def state_dict(self) -> dict[str, Any]:
        """Return the counts."""
        return {"skipped": self.skipped, "in_a_row": self.in_a_row}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up the counts."""
        self.skipped, self.in_a_row = int(state["skipped"]), int(state["in_a_row"])

    def _backward_completed(self, engine: Any) -> None:
        first, last = accumulation_position(engine)
        loss_is_finite = bool(torch.isfinite(engine.state.output[CommonKeys.LOSS].detach()).all())
        self._group_is_finite = loss_is_finite and (first or self._group_is_finite)
        if not loss_is_finite:
            self._log(engine, "loss")
        if not last:
            return
        if engine.scaler is not None:
            engine.scaler.unscale_(engine.optimizer)
        parameters = [p for group in engine.optimizer.param_groups for p in group["params"] if p.grad is not None]
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters])
        norm_is_finite = bool(torch.isfinite(norm))
        if self._group_is_finite and not norm_is_finite:
            self._log(engine, "gradient")
        # The ranks' gradients are equal, but their losses are not: without this, ranks could part for good.
        bad_loss, bad_gradient = any_rank(not self._group_is_finite), any_rank(not norm_is_finite)
        if bad_loss or bad_gradient:
            self._skip(engine, parameters, counts=bad_loss or _scale(engine) <= 1)
            return
        self.in_a_row = 0
        if self.max_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(parameters, self.max_norm, norm)
        engine.state.gradient_norm = float(norm)
        engine.state.skipped_steps = self.skipped

    def _skip(self, engine: Any, parameters: list[torch.nn.Parameter], *, counts: bool) -> None:
        for parameter in parameters:
            parameter.grad = None
        self.skipped += 1
        self.in_a_row += int(counts)
        engine.state.gradient_norm = None
        engine.state.skipped_steps = self.skipped
        logger.warning(
            "step %d is skipped: %d in a row, %d in all", engine.state.iteration, self.in_a_row, self.skipped
        )
        if self.in_a_row >= self.max_in_a_row:
            raise NonFiniteLossError(
                f"{self.in_a_row} steps in a row had a loss or gradient that is not finite, the last was step "
                f"{engine.state.iteration}; max_in_a_row is {self.max_in_a_row}. Lower the learning rate, clip harder, "
                "or look at the studies that the log names"
            )

    def _log(self, engine: Any, what: str) -> None:
        terms = {name: f"{value:g}" for name, value in loss_terms(engine).items()}
        batch = engine.state.batch
        names = list(batch.get("id", ["unknown"])) if isinstance(batch, Mapping) else ["unknown"]
        logger.warning("%s of step %d is not finite: terms %s, studies %s", what, engine.state.iteration, terms, names)


def _scale(engine: Any) -> float:
    """Return the scale of an active gradient scaler, else 0."""
    scaler = engine.scaler
    return float(scaler.get_scale()) if scaler is not None and scaler.is_enabled() else 0.0
