from __future__ import annotations

import math

import numpy as np
import pytest

from monai_place.data.sources.mgca import MODES, check_choice, draw_three_splits, draw_two_splits


def drawn_by_the_formula(items: list[str], rest: int, half: int) -> dict[str, list[str]]:
    """The verified split in words of NumPy only, as an oracle for scikit-learn's."""
    order = np.random.RandomState(0).permutation(len(items))
    others = [items[index] for index in order[:rest]]
    again = [others[index] for index in np.random.RandomState(0).permutation(rest)]
    return {
        "training": [items[index] for index in order[rest:]],
        "validation": again[:half],
        "test": again[half:],
    }


@pytest.mark.parametrize(
    ("share", "rest", "half"),
    [
        pytest.param(0.4, 10674, 5337, id="segmentation and detection"),
        pytest.param(0.3, 8006, 4003, id="classification"),
    ],
)
def test_the_published_splits_of_rsna_are_drawn_exactly(share: float, rest: int, half: int) -> None:
    items = [f"{index:05d}" for index in range(26684)]
    assert draw_three_splits(items, share) == drawn_by_the_formula(items, rest, half)


@pytest.mark.parametrize("count", [5, 9, 10, 31])
def test_the_parts_are_disjoint_and_whole_at_any_size(count: int) -> None:
    drawn = draw_three_splits(range(count), 0.4)
    assert sorted(item for items in drawn.values() for item in items) == list(range(count))
    assert len(drawn["validation"]) + len(drawn["test"]) == math.ceil(0.4 * count)


def test_two_splits_depend_on_the_order_alone() -> None:
    first, second = draw_two_splits("abcdefghij", 0.1), draw_two_splits("abcdefghij", 0.1)
    assert first == second != draw_two_splits("jihgfedcba", 0.1)
    assert [len(items) for items in draw_two_splits(range(8000), 0.1)] == [7200, 800]


def test_too_few_items_are_an_error() -> None:
    with pytest.raises(ValueError, match="too few images or rows of a table to split: 1"):
        draw_two_splits(["a"], 0.2)


def test_an_unknown_choice_is_refused_with_the_known_ones() -> None:
    check_choice("mode", "mgca", MODES)
    with pytest.raises(ValueError, match=r"mode must be one of \['clean', 'mgca'\], got 'MGCA'"):
        check_choice("mode", "MGCA", MODES)
