"""What a suite can measure: each task trains or scores one cell, and tells how its main metric is computed anew.

| task | trains | main metric |
|---|---|---|
| `logistic_probe` | a logistic regression a class on frozen features | macro AUROC |
| `linear_probe` | a linear layer on frozen features, by the bundle's `linear_probe.json` | macro AUROC |
| `finetune` | the whole encoder, by the bundle's `finetune.json` | macro AUROC |
| `zero_shot` | nothing | macro AUROC |
| `retrieval` | nothing | recall at `k` of the own report |
| `report_generation` | a decoder on reports, by the bundle's `train_report.json` | micro F1 of the findings |
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from monai_place.data.datalist import load_records, read_datalist
from monai_place.data.labeled import load_labeled_records
from monai_place.data.report_format import find_indication
from monai_place.inference.classification_runs import ClassificationKind, classify_by_training
from monai_place.inference.classifier import ScoreMode
from monai_place.inference.collect import collect_studies
from monai_place.inference.features import encode_studies
from monai_place.inference.generator_loading import load_generator
from monai_place.inference.generator_training import train_report_generator
from monai_place.inference.labels import label_table
from monai_place.inference.probe import logistic_probe_scores
from monai_place.inference.prompts import load_prompts
from monai_place.inference.report_evaluation import choose_labeller
from monai_place.inference.report_writer import ReportWriter
from monai_place.metrics.bootstrap import weighted_mean
from monai_place.metrics.classification import measure_classification
from monai_place.metrics.clinical import clinical_f1, clinical_scores
from monai_place.metrics.retrieval import KS, retrieval_ranks
from monai_place.metrics.zeroshot import auroc_of_resamples
from monai_place.networks.feature_encoders import FeatureKind
from monai_place.suites.compare import Resampled
from monai_place.suites.context import CellContext
from monai_place.suites.spec import SuiteCell
from monai_place.suites.store import CellResult

__all__ = ["TASKS", "SuiteTask"]

Floats = npt.NDArray[np.float64]
Trains = Literal["no", "on labels", "on reports"]
WHOLE, ABOVE_ZERO = "a whole number of at least 1", "a finite number above 0"
NUMBERS: dict[str, Callable[[float], bool]] = {
    WHOLE: lambda value: isinstance(value, int) and value >= 1,
    ABOVE_ZERO: lambda value: 0 < value < float("inf"),
}
BY_THRESHOLD = ("f1", "sensitivity_at_specificity", "ece")  # thresholds are those of the validation split


@dataclass(frozen=True)
class SuiteTask:
    """A task of a suite.

    Args:
        metric: the main metric, in words.
        trains: `no`; `on labels`, so that shares of them and seeds matter; or `on reports`, so that seeds do.
        needs_text: whether the checkpoint must have a text side: a pretrained run.
        settings: that it takes, with their choices or a key of `NUMBERS`; None lets any pass, to the bundle's config.
        measure: does the work.
        statistic: the main metric under resampling, from the arrays that `measure` leaves.
    """

    metric: Callable[[Mapping[str, Any]], str]
    trains: Trains
    needs_text: bool
    settings: Mapping[str, tuple[str, ...] | str] | None
    measure: Callable[[SuiteCell, CellContext], CellResult]
    statistic: Callable[[Mapping[str, Any]], Resampled]

    def obstacle(self, cell: SuiteCell) -> str | None:
        """Return why the task does not apply to a cell's checkpoint; None where it does."""
        pretrained = cell.checkpoint.kind == "run" and cell.checkpoint.weights is None
        return (
            "needs a pretrained text side, which this network has not" if self.needs_text and not pretrained else None
        )

    def check(self, settings: Mapping[str, Any], where: str) -> None:
        """Refuse settings that the task does not know, and values that they cannot have.

        Raises:
            ValueError: there is one.
        """
        if self.settings is None:
            return
        if unknown := sorted(set(settings) - set(self.settings)):
            raise ValueError(f"{where}: unknown settings {unknown}; known: {sorted(self.settings)}")
        for name, value in settings.items():
            expected = self.settings[name]
            if isinstance(expected, tuple):
                right = value in expected
            else:
                right = type(value) in (int, float) and NUMBERS[expected](value)
            if not right:
                raise ValueError(f"{where}: setting {name!r} is {value!r}, expected {expected}")


def _logistic_probe(cell: SuiteCell, context: CellContext) -> CellResult:
    settings, path = cell.task.settings, cell.dataset.datalist
    kind = settings.get("features", "global")
    encoder = context.encoder(cell, (kind,))
    train = load_labeled_records(path, "training", fraction=cell.fraction or 1.0, seed=cell.seed or 0)
    test = load_labeled_records(path, context.split)
    found = [encode_studies(encoder, records, (kind,), cache=context.cache) for records in (train, test)]
    labels = [
        label_table([records[place] for place in part.places], context.classes(path))
        for records, part in zip((train, test), found, strict=True)
    ]
    scores = logistic_probe_scores(
        found[0].features[kind],
        labels[0],
        found[1].features[kind],
        inverse_regularization=float(settings.get("inverse_regularization", 0.1)),
    )
    failed = sum(len(part.failed) for part in found)
    ids = tuple(str(test[place]["id"]) for place in found[1].places)
    return _classified(scores, labels[1].double().numpy(), ids, context.classes(path), failed=failed)


def _bundle_task(cell: SuiteCell, context: CellContext, *, kind: ClassificationKind) -> CellResult:
    """Train by a config of the bundle, in a folder that is removed when the cell is stored."""
    settings: dict[str, Any] = {"bootstrap": 10, **cell.task.settings}  # the suite draws its own intervals
    if cell.checkpoint.image_size is not None:
        settings["image_size"] = cell.checkpoint.image_size
    if kind == "linear_probe":
        settings["cache_dir"] = str(context.cache.folder)
    mode = settings.pop("mode", "clean")
    ended = classify_by_training(
        kind,
        cell.checkpoint.value if cell.checkpoint.kind == "run" else f"timm:{cell.checkpoint.value}",
        cell.dataset.datalist,
        context.work,
        weights=cell.checkpoint.weights,
        mode=mode,
        fraction=cell.fraction,
        seed=cell.seed,
        settings=settings,
    )
    found = ended.scores[context.split]
    result = _classified(found.probabilities, found.labels, found.ids, found.classes)
    macro = ended.metrics[context.split]["macro"]
    chosen = {f"macro {name}": macro[name]["value"] for name in BY_THRESHOLD if name in macro}
    return replace(result, metrics={**result.metrics, **chosen})


def _classified(
    scores: Floats, labels: Floats, ids: tuple[str, ...], classes: tuple[str, ...], *, failed: int = 0
) -> CellResult:
    """Keep scores and labels, and what does not depend on a threshold."""
    area = auroc_of_resamples(scores, labels, np.ones((1, len(scores))))[0]
    metrics: dict[str, float | None] = {
        f"AUROC, {name}": _number(value) for name, value in zip(classes, area[:-1], strict=True)
    }
    shares = 1 / (1 + np.exp(-scores)) if scores.min() < 0 or scores.max() > 1 else scores
    macro = measure_classification(shares, labels, classes=classes, resamples=1).macro
    metrics["macro AUPRC"] = _number(macro["auprc"].value)
    note = f"{failed} images could not be read" if failed else ""
    return CellResult(metrics, {"scores": scores, "labels": labels}, ids, note=note)


def _zero_shot(cell: SuiteCell, context: CellContext) -> CellResult:
    mode = cell.task.settings.get("mode", "mean")
    studies = context.collected(cell, lambda: _collect(cell, context))
    labels = studies.labels.double().numpy()
    return _classified(studies.scores[mode].double().numpy(), labels, studies.ids, studies.classes)


def _collect(cell: SuiteCell, context: CellContext) -> Any:
    path, prompts = cell.dataset.datalist, cell.dataset.prompts
    return collect_studies(
        context.model(cell),
        load_records(path, context.split),
        classes=read_datalist(path).classes,
        prompts=None if prompts is None else load_prompts(prompts),
        grounding_limit=0,
    )


def _retrieval(cell: SuiteCell, context: CellContext) -> CellResult:
    studies = context.collected(cell, lambda: _collect(cell, context))
    told = ~studies.reports.isnan().any(dim=1)
    if not told.any():
        raise ValueError("no study of the split has a report")
    texts = [" ".join(text.split()) for text, kept in zip(studies.report_texts, told, strict=True) if kept]
    images, reports = studies.images[told], studies.reports[told]
    if cell.task.settings.get("direction", "image_to_text") == "text_to_image":
        images, reports = reports, images
    ranks = retrieval_ranks(images, reports, query_keys=texts, gallery_keys=texts).double().numpy()
    metrics: dict[str, float | None] = {f"recall at {k}": float((ranks <= k).mean()) for k in KS}
    metrics["median rank"] = float(np.median(ranks))
    ids = tuple(name for name, kept in zip(studies.ids, told.tolist(), strict=True) if kept)
    return CellResult(metrics, {"ranks": ranks}, ids)


def _report_generation(cell: SuiteCell, context: CellContext) -> CellResult:
    """Train a generator, let it write the split, and judge the findings that it asserts."""
    path = cell.dataset.datalist
    folder = train_report_generator(
        cell.checkpoint.value, path, context.work, settings={"seed": cell.seed, **cell.task.settings}
    )
    writer = ReportWriter(load_generator(folder, device=context.device))
    form = writer.loaded.report_format
    records = [record for record in load_records(path, context.split) if form.reference(record)]
    indications = [find_indication(record) or None for record in records]
    written = writer.generate([record["image"] for record in records], indications=indications, evidence=None)
    read = [records[report.index] for report in written.results]
    if not read:
        raise ValueError("no study of the split has a report in these sections and an image that can be read")
    judge = choose_labeller(context.classes(path))
    predicted = judge.asserted([report.text for report in written.results])
    truth = judge.truth(read, [form.reference(record) for record in read])
    scores = clinical_scores(predicted, truth, judge.labeller.classes, resamples=1)
    metrics = {f"micro {name}": _number(entry.value) for name, entry in scores.micro.items()}
    metrics |= {f"macro {name}": _number(entry.value) for name, entry in scores.macro.items()}
    note = f"{len(written.failed)} images could not be read" if written.failed else ""
    ids = tuple(str(record["id"]) for record in read)
    return CellResult(metrics, {"predicted": predicted, "truth": truth}, ids, note=note)


def _f1(studies: Mapping[str, Any], counts: Floats) -> Floats:
    return clinical_f1(studies["predicted"], studies["truth"], counts)


def _area(studies: Mapping[str, Any], counts: Floats) -> Floats:
    area: Floats = auroc_of_resamples(studies["scores"], studies["labels"], counts)[:, -1]
    return area


def _recall(studies: Mapping[str, Any], counts: Floats, *, k: int) -> Floats:
    return weighted_mean(studies["ranks"] <= k, counts)[:, 0]


def _number(value: float) -> float | None:
    return None if value != value else float(value)


def _k(settings: Mapping[str, Any]) -> int:
    return int(settings.get("k", 5))


TASKS: dict[str, SuiteTask] = {
    "logistic_probe": SuiteTask(
        metric=lambda _: "macro AUROC",
        trains="on labels",
        needs_text=False,
        settings={"features": get_args(FeatureKind), "inverse_regularization": ABOVE_ZERO},
        measure=_logistic_probe,
        statistic=lambda _: _area,
    ),
    "linear_probe": SuiteTask(
        metric=lambda _: "macro AUROC",
        trains="on labels",
        needs_text=False,
        settings=None,
        measure=partial(_bundle_task, kind="linear_probe"),
        statistic=lambda _: _area,
    ),
    "finetune": SuiteTask(
        metric=lambda _: "macro AUROC",
        trains="on labels",
        needs_text=False,
        settings=None,
        measure=partial(_bundle_task, kind="finetune"),
        statistic=lambda _: _area,
    ),
    "zero_shot": SuiteTask(
        metric=lambda settings: f"macro AUROC, {settings.get('mode', 'mean')}",
        trains="no",
        needs_text=True,
        settings={"mode": get_args(ScoreMode)},
        measure=_zero_shot,
        statistic=lambda _: _area,
    ),
    "retrieval": SuiteTask(
        metric=lambda settings: f"recall at {_k(settings)}",
        trains="no",
        needs_text=True,
        settings={"direction": ("image_to_text", "text_to_image"), "k": WHOLE},
        measure=_retrieval,
        statistic=lambda settings: partial(_recall, k=_k(settings)),
    ),
    "report_generation": SuiteTask(
        metric=lambda _: "micro F1 of findings",
        trains="on reports",
        needs_text=True,
        settings=None,
        measure=_report_generation,
        statistic=lambda _: _f1,
    ),
}
