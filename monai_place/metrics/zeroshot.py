"""Zero-shot classification: area under the ROC curve per finding and over findings.

Shapes: `B` studies, `C` findings, `R` resamples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from monai_place.metrics.bootstrap import BootstrapInterval, bootstrap_intervals
from monai_place.metrics.ranking import group_by_score, roc_area

__all__ = ["ZeroShotAuroc", "auroc_of_resamples", "zero_shot_auroc", "zero_shot_intervals"]

Floats = npt.NDArray[np.float64]
ArrayOrTensor = npt.ArrayLike | torch.Tensor


@dataclass(frozen=True)
class ZeroShotAuroc:
    """Area under the ROC curve.

    Args:
        per_finding: by name; NaN where the known labels are of one class only.
        macro: mean over the findings that have a number; NaN where none has.
        positives: known positive studies by finding.
        negatives: known negative studies by finding.
    """

    per_finding: dict[str, float]
    macro: float
    positives: dict[str, int]
    negatives: dict[str, int]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, None for NaN."""
        return {
            "macro": _json(self.macro),
            "per_finding": {name: _json(value) for name, value in self.per_finding.items()},
            "positives": dict(self.positives),
            "negatives": dict(self.negatives),
        }


def zero_shot_auroc(
    scores: ArrayOrTensor, labels: ArrayOrTensor, *, findings: Sequence[str] | None = None
) -> ZeroShotAuroc:
    """Compute AUROC per finding over the studies whose label is known, and its mean over findings.

    Equal scores of a positive and a negative count one half.

    Args:
        scores: (B, C), higher where the finding is likelier, such as the similarity to a positive prompt minus that to
            a negative one.
        labels: (B, C) of 0, 1, or NaN where not known.
        findings: names; numbers where None.

    Raises:
        ValueError: shapes differ, a score is not finite, or a label is another number.

    Example:
        >>> scores = torch.tensor([[0.9, 0.1], [0.2, 0.3], [0.4, 0.2]])
        >>> labels = torch.tensor([[1.0, 0.0], [0.0, 0.0], [float("nan"), 0.0]])
        >>> zero_shot_auroc(scores, labels, findings=["edema", "nodule"]).to_dict()["per_finding"]
        {'edema': 1.0, 'nodule': None}
    """
    values, truth, names = _checked(scores, labels, findings)
    areas = auroc_of_resamples(values, truth, np.ones((1, len(values))))[0]  # (C + 1,)
    return ZeroShotAuroc(
        per_finding=dict(zip(names, areas[:-1].tolist(), strict=True)),
        macro=float(areas[-1]),
        positives=dict(zip(names, (truth == 1).sum(0).tolist(), strict=True)),
        negatives=dict(zip(names, (truth == 0).sum(0).tolist(), strict=True)),
    )


def zero_shot_intervals(
    scores: ArrayOrTensor,
    labels: ArrayOrTensor,
    *,
    findings: Sequence[str] | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> dict[str, BootstrapInterval]:
    """Return the bootstrap interval of each finding's AUROC, and of their mean under the name `macro`.

    In a resample without both classes of a finding, the mean is over the other findings.

    Args:
        scores: (B, C), see `zero_shot_auroc`.
        labels: (B, C).
        findings: names; numbers where None.
        resamples: resamples drawn.
        confidence: share of resamples between the ends.
        seed: of a generator of its own.
    """
    values, truth, names = _checked(scores, labels, findings)
    intervals = bootstrap_intervals(
        lambda counts: auroc_of_resamples(values, truth, counts),
        len(values),
        resamples=resamples,
        confidence=confidence,
        seed=seed,
    )
    return dict(zip([*names, "macro"], intervals, strict=True))


def auroc_of_resamples(scores: Floats, labels: Floats, counts: Floats) -> Floats:
    """Compute the AUROC of each finding, and their mean in the last column, for many resamples at once.

    Args:
        scores: (B, C).
        labels: (B, C) of 0, 1, NaN.
        counts: (R, B), how often each study is in each resample.

    Returns:
        (R, C + 1), NaN where a resample has one class only.
    """
    columns = [
        roc_area(*group_by_score(column, truth, counts)[1:]) for column, truth in zip(scores.T, labels.T, strict=True)
    ]
    areas = np.stack(columns, axis=1) if columns else np.empty((len(counts), 0))  # (R, C)
    known = ~np.isnan(areas)
    number = known.sum(axis=1)
    total = np.where(known, areas, 0.0).sum(axis=1)
    macro = np.divide(total, number, out=np.full(len(counts), np.nan), where=number > 0)
    return np.column_stack([areas, macro])


def _checked(
    scores: ArrayOrTensor, labels: ArrayOrTensor, findings: Sequence[str] | None
) -> tuple[Floats, Floats, list[str]]:
    values, truth = (_array(given) for given in (scores, labels))
    if values.ndim != 2 or values.shape != truth.shape:
        raise ValueError(f"scores and labels must both be (B, C), got {values.shape} and {truth.shape}")
    if not np.isfinite(values).all():
        raise ValueError(f"scores must be finite, got {int((~np.isfinite(values)).sum())} that are not")
    if wrong := sorted(set(np.unique(truth[~np.isnan(truth)]).tolist()) - {0.0, 1.0}):
        raise ValueError(f"labels must be 0, 1 or NaN, got {wrong[:5]}")
    names = [str(index) for index in range(values.shape[1])] if findings is None else [str(name) for name in findings]
    if len(set(names)) != values.shape[1] or "macro" in names:
        raise ValueError(f"findings must be {values.shape[1]} different names other than 'macro', got {names}")
    return values, truth, names


def _array(given: ArrayOrTensor) -> Floats:
    if isinstance(given, torch.Tensor):
        given = given.detach().to("cpu", torch.float64).numpy()
    return np.asarray(given, dtype=np.float64)


def _json(value: float) -> float | None:
    return None if value != value else value
