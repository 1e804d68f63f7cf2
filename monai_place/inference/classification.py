"""Classification on top of an encoder: the networks of the bundle's configs, and what a run leaves.

A run leaves `metrics.json` (measures with intervals) and `scores.json` (probabilities and labels by study), both whole
or absent, `metrics.json` last. Not a medical device.

Shapes: `B` studies, `C` classes.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.utils.data import DataLoader

from monai_place.atomic import write_json_atomic
from monai_place.engines.checkpoint import load_training_state
from monai_place.engines.labeled import predict_studies
from monai_place.engines.prepare import AutocastInferer
from monai_place.engines.ranks import run_on_first_rank, unwrap_network
from monai_place.inference.encoders import LoadedEncoder
from monai_place.inference.writers import NOTE
from monai_place.metrics.classification import ClassificationTask, measure_classification
from monai_place.metrics.operating import choose_operating_points
from monai_place.networks.image_classifier import FeatureHead, ImageClassifier, class_probabilities

__all__ = [
    "SplitScores",
    "build_image_classifier",
    "build_probe_head",
    "finish_classification",
    "measure_splits",
    "read_scores",
]

logger = logging.getLogger(__name__)

METRICS, SCORES = "metrics.json", "scores.json"
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class SplitScores:
    """What a classifier made of a split.

    Args:
        ids: of the B studies.
        probabilities: (B, C) in [0, 1].
        labels: (B, C) of 0, 1, NaN.
        classes: C names.
    """

    ids: tuple[str, ...]
    probabilities: Floats
    labels: Floats
    classes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, None for an unknown label; `read_scores` reads them."""
        labels = [[None if value != value else int(value) for value in row] for row in self.labels.tolist()]
        return {"ids": list(self.ids), "labels": labels, "probabilities": self.probabilities.tolist()}


def build_probe_head(
    encoder: LoadedEncoder,
    data: Sequence[Mapping[str, Any]],
    *,
    kind: str = "global",
    classes: int,
    standardize: bool = True,
    seed: int = 0,
) -> FeatureHead:
    """Return the head of a linear probe: one linear layer, on observations behind attention pooling.

    Args:
        encoder: whose features.
        data: training records with `features`.
        kind: of the features.
        classes: C.
        standardize: scale each feature by its mean and deviation in `data`; the published protocol does not.
        seed: of the initial weights.
    """
    head = FeatureHead(encoder.network.width(kind), classes, attention=kind == "observations", seed=seed)
    return head.fit_scale(torch.stack([record["features"] for record in data])) if standardize else head


def build_image_classifier(
    encoder: LoadedEncoder, *, kind: str = "global", classes: int, seed: int = 0, **options: Any
) -> ImageClassifier:
    """Return the encoder with a head, for fine-tuning.

    Args:
        encoder: with the features `kind` alone, so that every parameter is used.
        kind: of the features.
        classes: C.
        seed: of the head's initial weights.
        options: `frozen` and `batchnorm` of `ImageClassifier`.
    """
    return ImageClassifier(encoder.network, kind=kind, classes=classes, seed=seed, **options)


def finish_classification(
    network: nn.Module,
    best: str | os.PathLike[str],
    *,
    validation: DataLoader[Any],
    test: DataLoader[Any] | None,
    classes: Sequence[str],
    output_dir: str | os.PathLike[str],
    task: ClassificationTask = "multilabel",
    key: str = "image",
    device: torch.device | str = "cpu",
    inferer: AutocastInferer | None = None,
    specificity: float = 0.9,
    bootstrap: int = 1000,
    seed: int = 0,
    about: Mapping[str, Any] | None = None,
) -> None:
    """Take the best weights of a run, choose thresholds on the validation split, and measure both splits.

    On several ranks all have to call it; the first writes.

    Args:
        network: that was trained; it gets the best weights.
        best: file of `BestModelHandler`.
        validation: of `study_loader` without `shuffle`.
        test: the same; None where there is no test split.
        classes: C names.
        output_dir: gets `scores.json` and `metrics.json`.
        task: see `FindingLoss`.
        key: of the network's input in a batch.
        device: where the network is.
        inferer: as in the training.
        specificity: at which sensitivity is told.
        bootstrap: resamples of the intervals.
        seed: of the intervals.
        about: what to say of the run in `metrics.json`.

    Raises:
        FileNotFoundError: no validation gave a finite metric, so that there are no best weights.
    """
    best, folder = Path(best), Path(output_dir)
    if not best.is_file():
        raise FileNotFoundError(f"{best.name!r} is not there: no validation of this run gave a finite metric")
    unwrap_network(network).load_state_dict(load_training_state(best))
    splits: dict[str, SplitScores] = {}
    for name, loader in (("validation", validation), ("test", test)):
        if loader is not None:
            logits = predict_studies(network, loader, key=key, device=device, inferer=inferer)
            splits[name] = _split_scores(loader, logits, classes, task)

    def write() -> None:
        write_json_atomic(
            folder / SCORES,
            {
                "task": task,
                "classes": list(classes),
                "splits": {name: found.to_dict() for name, found in splits.items()},
            },
        )
        measures = measure_splits(splits, task=task, specificity=specificity, bootstrap=bootstrap, seed=seed)
        write_json_atomic(folder / METRICS, {"note": NOTE, **dict(about or {}), **measures})

    run_on_first_rank(write)


def measure_splits(
    splits: Mapping[str, SplitScores],
    *,
    task: ClassificationTask = "multilabel",
    specificity: float = 0.9,
    bootstrap: int = 1000,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure splits with the thresholds of the one that is named `validation`.

    Args:
        splits: by name.
        task: see `FindingLoss`.
        specificity: at which sensitivity is told.
        bootstrap: resamples of the intervals.
        seed: of the intervals.

    Returns:
        Plain JSON values: `bootstrap`, and by split what `ClassificationMeasures` says.
    """
    chosen = splits.get("validation")
    points = (
        None
        if chosen is None
        else choose_operating_points(chosen.probabilities, chosen.labels, specificity=specificity)
    )
    options: dict[str, Any] = {"task": task, "points": points, "resamples": bootstrap, "seed": seed}
    values: dict[str, Any] = {"bootstrap": {"resamples": bootstrap, "seed": seed, "confidence": 0.95}}
    for name, found in splits.items():
        measured = measure_classification(found.probabilities, found.labels, classes=found.classes, **options)
        values[name] = measured.to_dict()
    return values


def read_scores(folder: str | os.PathLike[str]) -> dict[str, SplitScores]:
    """Read `scores.json` of a run.

    Raises:
        FileNotFoundError: the run has not ended.
    """
    content = json.loads((Path(folder) / SCORES).read_text(encoding="utf-8"))
    classes, found = tuple(content["classes"]), {}
    for name, split in content["splits"].items():
        labels = [[np.nan if value is None else float(value) for value in row] for row in split["labels"]]
        shape = (len(split["ids"]), len(classes))
        found[name] = SplitScores(
            ids=tuple(split["ids"]),
            probabilities=np.asarray(split["probabilities"], dtype=np.float64).reshape(shape),
            labels=np.asarray(labels, dtype=np.float64).reshape(shape),
            classes=classes,
        )
    return found


def _split_scores(
    loader: DataLoader[Any], logits: torch.Tensor, classes: Sequence[str], task: ClassificationTask
) -> SplitScores:
    dataset: Any = loader.dataset
    labels = [[np.nan if value is None else float(value) for value in record["label"]] for record in dataset.data]
    return SplitScores(
        ids=tuple(str(record["id"]) for record in dataset.data),
        probabilities=class_probabilities(logits, task).double().numpy(),
        labels=np.asarray(labels, dtype=np.float64).reshape(logits.shape),
        classes=tuple(classes),
    )
