"""Checkpoints side by side: mean over seeds with its interval, and paired differences.

The interval is a percentile bootstrap over the studies of the test split and, where there are several, over seeds: each
resample draws studies and seeds, the same for every checkpoint, so that a difference is between the same studies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from monai_place.metrics.bootstrap import bootstrap_intervals
from monai_place.suites.store import CellResult

__all__ = ["Difference", "Resampled", "SeedEstimate", "compare_checkpoints", "holm"]

Floats = npt.NDArray[np.float64]
# (arrays of a cell, multiplicities (R, B)) -> the main metric of each resample (R,)
Resampled = Callable[[Mapping[str, Any], Floats], Floats]


@dataclass(frozen=True)
class SeedEstimate:
    """The main metric of a checkpoint.

    Args:
        mean: over the seeds, of the studies as they are.
        low: lower end of the 95 % interval over studies and seeds.
        high: upper end.
        deviation: standard deviation over the seeds; None for one seed.
        seeds: number of them.
    """

    mean: float
    low: float
    high: float
    deviation: float | None
    seeds: int

    def to_dict(self) -> dict[str, float | int | None]:
        """Return plain JSON values, None for NaN."""
        return {name: None if value != value else value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Difference:
    """One checkpoint against another on the same studies and seeds.

    Args:
        first: name of a checkpoint.
        second: name of another.
        mean: first minus second.
        low: lower end of the 95 % interval.
        high: upper end.
        p_value: two-sided, from the resamples: twice the share on the far side of zero, and at least 1 / resamples.
        p_holm: the same, corrected by Holm's method for the pairs of this table's row.
    """

    first: str
    second: str
    mean: float
    low: float
    high: float
    p_value: float
    p_holm: float = float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, None for NaN."""
        return {name: None if value != value else value for name, value in asdict(self).items()}


def compare_checkpoints(
    results: Mapping[str, Sequence[CellResult]],
    statistic: Resampled,
    *,
    seeds: Mapping[str, Sequence[int | None]] | None = None,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[dict[str, SeedEstimate], list[Difference]]:
    """SeedEstimate each checkpoint's main metric, and the difference of each pair.

    Args:
        results: by checkpoint, one a seed, in the same order of seeds.
        statistic: the main metric under resampling.
        seeds: by checkpoint, of its results; None where they are the same for all.
        resamples: drawn.
        seed: of them.

    Returns:
        Estimates by checkpoint, and differences of all pairs in the order of `results`. A pair whose cells were not
        measured on the same studies, or of the same seeds, is left out.

    Raises:
        ValueError: a checkpoint has no result.
    """
    if empty := [name for name, cells in results.items() if not cells]:
        raise ValueError(f"checkpoints {empty} have no result")
    draws = {name: _draws(cells, statistic, resamples, seed) for name, cells in results.items()}
    estimates = {
        name: _estimate(draw, [float(value) for value in _plain(results[name], statistic)])
        for name, draw in draws.items()
    }
    differences = []
    for first, second in combinations(results, 2):
        ours, theirs = results[first], results[second]
        if seeds is not None and seeds[first] != seeds[second]:  # a cell of one of them failed
            continue
        if len(ours) != len(theirs) or any(a.ids != b.ids for a, b in zip(ours, theirs, strict=True)):
            continue
        delta = draws[first] - draws[second]
        known = delta[1:][~np.isnan(delta[1:])]
        low, high = np.quantile(known, [0.025, 0.975]) if known.size else (np.nan, np.nan)
        differences.append(Difference(first, second, float(delta[0]), float(low), float(high), _p_value(known)))
    return estimates, holm(differences)


def holm(differences: Sequence[Difference]) -> list[Difference]:
    """Correct p-values for their number by Holm's step-down method, keeping the order.

    Args:
        differences: of one family.

    Reference:
        Holm: A simple sequentially rejective multiple test procedure. Scandinavian Journal of Statistics 6, 1979.

    Example:
        >>> pairs = [Difference("a", "b", 0, 0, 0, p) for p in (0.04, 0.01)]
        >>> [round(pair.p_holm, 3) for pair in holm(pairs)]
        [0.04, 0.02]
    """
    order = sorted(range(len(differences)), key=lambda place: differences[place].p_value)
    corrected, largest = {}, 0.0
    for rank, place in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * differences[place].p_value))
        corrected[place] = largest
    return [Difference(**{**asdict(pair), "p_holm": corrected[place]}) for place, pair in enumerate(differences)]


def _plain(cells: Sequence[CellResult], statistic: Resampled) -> list[float]:
    """The metric of each seed, of the studies as they are."""
    return [float(statistic(cell.studies, np.ones((1, len(cell.ids))))[0]) for cell in cells]


def _draws(cells: Sequence[CellResult], statistic: Resampled, resamples: int, seed: int) -> Floats:
    """Return the mean over seeds of the studies as they are, and then of each resample: (1 + resamples,)."""
    weights = np.random.default_rng([seed, 1]).multinomial(len(cells), np.full(len(cells), 1 / len(cells)), resamples)
    drawn: list[Floats] = []
    used = 0

    def mixed(counts: Floats) -> Floats:
        nonlocal used
        values = np.stack([statistic(cell.studies, counts) for cell in cells], axis=1)  # (R, seeds)
        plain = used == 0  # the first call is of the studies as they are
        share = np.ones((1, len(cells))) if plain else weights[used - 1 : used - 1 + len(counts)]
        used += 1 if plain else len(counts)
        result = (values * share).sum(axis=1) / share.sum(axis=1)
        drawn.append(result)
        return result[:, None]

    bootstrap_intervals(mixed, len(cells[0].ids), resamples=resamples, seed=seed)
    return np.concatenate(drawn)


def _estimate(draw: Floats, by_seed: Sequence[float]) -> SeedEstimate:
    known = draw[1:][~np.isnan(draw[1:])]
    low, high = np.quantile(known, [0.025, 0.975]) if known.size else (np.nan, np.nan)
    deviation = float(np.std(by_seed, ddof=1)) if len(by_seed) > 1 else None
    return SeedEstimate(float(draw[0]), float(low), float(high), deviation, len(by_seed))


def _p_value(differences: Floats) -> float:
    if not differences.size:
        return float("nan")
    tail = min((differences <= 0).mean(), (differences >= 0).mean())
    return float(min(1.0, max(2 * tail, 1 / differences.size)))
