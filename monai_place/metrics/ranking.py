"""Areas under the ROC and the precision-recall curve of one class, for many resamples at once.

Shapes: `B` studies, `R` resamples, `G` groups of studies with equal scores, lowest first.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["average_precision", "group_by_score", "roc_area"]

Floats = npt.NDArray[np.float64]


def group_by_score(scores: Floats, labels: Floats, counts: Floats) -> tuple[Floats, Floats, Floats]:
    """Count the positives and negatives of each score; studies whose label is not known are left out.

    One sort serves all resamples; scikit-learn's functions would sort R times.

    Args:
        scores: (B,).
        labels: (B,) of 0, 1, NaN.
        counts: (R, B), how often each study is in each resample.

    Returns:
        The scores (G,) from low to high, the positives (R, G) and the negatives (R, G).

    Example:
        >>> group_by_score(np.array([0.2, 0.1, 0.2]), np.array([1.0, 0.0, 0.0]), np.ones((1, 3)))
        (array([0.1, 0.2]), array([[0., 1.]]), array([[1., 1.]]))
    """
    known = np.flatnonzero(~np.isnan(labels))
    if not known.size:
        empty = np.zeros((len(counts), 0))
        return np.zeros(0), empty, empty
    order = known[np.argsort(scores[known], kind="stable")]
    ordered = scores[order]
    starts = np.flatnonzero(np.r_[True, ordered[1:] != ordered[:-1]])  # one start a group of equal scores
    weights = counts[:, order]
    positive = np.add.reduceat(weights * (labels[order] == 1), starts, axis=1)  # (R, G)
    negative = np.add.reduceat(weights * (labels[order] == 0), starts, axis=1)
    return ordered[starts], positive, negative


def roc_area(positive: Floats, negative: Floats) -> Floats:
    """Return the area under the ROC curve (R,) by counting pairs: negatives below, and half of those level.

    Args:
        positive: (R, G) of `group_by_score`.
        negative: (R, G).

    Returns:
        NaN where a resample has one class only.
    """
    below = np.cumsum(negative, axis=1) - negative
    pairs = positive.sum(axis=1) * negative.sum(axis=1)
    won = (positive * (below + 0.5 * negative)).sum(axis=1)
    return np.divide(won, pairs, out=np.full(len(positive), np.nan), where=pairs > 0)


def average_precision(positive: Floats, negative: Floats) -> Floats:
    """Return the average precision (R,): precision at each score from the highest on, weighted by the recall it adds.

    Args:
        positive: (R, G) of `group_by_score`.
        negative: (R, G).

    Returns:
        NaN where a resample has one class only, which scikit-learn calls 0 or 1.
    """
    found = np.cumsum(positive[:, ::-1], axis=1)  # (R, G), highest score first
    called = found + np.cumsum(negative[:, ::-1], axis=1)
    precision = np.divide(found, called, out=np.zeros_like(found), where=called > 0)
    all_positive = positive.sum(axis=1)
    defined = (all_positive > 0) & (negative.sum(axis=1) > 0)
    total = (positive[:, ::-1] * precision).sum(axis=1)
    return np.divide(total, all_positive, out=np.full(len(positive), np.nan), where=defined)
