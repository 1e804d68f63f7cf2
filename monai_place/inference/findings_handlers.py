"""What MONAI's evaluator needs to write zero-shot findings: the weights when it starts, the files when it ends.

Not a medical device.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ignite.engine import Events
from monai.utils.enums import CommonKeys

from monai_place.inference.bundle import load_classifier_weights
from monai_place.inference.classifier import PLACEFindingClassifier
from monai_place.inference.results import Classification, FailedImage, FindingScores
from monai_place.inference.writers import write_findings_csv, write_findings_json
from monai_place.preprocess import PreprocessSpec
from monai_place.transforms.reading import ImageReading

__all__ = ["ClassifierWeightsHandler", "FindingsWriterHandler"]

logger = logging.getLogger(__name__)


class ClassifierWeightsHandler:
    """Loads the weights of a bundle into its network, strictly, when an evaluation starts.

    Not before: the bundle's network can be built, looked at and exported without weights.

    Args:
        network: built from the bundle's metadata.
        folder: the bundle's `models`.
        preprocess: what images are prepared with; it must be that of the weights.
        reading: how files are read; see `load_classifier_weights`.
    """

    def __init__(
        self,
        network: PLACEFindingClassifier,
        folder: str | os.PathLike[str],
        *,
        preprocess: PreprocessSpec,
        reading: ImageReading | None = None,
    ) -> None:
        self.network = network
        self.folder = Path(folder)
        self.preprocess = preprocess
        self.reading = reading

    def attach(self, engine: Any) -> None:
        """Attach to a MONAI evaluator."""
        engine.add_event_handler(Events.STARTED, self._load)

    def _load(self) -> None:
        load_classifier_weights(self.network, self.folder, preprocess=self.preprocess, reading=self.reading)


class FindingsWriterHandler:
    """Writes an evaluator's probabilities as `findings.csv` and `findings.json` when its run ends.

    Args:
        folder: for the files.
        network: its `classes` name the columns of the output.
        model: what is known of the model; plain JSON values.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        network: PLACEFindingClassifier,
        *,
        model: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = Path(folder)
        self.network = network
        self.model = dict(model or {})
        self._results: list[FindingScores] = []
        self._failed: list[FailedImage] = []

    @property
    def classification(self) -> Classification:
        """All results of the last run so far."""
        classes = tuple(self.network.classes)
        return Classification(classes, self.network.mode, tuple(self._results), tuple(self._failed))

    def attach(self, engine: Any) -> None:
        """Attach to a MONAI evaluator whose images come from `ImageFolderDataset`."""
        engine.add_event_handler(Events.STARTED, self._begin)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._take)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def exit_if_failed(self) -> None:
        """End the process with exit code 1 if a file could not be used: a script that called it should know.

        Raises:
            SystemExit: there was such a file.
        """
        if self._failed:
            logger.error("%d files could not be used; exit code 1", len(self._failed))
            raise SystemExit(1)

    def _begin(self) -> None:
        self._results, self._failed = [], []

    def _take(self, engine: Any) -> None:
        batch, predicted = engine.state.batch, engine.state.output[CommonKeys.PRED].float().cpu()
        for source, error, row in zip(batch["source"], batch["error"], predicted, strict=True):
            place = len(self._results) + len(self._failed)
            if error is not None:
                self._failed.append(FailedImage(place, source, error))
                continue
            names = self.network.classes
            self._results.append(
                FindingScores(
                    index=place,
                    source=source,
                    probabilities=dict(zip(names, row.tolist(), strict=True)),
                    # As far as float32 tells a probability from 1.
                    scores=dict(zip(names, row.double().logit(eps=1e-7).tolist(), strict=True)),
                )
            )

    def _write(self) -> None:
        found = self.classification
        write_findings_csv(self.folder / "findings.csv", found)
        write_findings_json(self.folder / "findings.json", found, model=self.model)
        logger.info(
            "findings of %d images in findings.csv and findings.json, %d files failed; not a medical device",
            len(found.results),
            len(found.failed),
        )
