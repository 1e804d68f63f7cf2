"""Curves for TensorBoard: loss terms, learning rates, throughput, validation metrics."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from ignite.engine import Events
from monai.engines import Evaluator
from monai.utils import is_scalar

from monai_place.engines.prepare import loss_terms
from monai_place.engines.ranks import current_rank, total_ranks

__all__ = ["TrainingCurvesHandler"]


class TrainingCurvesHandler:
    """Writes TensorBoard events; attach one object to the trainer and to its evaluators.

    MONAI's `TensorBoardStatsHandler` opens its files before a resumed run knows where it stands. This one opens them at
    the first step, and hides what an earlier process wrote beyond the checkpoint.

    Args:
        folder: of the event files.
        every: steps from one point to the next.

    Raises:
        ValueError: `every` is below 1.
    """

    def __init__(self, folder: str | os.PathLike[str], *, every: int = 10) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1, got {every}")
        self.folder = Path(folder)
        self.every = every
        self._trainer: Any = None
        self._writer: Any = None
        self._last: tuple[float, int] | None = None

    def attach(self, engine: Any) -> None:
        """Attach to a MONAI trainer or evaluator."""
        if isinstance(engine, Evaluator):
            engine.add_event_handler(Events.COMPLETED, self._validated)
        else:
            self._trainer = engine
            engine.add_event_handler(Events.ITERATION_STARTED(once=1), self._start_clock)
            engine.add_event_handler(Events.ITERATION_COMPLETED(every=self.every), self._trained)
            engine.add_event_handler(Events.COMPLETED, self._close)

    def _start_clock(self, engine: Any) -> None:
        self._last = (time.monotonic(), engine.state.iteration - 1)

    def _trained(self, engine: Any) -> None:
        if current_rank() != 0:
            return
        step, now = engine.state.iteration, time.monotonic()
        writer = self._open(step)
        for name, value in loss_terms(engine).items():
            writer.add_scalar(f"train/{name}", value, step)
        for name, rate in getattr(engine.state, "learning_rates", {}).items():
            writer.add_scalar(f"lr/{name}", rate, step)
        norm = getattr(engine.state, "gradient_norm", None)
        if norm is not None:
            writer.add_scalar("train/gradient_norm", norm, step)
        if self._last is not None:
            studies = (step - self._last[1]) * (getattr(engine.data_loader, "batch_size", None) or 1) * total_ranks()
            writer.add_scalar("train/studies_per_s", studies / max(now - self._last[0], 1e-9), step)
        self._last = (now, step)

    def _validated(self, engine: Any) -> None:
        if current_rank() != 0 or engine.should_terminate:
            return
        step = (self._trainer or engine).state.iteration
        writer = self._open(step)
        for name, value in engine.state.metrics.items():
            if is_scalar(value):
                writer.add_scalar(f"validation/{name}", float(value), step)
        writer.flush()
        self._last = None  # the validation's time is not the training's

    def _open(self, step: int) -> Any:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self.folder), purge_step=step)
        return self._writer

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
