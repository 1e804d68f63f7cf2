"""Percentile bootstrap over studies: how far a number would move had other patients been drawn.

A resample is a row of multiplicities (how often each study was drawn), so that a statistic is computed for many
resamples at once. Shapes: `R` resamples, `B` studies, `M` numbers of a statistic.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "BootstrapInterval",
    "bootstrap_difference",
    "bootstrap_intervals",
    "bootstrap_mean",
    "weighted_mean",
]

Floats = npt.NDArray[np.float64]
Statistic = Callable[[Floats], Floats]
_CELLS = 4_000_000  # of a block of multiplicities: 32 MB


@dataclass(frozen=True)
class BootstrapInterval:
    """A number with its percentile interval.

    Args:
        value: the statistic of the studies as they are; NaN where it is not defined.
        low: lower end; NaN where no resample defines the statistic.
        high: upper end.
        confidence: share of resamples between the ends.
        resamples: resamples in which the statistic is defined.
    """

    value: float
    low: float
    high: float
    confidence: float
    resamples: int

    def to_dict(self) -> dict[str, float | int | None]:
        """Return plain JSON values, None for NaN."""
        return {name: None if value != value else value for name, value in asdict(self).items()}


def bootstrap_intervals(
    statistic: Statistic, studies: int, *, resamples: int = 1000, confidence: float = 0.95, seed: int = 0
) -> list[BootstrapInterval]:
    """Draw studies with replacement and return the percentile interval of each number of a statistic.

    A resample in which a number is NaN (one class only) is left out for this number.

    Args:
        statistic: takes multiplicities (R, B) and returns (R, M), the numbers of each resample.
        studies: B.
        resamples: resamples drawn.
        confidence: share of resamples between the ends, in (0, 1).
        seed: of a generator of its own; the same seed gives the same intervals.

    Raises:
        ValueError: an argument is out of its range, or the statistic returns another shape.

    Example:
        >>> values = np.arange(100.0)
        >>> interval = bootstrap_intervals(lambda counts: weighted_mean(values, counts), 100)[0]
        >>> interval.value, round(interval.low), round(interval.high)
        (49.5, 44, 55)
    """
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1, got {resamples}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie in (0, 1), got {confidence}")
    values = _numbers(statistic, np.ones((1, studies)))[0]  # (M,)
    if not studies:
        return [BootstrapInterval(float(value), np.nan, np.nan, confidence, 0) for value in values]
    generator = np.random.default_rng(seed)
    rows = max(1, _CELLS // studies)
    blocks = []
    for start in range(0, resamples, rows):
        counts = generator.multinomial(studies, np.full(studies, 1 / studies), size=min(rows, resamples - start))
        blocks.append(_numbers(statistic, counts.astype(np.float64)))
    drawn = np.concatenate(blocks)  # (R, M)
    return [_interval(value, column, confidence) for value, column in zip(values, drawn.T, strict=True)]


def bootstrap_difference(
    first: Statistic,
    second: Statistic,
    studies: int,
    *,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> list[BootstrapInterval]:
    """Return how much higher the numbers of one system are than those of another on the same studies.

    Both are computed on the same resamples (paired bootstrap), so that what makes a study hard for both falls out. An
    interval that excludes zero is a difference that is unlikely to be the draw of these studies.

    Args:
        first: takes multiplicities (R, B) and returns (R, M).
        second: likewise.
        studies: B.
        resamples: resamples drawn.
        confidence: share of resamples between the ends.
        seed: of a generator of its own.

    Example:
        >>> values = np.arange(100.0)
        >>> means = [lambda counts, shift=shift: weighted_mean(values + shift, counts) for shift in (1, 0)]
        >>> interval = bootstrap_difference(*means, 100)[0]
        >>> round(interval.low, 6), round(interval.high, 6)
        (1.0, 1.0)
    """
    return bootstrap_intervals(
        lambda counts: _numbers(first, counts) - _numbers(second, counts),
        studies,
        resamples=resamples,
        confidence=confidence,
        seed=seed,
    )


def bootstrap_mean(
    values: npt.ArrayLike,
    *,
    groups: Sequence[Any] | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> BootstrapInterval:
    """Return the mean of values with its interval; NaN values (no answer) are left out.

    Args:
        values: (n,) one a study, or several a study with `groups`.
        groups: (n,) the study of each value. Studies are drawn, not values: sentences of one report hang together.
        resamples: resamples drawn.
        confidence: share of resamples between the ends.
        seed: of a generator of its own.

    Raises:
        ValueError: `groups` has another length than `values`.
    """
    flat = np.asarray(values, dtype=np.float64).ravel()
    if groups is not None and len(groups) != flat.size:
        raise ValueError(f"groups must have the length of values, {flat.size}, got {len(groups)}")
    numbers: dict[Any, int] = {}
    owners = [numbers.setdefault(group, len(numbers)) for group in (range(flat.size) if groups is None else groups)]
    return bootstrap_intervals(
        lambda counts: weighted_mean(flat, counts[:, owners]),
        len(numbers),
        resamples=resamples,
        confidence=confidence,
        seed=seed,
    )[0]


def weighted_mean(values: npt.ArrayLike, counts: Floats) -> Floats:
    """Return the means (R, 1) of values (n,) under multiplicities (R, n); NaN values are left out."""
    flat = np.asarray(values, dtype=np.float64)
    known = ~np.isnan(flat)
    weight = counts @ known.astype(np.float64)  # (R,)
    total = counts @ np.where(known, flat, 0.0)
    return np.divide(total, weight, out=np.full_like(total, np.nan), where=weight > 0)[:, None]


def _numbers(statistic: Statistic, counts: Floats) -> Floats:
    numbers = np.asarray(statistic(counts), dtype=np.float64)
    if numbers.ndim != 2 or len(numbers) != len(counts):
        raise ValueError(f"the statistic must return (R, M) with R = {len(counts)}, got {numbers.shape}")
    return numbers


def _interval(value: float, drawn: Floats, confidence: float) -> BootstrapInterval:
    defined = drawn[~np.isnan(drawn)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(defined, [tail, 1 - tail]) if defined.size else (np.nan, np.nan)
    return BootstrapInterval(float(value), float(low), float(high), confidence, int(defined.size))
