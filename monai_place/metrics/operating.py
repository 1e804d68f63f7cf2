"""Operating points: from which score on a finding is called, chosen on validation data and never on the test split.

Shapes: `B` studies, `C` classes, `G` different scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from monai_place.metrics.ranking import group_by_score

__all__ = ["OperatingPoints", "choose_operating_points"]

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class OperatingPoints:
    """Thresholds of C classes; a study whose score is at least the threshold is called positive.

    Args:
        best_f1: where F1 is largest; NaN where the validation labels are of one class only.
        at_specificity: the lowest one whose specificity is at least `specificity`; infinite where none is.
        specificity: asked for.
    """

    best_f1: tuple[float, ...]
    at_specificity: tuple[float, ...]
    specificity: float = 0.9

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, None for a threshold that is not defined."""
        return {
            "best_f1": [_json(value) for value in self.best_f1],
            "at_specificity": [_json(value) for value in self.at_specificity],
            "specificity": self.specificity,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> OperatingPoints:
        """Read `to_dict`'s result; what was not defined, or infinite, is NaN then."""
        read = [tuple(np.nan if v is None else float(v) for v in values[key]) for key in ("best_f1", "at_specificity")]
        return cls(read[0], read[1], float(values["specificity"]))


def choose_operating_points(
    scores: npt.ArrayLike, labels: npt.ArrayLike, *, specificity: float = 0.9
) -> OperatingPoints:
    """Choose thresholds for each class.

    Args:
        scores: (B, C) of the validation split, higher where the finding is likelier.
        labels: (B, C) of 0, 1, or NaN where not known.
        specificity: to be reached, in (0, 1].

    Raises:
        ValueError: shapes differ, or `specificity` is out of its range.

    Example:
        >>> points = choose_operating_points([[0.1], [0.4], [0.6], [0.9]], [[0], [0], [1], [1]])
        >>> points.best_f1, points.at_specificity
        ((0.6,), (0.6,))
    """
    if not 0 < specificity <= 1:
        raise ValueError(f"specificity must lie in (0, 1], got {specificity}")
    values, truth = np.asarray(scores, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if values.ndim != 2 or values.shape != truth.shape:
        raise ValueError(f"scores and labels must both be (B, C), got {values.shape} and {truth.shape}")
    chosen = [_choose(*columns, specificity) for columns in zip(values.T, truth.T, strict=True)]
    return OperatingPoints(tuple(pair[0] for pair in chosen), tuple(pair[1] for pair in chosen), specificity)


def _choose(scores: Floats, labels: Floats, specificity: float) -> tuple[float, float]:
    levels, positive, negative = group_by_score(scores, labels, np.ones((1, len(scores))))
    positives, negatives = positive.sum(), negative.sum()
    if not positives or not negatives:
        return np.nan, np.nan
    hits = np.cumsum(positive[0, ::-1])  # (G,), the highest score first
    alarms = np.cumsum(negative[0, ::-1])
    descending: Sequence[Any] = levels[::-1]  # type: ignore[assignment]
    best = descending[int(np.argmax(2 * hits / (positives + hits + alarms)))]
    # 1 - 0.9 is a little more than 0.1: what is exactly met must count.
    allowed = np.flatnonzero(negatives - alarms >= specificity * negatives - 1e-9)
    return float(best), float(descending[allowed[-1]]) if allowed.size else np.inf


def _json(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
