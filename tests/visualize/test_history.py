from __future__ import annotations

import math

import numpy as np
import pytest

from monai_place.visualize.history import history_rows, loss_terms_of, points_of, step_name, validation_terms_of


def test_the_log_of_this_project_s_handlers_is_understood():
    rows = history_rows(
        [
            {"kind": "train", "epoch": 1, "iteration": 10, "loss": 4.0, "ita": 2.0, "lr/decay": 1e-4, "lr/rest": 2e-4},
            {"kind": "validation", "epoch": 1, "iteration": 10, "val_loss": 4.5, "val_loss_ita": 2.5, "pcma_gap": None},
            {"kind": "validation", "epoch": 2, "iteration": 20, "val_loss": 4.4, "pcma_gap": 1.5},
        ]
    )
    assert loss_terms_of(rows) == ["loss", "ita"]
    assert rows[0]["lr"] == 2e-4
    assert (rows[1]["val/loss"], rows[1]["val/ita"]) == (4.5, 2.5)
    assert validation_terms_of(rows) == ["pcma_gap"]


def test_the_validation_s_numbers_never_pass_for_those_of_training():
    (row,) = history_rows([{"kind": "validation", "epoch": 2, "iteration": 20, "loss": 4.0, "val_loss_ita": 2.0}])
    assert row == {"epoch": 2.0, "iteration": 20.0, "val/loss": 4.0, "val/ita": 2.0}
    assert loss_terms_of([row]) == []


def test_texts_truth_values_and_nothing_are_no_numbers_and_nan_is_one():
    (row,) = history_rows([{"loss": math.nan, "note": "text", "amp": True, "cce": None, "val/auroc": None}])
    assert list(row) == ["loss"]
    assert math.isnan(row["loss"])


def test_a_learning_rate_that_is_given_wins_over_those_of_its_groups():
    (row,) = history_rows([{"lr": 1e-3, "lr/decay": 1e-2}])
    assert row == {"lr": 1e-3}


def test_terms_that_are_zero_or_unknown_throughout_are_not_drawn():
    rows = [{"loss": 1.0, "pcma": 0.0, "cce": math.nan}, {"loss": 0.0, "pcma": 0.0, "cce": math.inf}]
    assert loss_terms_of(rows) == ["loss"]


def test_the_validation_s_terms_are_those_that_training_has_not():
    rows = [{"loss": 1.0, "val/loss": 2.0, "val/auroc": 0.7, "val/gap": math.nan}]
    assert validation_terms_of(rows) == ["auroc"]


def test_points_come_from_the_rows_that_hold_the_number_and_infinities_are_gaps():
    rows = [{"iteration": 5.0, "loss": 3.0}, {"iteration": 6.0}, {"iteration": 7.0, "loss": math.inf}]
    at, values = points_of(rows, "loss")
    np.testing.assert_array_equal(at, [5, 7])
    np.testing.assert_array_equal(values, [3, math.nan])
    assert [len(line) for line in points_of(rows, "cce")] == [0, 0]


@pytest.mark.parametrize(
    ("rows", "name"),
    [
        pytest.param([{"epoch": 1.0}, {"epoch": 1.0, "iteration": 2.0}], "iteration", id="iterations before epochs"),
        pytest.param([{"epoch": 1.0}], "epoch", id="epochs alone"),
        pytest.param([{"loss": 1.0}], "", id="neither"),
    ],
)
def test_steps_are_counted_by_the_finest_key_there_is(rows, name):
    assert step_name(rows) == name
