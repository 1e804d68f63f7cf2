"""Clinical efficacy: are the findings that a report asserts those that are there?

Shapes: B reports, C findings, R resamples of studies.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monai_place.metrics.bootstrap import BootstrapInterval, bootstrap_difference, bootstrap_intervals

__all__ = ["ClinicalScores", "clinical_difference", "clinical_f1", "clinical_scores"]

Floats = npt.NDArray[np.float64]
KINDS = ("precision", "recall", "f1")


@dataclass(frozen=True)
class ClinicalScores:
    """Precision, recall and F1 of asserted findings, with bootstrap intervals over studies.

    Args:
        findings: finding -> `precision`, `recall`, `f1`. NaN where it is not defined: precision of a finding that is
            never asserted, recall and F1 of one that is never there.
        micro: of all findings together.
        macro: mean over the findings in which the number is defined.
        support: finding -> studies that have it.
    """

    findings: dict[str, dict[str, BootstrapInterval]]
    micro: dict[str, BootstrapInterval]
    macro: dict[str, BootstrapInterval]
    support: dict[str, int]

    def to_dict(self) -> dict[str, object]:
        """Return plain JSON values, None for NaN."""
        return {
            "findings": {
                name: {"support": self.support[name], **{kind: entry.to_dict() for kind, entry in row.items()}}
                for name, row in self.findings.items()
            },
            "micro": {kind: entry.to_dict() for kind, entry in self.micro.items()},
            "macro": {kind: entry.to_dict() for kind, entry in self.macro.items()},
        }


def clinical_scores(
    predicted: npt.ArrayLike,
    truth: npt.ArrayLike,
    findings: Sequence[str],
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> ClinicalScores:
    """Judge what reports assert against what is there.

    Args:
        predicted: (B, C) of 1 (asserted), 0 and NaN (not known: left out), see `presence_table`.
        truth: (B, C) of 1, 0 and NaN (not known: left out).
        findings: C names.
        resamples: resamples of the studies.
        seed: of the bootstrap.

    Raises:
        ValueError: the shapes differ, or a value is another number.

    Example:
        >>> scores = clinical_scores([[1, 0], [1, 1]], [[1, 0], [0, 1]], ["edema", "nodule"], resamples=10)
        >>> scores.micro["f1"].value, scores.findings["edema"]["precision"].value
        (0.8, 0.5)
    """
    cells = _cells(predicted, truth, len(findings))
    rows = bootstrap_intervals(lambda counts: _numbers(cells, counts), cells.shape[1], resamples=resamples, seed=seed)
    named = [dict(zip(KINDS, rows[start : start + 3], strict=True)) for start in range(0, len(rows), 3)]
    return ClinicalScores(
        findings=dict(zip(findings, named[2:], strict=True)),
        micro=named[0],
        macro=named[1],
        support=dict(zip(findings, (cells[0] + cells[2]).sum(axis=0).astype(int).tolist(), strict=True)),
    )


def clinical_difference(
    predicted: npt.ArrayLike,
    other: npt.ArrayLike,
    truth: npt.ArrayLike,
    *,
    resamples: int = 1000,
    seed: int = 0,
) -> dict[str, BootstrapInterval]:
    """Return how much higher the first system's scores are, with paired intervals over the same studies.

    Args:
        predicted: (B, C) of the first system.
        other: (B, C) of the second.
        truth: (B, C).
        resamples: resamples of the studies.
        seed: of the bootstrap.

    Returns:
        `micro_f1`, `macro_f1` and the like for precision and recall: first minus second.

    Example:
        >>> difference = clinical_difference([[1], [0]], [[0], [1]], [[1], [0]], resamples=10)
        >>> difference["micro_f1"].value
        1.0
    """
    classes = np.shape(truth)[1] if np.ndim(truth) == 2 else 0
    first, second = _cells(predicted, truth, classes), _cells(other, truth, classes)
    found = bootstrap_difference(
        lambda counts: _numbers(first, counts)[:, :6],
        lambda counts: _numbers(second, counts)[:, :6],
        first.shape[1],
        resamples=resamples,
        seed=seed,
    )
    return dict(zip([f"{mean}_{kind}" for mean in ("micro", "macro") for kind in KINDS], found, strict=True))


def clinical_f1(predicted: npt.ArrayLike, truth: npt.ArrayLike, counts: Floats) -> Floats:
    """Return the micro F1 of each resample (R,), for intervals over more than the studies of one system.

    Args:
        predicted: (B, C), see `clinical_scores`.
        truth: (B, C).
        counts: (R, B), how often each study is in each resample.

    Example:
        >>> clinical_f1([[1], [0]], [[1], [1]], np.array([[1.0, 1.0], [2.0, 0.0]])).round(3).tolist()
        [0.667, 1.0]
    """
    f1: Floats = _numbers(_cells(predicted, truth, np.shape(truth)[-1]), counts)[:, KINDS.index("f1")]
    return f1


def _cells(predicted: npt.ArrayLike, truth: npt.ArrayLike, classes: int) -> Floats:
    """Return true positives, false positives and false negatives, (3, B, C) of 0 and 1."""
    tables = [np.asarray(table, dtype=np.float64) for table in (predicted, truth)]
    if any(table.ndim != 2 or table.shape != (len(tables[0]), classes) for table in tables):
        raise ValueError(
            f"predicted and truth must both be (B, {classes}), got {tables[0].shape} and {tables[1].shape}"
        )
    for name, table in zip(("predicted", "truth"), tables, strict=True):
        if not np.isin(table[~np.isnan(table)], (0.0, 1.0)).all():
            raise ValueError(f"{name} must hold 1, 0 and NaN only")
    known = ~np.isnan(tables[0]) & ~np.isnan(tables[1])
    said, there = (np.nan_to_num(table) > 0 for table in tables)
    return np.stack([known & said & there, known & said & ~there, known & ~said & there]).astype(np.float64)


def _numbers(cells: Floats, counts: Floats) -> Floats:
    """Return (R, 3 * (2 + C)): precision, recall and F1 of all findings together, their means, and each finding's."""
    hits, false, missed = (counts @ cell for cell in cells)  # (R, C)
    single = _rates(hits, false, missed)  # (3, R, C)
    micro = _rates(*(part.sum(axis=1, keepdims=True) for part in (hits, false, missed)))[..., 0]
    known = ~np.isnan(single)
    total = np.where(known, single, 0.0).sum(axis=2)
    macro = _divide(total, known.sum(axis=2).astype(np.float64))
    return np.concatenate([micro.T, macro.T, single.transpose(1, 2, 0).reshape(len(counts), -1)], axis=1)


def _rates(hits: Floats, false: Floats, missed: Floats) -> Floats:
    recall = _divide(hits, hits + missed)
    f1 = np.where(hits + missed > 0, _divide(2 * hits, 2 * hits + false + missed), np.nan)
    return np.stack([_divide(hits, hits + false), recall, f1])


def _divide(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)
