"""Splits by patient, so that no patient is in two of them, and label fractions by id."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from monai_place.data.datalist import SPLITS

__all__ = ["check_fractions", "draw_fraction", "split_patients"]


def split_patients(
    strata: Mapping[str, str],
    *,
    sizes: Mapping[str, int] | None = None,
    fractions: Sequence[float] = (0.7, 0.1, 0.2),
    seed: int = 0,
) -> dict[str, str]:
    """Assign each patient to a split.

    Patients of one stratum are shuffled, those with most records first, and dealt one after the other to the split
    that is furthest behind its fraction of the records, so each stratum is spread about evenly. With at least as many
    patients as splits none stays empty.

    Args:
        strata: the stratum of each patient, such as the main finding.
        sizes: records of each patient; 1 where it is not given.
        fractions: of training, validation and test; they sum to 1.
        seed: of the shuffling; the same patients with the same seed give the same splits.

    Returns:
        The split of each patient.

    Raises:
        ValueError: the fractions are not three that sum to 1.

    Example:
        >>> sorted(split_patients({str(patient): "" for patient in range(10)}).values())
        ['test', 'test', 'training', 'training', 'training', 'training', 'training', 'training', 'training', 'validation']
    """  # noqa: E501  (the output of the example cannot be wrapped)
    check_fractions(fractions)
    sizes = {} if sizes is None else sizes
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for patient in sorted(strata):
        groups[strata[patient]].append(patient)
    random = np.random.default_rng(seed)
    counts = np.zeros(len(SPLITS))
    target = np.asarray(fractions, dtype=np.float64)
    assigned: dict[str, str] = {}
    for stratum in sorted(groups):
        shuffled = [groups[stratum][index] for index in random.permutation(len(groups[stratum]))]
        for patient in sorted(shuffled, key=lambda patient: -sizes.get(patient, 1)):
            size = sizes.get(patient, 1)
            chosen = int(np.argmax(target * (counts.sum() + size) - counts))
            counts[chosen] += size
            assigned[patient] = SPLITS[chosen]
    _fill_empty(assigned, target)
    return assigned


def check_fractions(fractions: Sequence[float]) -> None:
    """Refuse what can be no shares of training, validation and test.

    Raises:
        ValueError: the fractions are not three that sum to 1.
    """
    # Written so that NaN is refused, too.
    if len(fractions) != len(SPLITS) or not min(fractions) >= 0 or not abs(sum(fractions) - 1) <= 1e-6:
        raise ValueError(f"fractions must be {len(SPLITS)} numbers of at least 0 that sum to 1, got {fractions}")


def draw_fraction(ids: Iterable[str], fraction: float, *, seed: int = 0) -> set[str]:
    """Draw a share of some ids; a smaller share of the same ids with the same seed lies inside a larger one.

    Args:
        ids: what to draw from, in any order; duplicates count once.
        fraction: the share, above 0 and at most 1.
        seed: of the draw.

    Returns:
        round(fraction * number of ids) of them, at least one if there are any.

    Raises:
        ValueError: the fraction is out of its range.

    Example:
        >>> ids = [f"study{number}" for number in range(200)]
        >>> one, ten = draw_fraction(ids, 0.01), draw_fraction(ids, 0.1)
        >>> len(one), len(ten), one < ten
        (2, 20, True)
    """
    if not isinstance(fraction, int | float | np.floating) or not 0 < fraction <= 1:
        raise ValueError(f"fraction must be above 0 and at most 1, got {fraction!r}")
    known = sorted(set(ids))
    order = np.random.default_rng(seed).permutation(len(known))
    return {known[index] for index in order[: max(1, round(fraction * len(known)))]}


def _fill_empty(assigned: dict[str, str], target: npt.NDArray[np.float64]) -> None:
    """Give an empty split one patient of the largest, where there are patients enough."""
    if len(assigned) < len(SPLITS):
        return
    for split, fraction in zip(SPLITS, target, strict=True):
        held = list(assigned.values())
        if fraction > 0 and split not in held:
            largest = max(SPLITS, key=held.count)
            assigned[next(patient for patient in sorted(assigned) if assigned[patient] == largest)] = split
