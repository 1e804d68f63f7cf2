"""Early stopping that a resumed run remembers."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from ignite.engine import Engine, Events
from ignite.handlers import EarlyStopping
from monai.engines import Evaluator

from monai_place.engines.handlers.best_model import MetricMode

__all__ = ["PatienceHandler"]

logger = logging.getLogger(__name__)


class PatienceHandler:
    """Ends a training after so many validations in a row without a better metric, by ignite's `EarlyStopping`.

    Attach one object to the evaluator and to the trainer, and give it to `ExactCheckpointHandler` as a part. A run that
    had stopped and is resumed ends at once. A metric that is not finite is not better.

    Args:
        metric: name in the evaluator's metrics.
        mode: `min` or `max`.
        patience: validations without an improvement; 0 never stops.

    Raises:
        ValueError: `patience` is negative, or the mode unknown.
    """

    def __init__(self, *, metric: str = "val_loss", mode: MetricMode = "min", patience: int = 10) -> None:
        if patience < 0:
            raise ValueError(f"patience must be at least 0, got {patience}")
        if mode not in ("min", "max"):
            raise ValueError(f"mode must be 'min' or 'max', got {mode!r}")
        self.metric = metric
        self.sign = 1.0 if mode == "max" else -1.0
        self.patience = patience
        # Ignite's wants its trainer at once, which a config can only name after the evaluator.
        self._stopping = EarlyStopping(max(patience, 1), self._score, Engine(lambda _engine, _batch: None))

    def attach(self, engine: Any) -> None:
        """Attach to a MONAI evaluator, and to the trainer."""
        if isinstance(engine, Evaluator):
            engine.add_event_handler(Events.COMPLETED, self._validated)
        else:
            self._stopping.trainer = engine
            engine.add_event_handler(Events.EPOCH_STARTED, self._begin)

    def state_dict(self) -> dict[str, Any]:
        """Return the best score and how long it has been."""
        return dict(self._stopping.state_dict())

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up the best score and how long it has been."""
        self._stopping.load_state_dict(state)

    def _score(self, engine: Any) -> float:
        if self.metric not in engine.state.metrics:
            raise ValueError(f"the evaluator has no metric {self.metric!r}; it has {sorted(engine.state.metrics)}")
        value = self.sign * float(engine.state.metrics[self.metric])
        return value if math.isfinite(value) else -math.inf

    def _validated(self, engine: Any) -> None:
        if self.patience and not engine.should_terminate:  # cut short: its numbers are of a part of the data
            self._stopping(engine)
            if self._stopping.counter >= self.patience:
                logger.info("%s has not improved in %d validations: the training ends", self.metric, self.patience)

    def _begin(self, engine: Any) -> None:
        if self.patience and self._stopping.counter >= self.patience:
            engine.terminate()
