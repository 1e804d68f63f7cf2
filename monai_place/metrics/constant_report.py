"""What any report generator has to beat: one report for all images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from monai_place.metrics.text_scores import metric_words

__all__ = ["best_constant_report", "most_frequent_report"]


def most_frequent_report(reports: Sequence[str]) -> str:
    """Return the report that is given most often, in the words of its first appearance; the first of several.

    Where no two reports are alike, so that frequency says nothing, it is the one whose words are most typical: with the
    largest mean frequency of its words among the reports.

    Args:
        reports: of the training split.

    Raises:
        ValueError: there is no report.

    Example:
        >>> most_frequent_report(["Edema.", "No edema.", "no edema"])
        'No edema.'
    """
    if not reports:
        raise ValueError("reports is empty; a constant report is chosen among training reports")
    words = [metric_words(report) for report in reports]
    counts = Counter(words)
    top = max(counts.values())
    if top > 1:
        return reports[next(place for place, text in enumerate(words) if counts[text] == top)]
    spread = Counter(word for text in words for word in set(text.split()))
    typical = [sum(spread[word] for word in text.split()) / max(1, len(text.split())) for text in words]
    return reports[int(np.argmax(typical))]


def best_constant_report(reports: Sequence[str], asserted: npt.ArrayLike, truth: npt.ArrayLike) -> str:
    """Return the report that, given for every study, has the highest micro F1 of findings on the same studies.

    A report of a healthy chest asserts nothing and has F1 0; this is the constant that clinical efficacy has to beat.

    Args:
        reports: B training reports.
        asserted: (B, C) findings that each asserts, 1 and 0.
        truth: (B, C) findings of the studies, 1, 0 and NaN.

    Raises:
        ValueError: there is no report, or the shapes differ.

    Example:
        >>> best_constant_report(["Edema.", "Nodule.", "Clear."], [[1, 0], [0, 1], [0, 0]], [[1, 0], [1, 1], [0, 0]])
        'Edema.'
    """
    said, there = np.asarray(asserted, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if not reports or said.shape != there.shape or len(said) != len(reports):
        raise ValueError(
            f"{len(reports)} reports need asserted and truth of (B, C), got {said.shape} and {there.shape}"
        )
    positive, known = np.nansum(there, axis=0), (~np.isnan(there)).sum(axis=0)  # (C,)
    hits = said @ positive
    f1 = 2 * hits / np.maximum(said @ known + positive.sum(), 1)
    return reports[int(np.argmax(f1))]
