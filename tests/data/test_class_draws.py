"""Draws of so many studies of each class, against pandas."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from monai_place.data.class_draws import SAMPLING_SEEDS, draw_per_class, single_classes

FIVE = ["Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion"]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Return 600 rows of labels, each as rare as findings are."""
    drawn = np.random.default_rng(0).random((600, 5)) < 0.25
    return pd.DataFrame(drawn.astype(int), columns=FIVE)


@pytest.mark.parametrize("seed", SAMPLING_SEEDS)
def test_a_draw_is_the_one_that_pandas_makes(table: pd.DataFrame, seed: int) -> None:
    expected: list[int] = []
    for name in FIVE:  # as the published code does: this one 1 and the others 0, then sample
        alone = table[(table[name] == 1) & (table.drop(columns=name) == 0).all(axis=1)]
        expected += alone.sample(n=20, random_state=seed).index.tolist()
    members = single_classes(table.to_numpy().tolist(), FIVE)
    assert draw_per_class(members, FIVE, 20, seed=seed) == expected


def test_seeds_draw_differently_and_each_draw_holds_a_row_once(table: pd.DataFrame) -> None:
    members = single_classes(table.to_numpy().tolist(), FIVE)
    draws = [draw_per_class(members, FIVE, 30, seed=seed) for seed in SAMPLING_SEEDS]
    assert len({tuple(draw) for draw in draws}) == len(SAMPLING_SEEDS)
    assert all(len(set(draw)) == 150 for draw in draws)
    assert [members[row] for row in draws[0]] == [name for name in FIVE for _ in range(30)]


def test_the_committed_seeds_are_those_of_the_protocol() -> None:
    assert SAMPLING_SEEDS == (0, 1, 2, 3, 4)


@pytest.mark.parametrize("unknown", [None, math.nan])
def test_an_unknown_label_rules_a_row_out(unknown: float | None) -> None:
    assert single_classes([[1, unknown], [1, 0], [unknown, 1]], ["edema", "nodule"]) == [None, "edema", None]


def test_no_finding_is_not_looked_at() -> None:
    rows = [[1, 1, 0], [None, 0, 1], [1, 0, 0]]
    assert single_classes(rows, ["No Finding", "edema", "nodule"]) == ["edema", "nodule", None]


def test_too_few_rows_are_counted_for_every_class() -> None:
    with pytest.raises(ValueError, match="3 rows of each class are wanted, there are 1 with 'b' alone, 0 with 'c'"):
        draw_per_class(["a", "a", "a", "b"], ["a", "b", "c"], 3)


def test_ill_arguments_are_named() -> None:
    with pytest.raises(ValueError, match="number must be at least 1, got 0"):
        draw_per_class(["a"], ["a"], 0)
    with pytest.raises(ValueError, match="there is no class to draw"):
        draw_per_class(["a"], [], 1)
    with pytest.raises(ValueError, match=r"labels\[1\] has 1 entries, there are 2 classes"):
        single_classes([[0, 1], [1]], ["a", "b"])
