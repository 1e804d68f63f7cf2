"""Where a run stands: a bar on a terminal, a line in the log now and then elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from datetime import timedelta
from typing import Any, TextIO

from ignite.engine import Events

from monai_place.engines.prepare import loss_terms
from monai_place.engines.ranks import current_rank, total_ranks

__all__ = ["TrainingProgressHandler"]

logger = logging.getLogger(__name__)


class TrainingProgressHandler:
    """Tells epoch, step, loss terms, studies per second and the time left; on rank 0.

    Args:
        interval_s: seconds between lines in the log.
        bar: show a bar instead; None does so where `stream` is a terminal.
        stream: of the bar, by default stderr.

    Raises:
        ValueError: `interval_s` is negative.
    """

    def __init__(self, *, interval_s: float = 30.0, bar: bool | None = None, stream: TextIO | None = None) -> None:
        if interval_s < 0:
            raise ValueError(f"interval_s must be at least 0, got {interval_s}")
        self.interval_s = interval_s
        self.stream = sys.stderr if stream is None else stream
        self.bar = self.stream.isatty() if bar is None else bar
        self._bar: Any = None
        self._first: tuple[float, int] | None = None  # time and iteration of the first step of this process
        self._last: tuple[float, int] = (0.0, 0)

    def attach(self, engine: Any) -> None:
        """Attach to a MONAI trainer."""
        engine.add_event_handler(Events.ITERATION_STARTED, self._step_started)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._step_completed)
        engine.add_event_handler(Events.COMPLETED, self._close)

    def _step_started(self, engine: Any) -> None:
        if self._first is None:
            self._first = self._last = (time.monotonic(), engine.state.iteration - 1)

    def _step_completed(self, engine: Any) -> None:
        if current_rank() != 0 or self._first is None:
            return
        now, iteration = time.monotonic(), engine.state.iteration
        total = engine.state.max_epochs * engine.state.epoch_length
        if self.bar:
            self._show(engine, iteration, total)
        elif now - self._last[0] >= self.interval_s or iteration == total:
            self._report(engine, now, total)
            self._last = (now, iteration)

    def _report(self, engine: Any, now: float, total: int) -> None:
        iteration = engine.state.iteration
        steps_per_s = (iteration - self._last[1]) / max(now - self._last[0], 1e-9)
        # What is left takes as long as what is done, validations included.
        (start, first) = self._first or (now, iteration)
        left_s = (now - start) / max(iteration - first, 1) * (total - iteration)
        logger.info(
            "epoch %d/%d, step %d/%d: %s; %.1f studies/s, %s left",
            engine.state.epoch,
            engine.state.max_epochs,
            iteration,
            total,
            ", ".join(f"{name} {value:.4f}" for name, value in loss_terms(engine).items()),
            steps_per_s * _studies_per_step(engine),
            timedelta(seconds=round(left_s)),
        )

    def _show(self, engine: Any, iteration: int, total: int) -> None:
        if self._bar is None:
            from tqdm import tqdm

            first = self._first[1] if self._first else 0
            studies = _studies_per_step(engine)
            self._bar = tqdm(
                total=total * studies, initial=first * studies, unit=" studies", file=self.stream, dynamic_ncols=True
            )
        self._bar.set_description(f"epoch {engine.state.epoch}/{engine.state.max_epochs}", refresh=False)
        self._bar.set_postfix({k: f"{v:.3f}" for k, v in loss_terms(engine).items()}, refresh=False)
        self._bar.update(iteration * _studies_per_step(engine) - self._bar.n)

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None


def _studies_per_step(engine: Any) -> int:
    return int(getattr(engine.data_loader, "batch_size", None) or 1) * total_ranks()
