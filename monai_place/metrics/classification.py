"""Classification: ranking, decisions and calibration by class and over classes, with bootstrap intervals.

Shapes: `B` studies, `C` classes, `R` resamples, `M` measures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from monai_place.metrics.bootstrap import BootstrapInterval, bootstrap_intervals, weighted_mean
from monai_place.metrics.classes import class_names
from monai_place.metrics.operating import OperatingPoints
from monai_place.metrics.ranking import average_precision, group_by_score, roc_area

__all__ = ["MEASURES", "ClassificationMeasures", "ClassificationTask", "calibration_error", "measure_classification"]

ClassificationTask = Literal["multilabel", "multiclass", "binary"]

MEASURES = (
    "auroc",
    "auprc",
    "accuracy",
    "f1",
    "sensitivity",
    "specificity",
    "sensitivity_at_specificity",
    "specificity_reached",
    "ece",
)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ClassificationMeasures:
    """The numbers of a classification, each with its interval; NaN where one is not defined.

    Args:
        task: what was classified.
        studies: how many.
        per_class: by class, then by measure (`MEASURES`).
        macro: the mean over the classes that have a number, by measure.
        accuracy: share of the studies whose likeliest class is the true one; None unless `multiclass`.
        positives: known positive studies by class.
        negatives: known negative studies by class.
        points: the thresholds, from validation; None where there were none.
    """

    task: ClassificationTask
    studies: int
    per_class: dict[str, dict[str, BootstrapInterval]]
    macro: dict[str, BootstrapInterval]
    accuracy: BootstrapInterval | None
    positives: dict[str, int]
    negatives: dict[str, int]
    points: OperatingPoints | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, None for NaN."""
        return {
            "task": self.task,
            "studies": self.studies,
            "macro": {name: interval.to_dict() for name, interval in self.macro.items()},
            "accuracy": None if self.accuracy is None else self.accuracy.to_dict(),
            "per_class": {
                name: {measure: interval.to_dict() for measure, interval in found.items()}
                for name, found in self.per_class.items()
            },
            "positives": dict(self.positives),
            "negatives": dict(self.negatives),
            "thresholds": None if self.points is None else self.points.to_dict(),
        }


def measure_classification(
    probabilities: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    task: ClassificationTask = "multilabel",
    classes: Sequence[str] | None = None,
    points: OperatingPoints | None = None,
    bins: int = 15,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> ClassificationMeasures:
    """Measure probabilities against labels.

    | measure | of a class |
    |---|---|
    | `auroc`, `auprc` | areas under the ROC and the precision-recall curve (average precision) |
    | `accuracy`, `f1`, `sensitivity`, `specificity` | at the threshold of best F1, or by likeliest class |
    | `sensitivity_at_specificity`, `specificity_reached` | at the threshold which had the specificity on validation |
    | `ece` | expected calibration error |

    A study whose label of a class is not known takes no part in that class. Whatever is not defined is NaN: an area, F1
    and sensitivity without positives, specificity without negatives, a decision without a threshold. Macro is the mean
    over the classes that have a number, in each resample.

    Args:
        probabilities: (B, C) in [0, 1].
        labels: (B, C) of 0, 1, or NaN where not known. Of `multiclass`, one entry of a study is 1, or all are NaN.
        task: `multilabel`, `multiclass` or `binary` (C is 1).
        classes: names; numbers where None.
        points: from `choose_operating_points` on the validation split; None leaves the decisions out.
        bins: of the calibration error, of equal width.
        resamples: resamples drawn; 0 draws none.
        confidence: share of resamples between the ends.
        seed: of a generator of its own.

    Raises:
        ValueError: shapes or numbers do not fit.

    Example:
        >>> found = measure_classification([[0.9], [0.2], [0.4]], [[1], [0], [np.nan]], resamples=10)
        >>> found.macro["auroc"].value, found.positives
        (1.0, {'0': 1})
    """
    scores, truth = _checked(probabilities, labels, task, points)
    names = class_names(classes, scores.shape[1])
    decisions = _decisions(scores, task, points)
    top = _top_class_hits(scores, truth) if task == "multiclass" else None

    def numbers(counts: Floats) -> Floats:
        columns = [
            _class_measures(scores[:, c], truth[:, c], decisions[:, c], _alarm(scores[:, c], points, c), counts, bins)
            for c in range(len(names))
        ]
        by_class = np.stack(columns, axis=1) if columns else np.empty((len(counts), 0, len(MEASURES)))  # (R, C, M)
        parts = [by_class.reshape(len(counts), -1), _mean_of_known(by_class)]
        if top is not None:
            parts.append(weighted_mean(top, counts))
        return np.concatenate(parts, axis=1)

    if resamples:
        found = bootstrap_intervals(numbers, len(scores), resamples=resamples, confidence=confidence, seed=seed)
    else:
        values = numbers(np.ones((1, len(scores))))[0]
        found = [BootstrapInterval(float(value), np.nan, np.nan, confidence, 0) for value in values]
    rows = [dict(zip(MEASURES, found[k : k + len(MEASURES)], strict=True)) for k in _starts(len(names) + 1)]
    return ClassificationMeasures(
        task=task,
        studies=len(scores),
        per_class=dict(zip(names, rows[:-1], strict=True)),
        macro=rows[-1],
        accuracy=found[-1] if top is not None else None,
        positives=dict(zip(names, (truth == 1).sum(0).tolist(), strict=True)),
        negatives=dict(zip(names, (truth == 0).sum(0).tolist(), strict=True)),
        points=points,
    )


def calibration_error(probabilities: Floats, labels: Floats, counts: Floats, *, bins: int = 15) -> Floats:
    """Return the expected calibration error (R,) of one class: mean probability from share of positives, by bin.

    Args:
        probabilities: (B,) in [0, 1].
        labels: (B,) of 0, 1, NaN.
        counts: (R, B), how often each study is in each resample.
        bins: of equal width; each holds its upper edge.

    Reference:
        Guo et al., On calibration of modern neural networks, ICML 2017, equation 3, for the probability of the class.

    Example:
        >>> calibration_error(np.array([0.8, 0.8]), np.array([1.0, 0.0]), np.ones((1, 2))).round(2)
        array([0.3])
    """
    known = ~np.isnan(labels)
    place = np.clip(np.ceil(probabilities * bins).astype(int) - 1, 0, bins - 1)
    members = (place[:, None] == np.arange(bins)) & known[:, None]  # (B, bins)
    gaps = np.where(known, probabilities - np.nan_to_num(labels), 0.0)
    weight = (counts @ known.astype(np.float64))[:, None]
    total = np.abs(counts @ (members * gaps[:, None])).sum(axis=1)[:, None]
    return np.divide(total, weight, out=np.full_like(total, np.nan), where=weight > 0)[:, 0]


def _class_measures(
    scores: Floats, labels: Floats, decisions: Floats, alarms: Floats, counts: Floats, bins: int
) -> Floats:
    """Return the measures (R, M) of one class."""
    _, positive, negative = group_by_score(scores, labels, counts)
    accuracy, f1, sensitivity, specificity = _rates(decisions, labels, counts)
    _, _, at_specificity, reached = _rates(alarms, labels, counts)
    ece = calibration_error(scores, labels, counts, bins=bins)
    areas = (roc_area(positive, negative), average_precision(positive, negative))
    return np.stack([*areas, accuracy, f1, sensitivity, specificity, at_specificity, reached, ece], axis=1)


def _rates(decisions: Floats, labels: Floats, counts: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Return accuracy, F1, sensitivity and specificity, each (R,), of decisions (B,) of 0, 1, NaN."""
    if np.isnan(decisions).any():  # no threshold
        nothing = np.full(len(counts), np.nan)
        return nothing, nothing, nothing, nothing
    called = decisions == 1
    groups = [(labels == 1) & called, (labels == 0) & called, (labels == 0) & ~called, (labels == 1) & ~called]
    hit, alarm, right, miss = (counts @ np.stack(groups, axis=1).astype(np.float64)).T

    def share(part: Floats, whole: Floats, where: Floats) -> Floats:
        return np.divide(part, whole, out=np.full(len(counts), np.nan), where=where > 0)

    positives, negatives = hit + miss, alarm + right
    return (
        share(hit + right, positives + negatives, positives + negatives),
        share(2 * hit, 2 * hit + alarm + miss, positives),
        share(hit, positives, positives),
        share(right, negatives, negatives),
    )


def _decisions(scores: Floats, task: ClassificationTask, points: OperatingPoints | None) -> Floats:
    if task == "multiclass":
        return (np.arange(scores.shape[1]) == scores.argmax(axis=1)[:, None]).astype(np.float64)
    limits = np.full(scores.shape[1], np.nan) if points is None else np.asarray(points.best_f1)
    return np.where(np.isnan(limits), np.nan, scores >= limits)


def _alarm(scores: Floats, points: OperatingPoints | None, column: int) -> Floats:
    limit = np.nan if points is None else points.at_specificity[column]
    return np.where(np.isnan(limit), np.nan, scores >= limit)


def _top_class_hits(scores: Floats, labels: Floats) -> Floats:
    """Return (B,) 1 where the likeliest class is the true one, NaN where the class is not known."""
    known = ~np.isnan(labels).any(axis=1)
    return np.where(known, scores.argmax(axis=1) == np.nan_to_num(labels).argmax(axis=1), np.nan)


def _mean_of_known(values: Floats) -> Floats:
    """Return the means (R, M) over the classes of (R, C, M) that have a number."""
    known = ~np.isnan(values)
    number = known.sum(axis=1)
    total = np.where(known, values, 0.0).sum(axis=1)
    return np.divide(total, number, out=np.full(total.shape, np.nan), where=number > 0)


def _starts(rows: int) -> range:
    return range(0, rows * len(MEASURES), len(MEASURES))


def _checked(
    probabilities: npt.ArrayLike, labels: npt.ArrayLike, task: str, points: OperatingPoints | None
) -> tuple[Floats, Floats]:
    if task not in get_args(ClassificationTask):
        raise ValueError(f"task is {task!r}, expected one of {get_args(ClassificationTask)}")
    scores, truth = np.asarray(probabilities, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if scores.ndim != 2 or scores.shape != truth.shape:
        raise ValueError(f"probabilities and labels must both be (B, C), got {scores.shape} and {truth.shape}")
    if not ((scores >= 0) & (scores <= 1)).all():  # false for NaN, too
        raise ValueError("probabilities must be finite and in [0, 1]")
    if wrong := sorted(set(np.unique(truth[~np.isnan(truth)]).tolist()) - {0.0, 1.0}):
        raise ValueError(f"labels must be 0, 1 or NaN, got {wrong[:5]}")
    ones = np.nan_to_num(truth).sum(axis=1)
    if task == "multiclass" and (bad := np.flatnonzero((ones != 1) & ~np.isnan(truth).all(axis=1))).size:
        raise ValueError(
            f"{bad.size} studies of a {task} task have not exactly one label that is 1, such as number {bad[0]}"
        )
    if points is not None and {len(points.best_f1), len(points.at_specificity)} != {scores.shape[1]}:
        raise ValueError(f"points are of {len(points.best_f1)} classes, probabilities of {scores.shape[1]}")
    return scores, truth
