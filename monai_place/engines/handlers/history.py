"""The run's numbers as a file of JSON lines, which a resumed run goes on with as if nothing had happened."""

from __future__ import annotations

import json
import logging
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Events
from monai.engines import Evaluator
from monai.utils import is_scalar

from monai_place.engines.prepare import loss_terms
from monai_place.engines.ranks import current_rank

__all__ = ["TrainingHistoryHandler", "read_history"]

logger = logging.getLogger(__name__)


class TrainingHistoryHandler:
    """Writes one line a step and one a validation to a file, in whole lines.

    Attach one object to the trainer and to its evaluators, and give it to `ExactCheckpointHandler` as a part: a resumed
    run cuts the file to where the checkpoint was. There are no times in it, so that equal runs have equal files. A
    number that is not finite is null. Rank 0 writes.

    Args:
        path: the file, `.jsonl`. A new run replaces it.
        every: steps from one line to the next.

    Raises:
        ValueError: `every` is below 1.
    """

    def __init__(self, path: str | os.PathLike[str], *, every: int = 1) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1, got {every}")
        self.path = Path(path)
        self.every = every
        self._trainer: Any = None
        self._file: int | None = None
        self._size = -1  # unknown until the first line, or until a checkpoint tells

    def attach(self, engine: Any) -> None:
        """Attach to a MONAI trainer or evaluator."""
        if isinstance(engine, Evaluator):
            # The last event of its run: all metrics are there, whoever computes them.
            engine.add_event_handler(Events.COMPLETED, self._validated)
        else:
            self._trainer = engine
            engine.add_event_handler(Events.ITERATION_COMPLETED(every=self.every), self._trained)
            engine.add_event_handler(Events.COMPLETED, self._close)

    def note(self, row: Mapping[str, Any]) -> None:
        """Write a line of another kind, as of a study that was left out.

        Args:
            row: plain values; its `kind` is neither `train` nor `validation`.
        """
        self._write(row)

    def state_dict(self) -> dict[str, Any]:
        """Return the position in the file; what is before it is on the disk."""
        if self._file is not None:
            os.fsync(self._file)
        return {"bytes": max(self._size, 0)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Cut the file to the position of `state_dict`'s result."""
        self._close()
        self._size = int(state["bytes"])
        if current_rank() != 0:
            return
        there = self.path.stat().st_size if self.path.exists() else 0
        if there < self._size:
            logger.warning("%s lacks lines: %d bytes, the checkpoint knew %d", self.path.name, there, self._size)
            self._size = there
        elif there > self._size:
            os.truncate(self.path, self._size)

    def _trained(self, engine: Any) -> None:
        row: dict[str, Any] = {"kind": "train", "epoch": engine.state.epoch, "iteration": engine.state.iteration}
        row |= loss_terms(engine)
        for name, rate in getattr(engine.state, "learning_rates", {}).items():
            row[f"lr/{name}"] = rate
        if hasattr(engine.state, "gradient_norm"):
            row["gradient_norm"] = engine.state.gradient_norm
            row["skipped_steps"] = engine.state.skipped_steps
        self._write(row)

    def _validated(self, engine: Any) -> None:
        if engine.should_terminate:  # cut short: its numbers are of a part of the data
            return
        trainer = self._trainer or engine
        row: dict[str, Any] = {"kind": "validation", "epoch": trainer.state.epoch, "iteration": trainer.state.iteration}
        row |= {name: float(value) for name, value in engine.state.metrics.items() if is_scalar(value)}
        self._write(row)

    def _write(self, row: Mapping[str, Any]) -> None:
        if current_rank() != 0:
            return
        plain = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
        line = (json.dumps(plain, allow_nan=False) + "\n").encode()
        file = self._open()
        try:
            written = 0
            while written < len(line):
                written += os.write(file, line[written:])
        except OSError:
            os.ftruncate(file, self._size)  # half a line would spoil the file
            raise
        self._size += len(line)

    def _open(self) -> int:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
            self._size = max(self._size, 0)
            os.ftruncate(self._file, self._size)
        return self._file

    def _close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None


def read_history(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Return the lines of a history; a last line without its end, from a killed process, is left out."""
    text = Path(path).read_text(encoding="utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]
