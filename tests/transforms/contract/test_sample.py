from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from monai_place.transforms.contract.sample import IMAGE, MASK, SIZES, Sample, dot_center, same


@pytest.mark.parametrize("size", SIZES.values())
def test_the_dot_is_found_where_it_is_planted_inside_mask_and_box(size: tuple[int, int]) -> None:
    sample = Sample(size)
    record, without = sample.record(), Sample(size, dot=False).record()
    row, column = sample.center
    assert dot_center(record[IMAGE], without[IMAGE]) == pytest.approx((column + 0.5, row + 0.5), abs=0.1)
    assert record[MASK][0, row, column] == 2
    x0, y0, x1, y1 = record["boxes"][0]
    assert ((x0 + x1) / 2, (y0 + y1) / 2) == (column + 0.5, row + 0.5)


def test_no_flip_and_no_turn_leaves_the_dot_where_it_is() -> None:
    for size in SIZES.values():
        (height, width), (row, column) = size, Sample(size).center
        assert {abs(height - 1 - 2 * row) > 6, abs(width - 1 - 2 * column) > 6} == {True}


def test_records_are_alike_and_share_nothing() -> None:
    first, second = Sample().record(), Sample().record()
    assert same(first, second)
    first[IMAGE].zero_()
    assert not same(first, second)


def test_a_constant_record_is_black_and_has_no_dot() -> None:
    image = Sample(constant=True).record()[IMAGE]
    assert not image.any()
    assert dot_center(image, image) is None


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (torch.zeros(2), MetaTensor(torch.zeros(2)), True),
        (torch.zeros(2), torch.zeros(2, dtype=torch.float64), False),
        (np.array([np.nan]), np.array([np.nan]), True),
        ([1, [2]], [1, [2]], True),
        ([1], [1.0], False),
        ({"a": torch.zeros(1)}, {"a": torch.ones(1)}, False),
        (torch.zeros(1), [0.0], False),
    ],
)
def test_two_values_are_the_same_to_the_last_bit_or_not(one: object, other: object, expected: bool) -> None:
    assert same(one, other) is expected
