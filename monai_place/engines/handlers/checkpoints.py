"""Checkpoints from which a run goes on as if it had never stopped."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Events
from monai.engines import IterationEvents

from monai_place.engines.checkpoint import load_training_state
from monai_place.engines.checkpoint_manager import CheckpointManager, CorruptPolicy
from monai_place.engines.ranks import current_rank, gather_bytes, run_on_first_rank
from monai_place.engines.steps import NonFiniteLossError, accumulation_position, all_finite
from monai_place.engines.training_state import (
    StatefulPart,
    check_exact_trainer,
    collect_progress,
    collect_weights,
    restore_training_state,
)

__all__ = ["ExactCheckpointHandler"]

logger = logging.getLogger(__name__)


class ExactCheckpointHandler:
    """Saves and takes up a MONAI trainer so that, on a CPU, a resumed run equals the uninterrupted one bit for bit.

    Attach it to a trainer whose loader comes from `study_loader`. Its place among the handlers does not matter: it
    saves after all others have done their part of an iteration or epoch, validation included. In a checkpoint are
    model, optimizer, gradient scaler, iteration and epoch, the sampler's position, the best metrics, the random states
    of python, numpy, torch and the GPU of every rank, and the `parts`.

    Not covered: a `key_train_metric` averaged over an epoch (it would begin anew at the resumed step), and MONAI's
    `exec_at_start` validation (it would run once more).

    Args:
        folder: of the checkpoints, see `CheckpointManager`.
        interval_iterations: save every so many iterations; 0 does not. At the end of an epoch it waits for the
            validation. With gradient accumulation it waits for the optimizer's step.
        interval_epochs: save every so many epochs; 0 does not. The end of the run is saved in any case.
        keep: how many checkpoints stay.
        resume: `never` begins anew, and refuses a folder that holds checkpoints; `auto` takes up the latest where there
            is one; anything else is the path of the one to take up.
        on_corrupt: with `auto`, `raise` where the latest is corrupt or go back to the `previous` one.
        parts: what else has a state, by name: scheduler, history, gradient policy.
        evaluators: whose best metric is remembered, by name.

    Raises:
        ValueError: an interval is negative.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        interval_iterations: int = 0,
        interval_epochs: int = 1,
        keep: int = 3,
        resume: str | os.PathLike[str] = "never",
        on_corrupt: CorruptPolicy = "raise",
        parts: Mapping[str, StatefulPart] | None = None,
        evaluators: Mapping[str, Any] | None = None,
    ) -> None:
        if interval_iterations < 0 or interval_epochs < 0:
            raise ValueError(f"intervals must be at least 0, got {interval_iterations} and {interval_epochs}")
        self.manager = CheckpointManager(folder, keep=keep)
        self.interval_iterations = interval_iterations
        self.interval_epochs = interval_epochs
        self.resume = resume
        self.on_corrupt: CorruptPolicy = on_corrupt
        self.parts = dict(parts or {})
        self.evaluators = dict(evaluators or {})
        self.stopped = False
        self._stop_conditions: list[Callable[[], bool]] = []
        self._started = False
        self._trained = self._validated = -1  # the iterations after which step and epoch were complete
        self._saved: tuple[int, bool] | None = None
        self._epoch_end: dict[str, Any] = {}

    def attach(self, engine: Any) -> None:
        """Attach to a MONAI trainer."""
        engine.add_event_handler(Events.STARTED, self._begin)

    def add_stop_condition(self, condition: Callable[[], bool]) -> None:
        """Save and end the run after the step in which `condition` is true; it has to be so on all ranks at once."""
        self._stop_conditions.append(condition)

    def save(self, engine: Any, *, epoch_end_pending: bool = False) -> None:
        """Write a checkpoint of the running iteration; every rank has to call it.

        Args:
            engine: the trainer.
            epoch_end_pending: the epoch's iterations are done, its validation is not. The resumed run begins with it.

        Raises:
            NonFiniteLossError: the weights are not finite. The checkpoints that are there stay.
        """
        iteration = engine.state.iteration
        if self._saved == (iteration, epoch_end_pending):
            return
        progress = self._epoch_end if epoch_end_pending else collect_progress(engine, self.parts, self.evaluators)
        if not all_finite(engine.network.parameters()):
            raise NonFiniteLossError(
                f"the weights are not finite after iteration {iteration}; no checkpoint is written"
            )
        state = {**progress, "epoch_end_pending": epoch_end_pending, **collect_weights(engine)}
        run_on_first_rank(lambda: self.manager.save(state, iteration=iteration))
        self._saved = (iteration, epoch_end_pending)
        logger.info("saved %s", self.manager.path(iteration).name)

    def _begin(self, engine: Any) -> None:
        sampler = check_exact_trainer(engine)
        if self._started:
            return
        self._started = True
        # Added now, when the trainer has all its other handlers, these come last in each event.
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._iteration_completed)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch_completed)
        engine.add_event_handler(Events.COMPLETED, self._completed)
        engine.add_event_handler(
            IterationEvents.MODEL_COMPLETED, lambda: sampler.consume(engine.data_loader.batch_size)
        )
        self._take_up(engine)

    def _iteration_completed(self, engine: Any) -> None:
        iteration, length = engine.state.iteration, engine.state.epoch_length
        self._trained = iteration
        at_end = iteration % length == 0
        if at_end:
            self._epoch_end = collect_progress(engine, self.parts, self.evaluators)
        stop = self._should_stop()
        if not accumulation_position(engine)[1]:
            return
        if stop:
            self._save_and_stop(engine, epoch_end_pending=at_end)
        elif not at_end and self.interval_iterations and iteration % self.interval_iterations == 0:
            self.save(engine)

    def _epoch_completed(self, engine: Any) -> None:
        # A validation that was cut short has to be done again.
        pending = any(evaluator.should_terminate for evaluator in self.evaluators.values())
        self._validated = -1 if pending else engine.state.iteration
        due = (self.interval_epochs and engine.state.epoch % self.interval_epochs == 0) or (
            self.interval_iterations and engine.state.iteration % self.interval_iterations == 0
        )
        if self._should_stop():
            self._save_and_stop(engine, epoch_end_pending=pending)
        elif due:
            self.save(engine, epoch_end_pending=pending)

    def _completed(self, engine: Any) -> None:
        """Save the end of the run, unless it ended in the middle of a step."""
        iteration = engine.state.iteration
        whole = self._trained == iteration and accumulation_position(engine)[1]
        if whole and (self._saved is None or self._saved[0] != iteration):
            at_end = iteration % engine.state.epoch_length == 0
            self.save(engine, epoch_end_pending=at_end and self._validated != iteration)

    def _should_stop(self) -> bool:
        # No short cut: each condition may be a conversation among the ranks.
        return any([condition() for condition in self._stop_conditions])  # noqa: C419

    def _save_and_stop(self, engine: Any, *, epoch_end_pending: bool) -> None:
        self.save(engine, epoch_end_pending=epoch_end_pending)
        self.stopped = True
        engine.terminate()

    def _take_up(self, engine: Any) -> None:
        run_on_first_rank(self.manager.remove_temporary)
        path, state = self._find()
        if path is None:
            return
        try:
            restore_training_state(engine, state, self.parts, self.evaluators)
        except (ValueError, RuntimeError, KeyError) as error:
            raise ValueError(f"{path.name} cannot be taken up: {error}") from error
        run_on_first_rank(lambda: self.manager.set_aside_after(engine.state.iteration))
        logger.info("resumed from %s", path.name)
        if state["epoch_end_pending"]:
            engine.fire_event(Events.EPOCH_COMPLETED)

    def _find(self) -> tuple[Path | None, dict[str, Any]]:
        """Return the checkpoint to take up. Rank 0 looks, so that all ranks find the same on a slow shared disk."""
        found: list[tuple[Path, dict[str, Any]]] = []
        run_on_first_rank(lambda: found.extend(self._look()))
        name = gather_bytes(os.fsencode(found[0][0]) if found else b"")[0]
        if not name:
            return None, {}
        path = Path(os.fsdecode(name))
        return path, found[0][1] if current_rank() == 0 else load_training_state(path)

    def _look(self) -> list[tuple[Path, dict[str, Any]]]:
        if self.resume == "never":
            if latest := self.manager.latest():
                raise ValueError(
                    f"the folder holds {latest.name} of an earlier run; take it up with resume='auto', or take another "
                    "folder"
                )
            return []
        if self.resume != "auto":
            return [(Path(self.resume), load_training_state(self.resume))]
        latest_state = self.manager.load_latest(on_corrupt=self.on_corrupt)
        return [latest_state] if latest_state else []
