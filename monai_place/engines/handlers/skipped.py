"""Which studies a run left out because they could not be prepared: named as they are met, and again at its end."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ignite.engine import Events
from monai.engines import Evaluator

from monai_place.engines.dataset import StudyDataset, StudyError
from monai_place.engines.handlers.history import TrainingHistoryHandler

__all__ = ["SkippedStudiesHandler"]

logger = logging.getLogger(__name__)


class SkippedStudiesHandler:
    """Names the ids of the studies that a `StudyDataset` with `on_error="skip"` has left out.

    Attach one object to the trainer and to its evaluators, and give it to `ExactCheckpointHandler` as a part. Each
    study becomes a line of the history when it is first met, `{"kind": "skipped", "split", "id", "reason"}`, and all of
    them stand in the log when the run ends or is stopped. What worker processes left out is known here, too, and counts
    together; of several ranks each logs its own, and the first writes.

    Raises:
        StudyError: in a run, where more were left out than the data set's `max_bad`. It names the ids.

    Args:
        history: where the lines go; None only logs.
    """

    def __init__(self, history: TrainingHistoryHandler | None = None) -> None:
        self.history = history
        self.skipped: dict[str, dict[str, str]] = {"training": {}, "validation": {}}

    def attach(self, engine: Any) -> None:
        """Attach to a MONAI trainer or evaluator, before the handler of checkpoints."""
        split = "validation" if isinstance(engine, Evaluator) else "training"
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._look, split)
        if split == "training":
            engine.add_event_handler(Events.COMPLETED, self._tell)
            engine.add_event_handler(Events.TERMINATE, self._tell)

    def state_dict(self) -> dict[str, Any]:
        """Return what was left out so far: reasons by id, by split."""
        return {split: dict(found) for split, found in self.skipped.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up what was left out before."""
        self.skipped = {split: dict(state.get(split, {})) for split in self.skipped}

    def _look(self, engine: Any, split: str) -> None:
        dataset = getattr(engine.data_loader, "dataset", None)
        found = {} if not isinstance(dataset, StudyDataset) else dataset.left_out
        batch = engine.state.batch
        for entries in (batch.get("skipped") or ()) if isinstance(batch, Mapping) else ():
            found = {**found, **{entry["id"]: entry["reason"] for entry in entries or ()}}
        for name in sorted(found.keys() - self.skipped[split].keys()):
            self.skipped[split][name] = found[name]
            if self.history is not None:
                self.history.note({"kind": "skipped", "split": split, "id": name, "reason": found[name]})
        if isinstance(dataset, StudyDataset) and len(self.skipped[split]) > dataset.max_bad:
            raise StudyError(
                f"{len(self.skipped[split])} studies of {split} could not be prepared, max_bad is {dataset.max_bad}: "
                f"{sorted(self.skipped[split])}"
            )

    def _tell(self) -> None:
        for split, found in self.skipped.items():
            if found:
                logger.warning("%d studies of %s were left out: %s", len(found), split, sorted(found))
