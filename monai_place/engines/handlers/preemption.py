"""SIGTERM and SIGINT: finish the step, save, and say by the exit code that the run can be resumed."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Any

from ignite.engine import Events

from monai_place.engines.handlers.checkpoints import ExactCheckpointHandler
from monai_place.engines.ranks import any_rank, total_ranks

__all__ = ["EXIT_RESUMABLE", "PreemptionHandler"]

EXIT_RESUMABLE = 75  # EX_TEMPFAIL of sysexits.h: "try again later"

logger = logging.getLogger(__name__)


class PreemptionHandler:
    """Lets a run be stopped from outside without loss, such as by a cluster's scheduler or with Ctrl+C.

    On the first signal the running step is finished on all ranks, a checkpoint is saved, and the process ends with
    exit code 75 (EX_TEMPFAIL): run the same command with `resume='auto'` to go on. A second signal ends it at once.
    Under torchrun the exit code is torchrun's own.

    Args:
        checkpoint: the handler that saves; attached to the same trainer. A running validation of one of its
            evaluators is cut short, and the resumed run begins with it. With several ranks it is finished instead,
            since the ranks may be at different batches.
        signals: names of the signals.
        exit_code: with which the process ends; None only ends the trainer's `run()`, see `requested`.

    Raises:
        ValueError: there is no such signal.
    """

    def __init__(
        self,
        checkpoint: ExactCheckpointHandler,
        *,
        signals: Sequence[str] = ("SIGTERM", "SIGINT"),
        exit_code: int | None = EXIT_RESUMABLE,
    ) -> None:
        if unknown := [name for name in signals if not hasattr(signal, name)]:
            raise ValueError(f"unknown signals {unknown}")
        self.checkpoint = checkpoint
        self.signals = [signal.Signals[name] for name in signals]
        self.exit_code = exit_code
        self.requested = False
        self._before: dict[signal.Signals, Any] = {}
        checkpoint.add_stop_condition(lambda: any_rank(self.requested))

    def attach(self, engine: Any) -> None:
        """Attach to a MONAI trainer."""
        engine.add_event_handler(Events.STARTED, self._begin)
        for evaluator in self.checkpoint.evaluators.values():
            evaluator.add_event_handler(Events.ITERATION_COMPLETED, self._cut_short)

    def _begin(self, engine: Any) -> None:
        # Added now, it comes after all other handlers have closed what they have open.
        engine.add_event_handler(Events.COMPLETED, self._end)
        if threading.current_thread() is not threading.main_thread():
            logger.warning("signals are not handled: the training runs in a thread, python allows the main one only")
            return
        self._before = {number: signal.signal(number, self._on_signal) for number in self.signals}

    def _on_signal(self, number: int, _frame: FrameType | None) -> None:
        if self.requested:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self.requested = True
        logger.warning("%s: finishing this step, then saving; once more to end at once", signal.Signals(number).name)

    def _cut_short(self, evaluator: Any) -> None:
        if self.requested and total_ranks() == 1:
            evaluator.terminate()

    def _end(self, _engine: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
        if self.checkpoint.stopped and self.exit_code is not None:
            logger.warning("the run was stopped and can be resumed; exit code %d", self.exit_code)
            raise SystemExit(self.exit_code)
