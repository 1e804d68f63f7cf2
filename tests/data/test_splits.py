from __future__ import annotations

from collections import Counter

import pytest

from monai_place.data.datalist import SPLITS
from monai_place.data.splits import draw_fraction, split_patients

STRATA = {f"p{index}": "rare" if index % 10 == 0 else "common" for index in range(200)}


def test_fractions_are_met_and_each_stratum_is_spread() -> None:
    splits = split_patients(STRATA)
    assert Counter(splits.values()) == {"training": 140, "validation": 20, "test": 40}
    rare = Counter(split for patient, split in splits.items() if STRATA[patient] == "rare")
    assert rare == {"training": 14, "validation": 2, "test": 4}


def test_fractions_are_of_records_where_patients_differ_in_size() -> None:
    sizes = {patient: 1 + 7 * (index % 5 == 0) for index, patient in enumerate(STRATA)}
    splits = split_patients(STRATA, sizes=sizes)
    total = sum(sizes.values())
    shares = [sum(sizes[p] for p in splits if splits[p] == split) / total for split in SPLITS]
    assert shares == pytest.approx([0.7, 0.1, 0.2], abs=0.02)


def test_splits_depend_on_seed_and_patients_and_not_on_their_order() -> None:
    backwards = dict(reversed(list(STRATA.items())))
    assert split_patients(STRATA, seed=1) == split_patients(backwards, seed=1)
    assert split_patients(STRATA, seed=1) != split_patients(STRATA, seed=2)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7])
def test_no_split_stays_empty_where_patients_suffice(count: int) -> None:
    splits = split_patients({str(index): "" for index in range(count)})
    assert len(splits) == count
    assert len(set(splits.values())) == min(count, 3) or count < 3


def test_a_fraction_of_zero_leaves_its_split_empty() -> None:
    assert set(split_patients(STRATA, fractions=(0.8, 0.0, 0.2)).values()) == {"training", "test"}


@pytest.mark.parametrize("fractions", [(0.7, 0.3), (0.7, 0.2, 0.2), (1.2, -0.1, -0.1), (float("nan"), 0.5, 0.5)])
def test_fractions_that_do_not_sum_to_1_are_refused(fractions: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="fractions must be 3 numbers of at least 0 that sum to 1"):
        split_patients(STRATA, fractions=fractions)


IDS = [f"study{number}" for number in range(1000)]


def test_smaller_fractions_lie_inside_larger_ones() -> None:
    drawn = [draw_fraction(IDS, fraction) for fraction in (0.01, 0.1, 0.5, 1.0)]
    assert [len(ids) for ids in drawn] == [10, 100, 500, 1000]
    assert drawn[0] < drawn[1] < drawn[2] < drawn[3] == set(IDS)


def test_a_fraction_depends_on_ids_and_seed_and_not_on_their_order() -> None:
    assert draw_fraction(IDS[::-1], 0.1, seed=3) == draw_fraction([*IDS, *IDS], 0.1, seed=3)
    assert draw_fraction(IDS, 0.1, seed=3) != draw_fraction(IDS, 0.1, seed=4)


def test_a_fraction_of_few_ids_holds_one_and_of_none_is_empty() -> None:
    assert len(draw_fraction(IDS[:7], 0.01)) == 1
    assert draw_fraction([], 0.01) == set()


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.1, float("nan")])
def test_a_fraction_out_of_range_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match="fraction must be above 0 and at most 1, got"):
        draw_fraction(IDS, fraction)
