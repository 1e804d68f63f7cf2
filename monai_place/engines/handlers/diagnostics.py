"""Runs `PretrainingDiagnostics` along with each validation."""

from __future__ import annotations

from typing import Any

from ignite.engine import Events
from monai.utils.enums import CommonKeys

from monai_place.engines.diagnostics import PretrainingDiagnostics
from monai_place.engines.ranks import unwrap_network
from monai_place.losses import PLACELoss

__all__ = ["DiagnosticsHandler"]


class DiagnosticsHandler:
    """Puts the numbers of `PretrainingDiagnostics` among the evaluator's metrics.

    Args:
        loss: the loss that is trained.
    """

    def __init__(self, loss: PLACELoss) -> None:
        self.diagnostics = PretrainingDiagnostics(loss)

    def attach(self, engine: Any) -> None:
        """Attach to a MONAI evaluator whose batches come from `prepare_study_batch`."""
        engine.add_event_handler(Events.STARTED, lambda _: self.diagnostics.reset())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._update)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._compute)

    def _update(self, engine: Any) -> None:
        output = engine.state.output
        model: Any = unwrap_network(engine.network)
        self.diagnostics.update(model, output[CommonKeys.IMAGE], output[CommonKeys.PRED])

    def _compute(self, engine: Any) -> None:
        if not engine.should_terminate:  # cut short: the ranks may be at different batches
            engine.state.metrics.update(self.diagnostics.compute())
