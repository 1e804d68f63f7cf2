from __future__ import annotations

import json
import math

import numpy as np
import pytest
from sklearn.metrics import f1_score, recall_score

from monai_place.metrics.operating import OperatingPoints, choose_operating_points


@pytest.fixture(params=[0, 1, 2], ids=str)
def problem(request: pytest.FixtureRequest) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(request.param)
    scores = generator.random((60, 2)).round(2)
    labels = (scores + generator.normal(size=(60, 2)) > 0.8).astype(float)
    labels[::7, 1] = np.nan
    return scores, labels


def test_no_other_threshold_has_a_larger_f1(problem: tuple[np.ndarray, np.ndarray]) -> None:
    scores, labels = problem
    points = choose_operating_points(scores, labels)
    for column, threshold in enumerate(points.best_f1):
        known = ~np.isnan(labels[:, column])
        values, truth = scores[known, column], labels[known, column]
        found = f1_score(truth, values >= threshold)
        assert found == pytest.approx(max(f1_score(truth, values >= other) for other in np.unique(values)))


@pytest.mark.parametrize("specificity", [0.8, 0.9, 0.95])
def test_it_is_the_lowest_threshold_with_the_specificity(
    problem: tuple[np.ndarray, np.ndarray], specificity: float
) -> None:
    scores, labels = problem
    points = choose_operating_points(scores, labels, specificity=specificity)
    for column, threshold in enumerate(points.at_specificity):
        known = ~np.isnan(labels[:, column])
        values, truth = scores[known, column], labels[known, column]

        def reached(limit: float, values: np.ndarray = values, truth: np.ndarray = truth) -> float:
            return float(recall_score(truth == 0, values < limit))

        assert reached(threshold) >= specificity
        lower = [level for level in np.unique(values) if level < threshold]
        assert not lower or reached(max(lower)) < specificity


def test_what_is_exactly_met_counts() -> None:
    scores = np.arange(11, dtype=float)[:, None] / 11
    labels = np.array([[0.0]] * 10 + [[1.0]])  # 10 negatives: 0.9 allows one alarm, that of score 9/11
    assert choose_operating_points(scores, labels, specificity=0.9).at_specificity[0] == pytest.approx(9 / 11)


def test_where_no_score_is_specific_enough_nothing_is_called() -> None:
    points = choose_operating_points([[0.1], [0.9]], [[1], [0]], specificity=1.0)
    assert points.at_specificity == (math.inf,)


@pytest.mark.parametrize("labels", [[[1], [1]], [[0], [0]], [[np.nan], [np.nan]], np.zeros((0, 1))])
def test_without_both_classes_there_is_no_threshold(labels: object) -> None:
    points = choose_operating_points(np.zeros((len(labels), 1)), labels)  # type: ignore[arg-type]
    assert math.isnan(points.best_f1[0])
    assert math.isnan(points.at_specificity[0])
    assert points.to_dict()["best_f1"] == [None]


def test_the_points_go_through_json() -> None:
    points = OperatingPoints((0.25, 0.5), (0.75, 0.5), 0.8)
    assert OperatingPoints.from_dict(json.loads(json.dumps(points.to_dict(), allow_nan=False))) == points
    assert math.isnan(OperatingPoints.from_dict(OperatingPoints((math.nan,), (math.inf,)).to_dict()).best_f1[0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[0.1]], [[0, 1]]), r"both be \(B, C\)"),
        (([0.1], [0]), r"both be \(B, C\)"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(arguments: tuple[object, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choose_operating_points(*arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("specificity", [0.0, 1.1, math.nan])
def test_a_specificity_out_of_range_is_refused(specificity: float) -> None:
    with pytest.raises(ValueError, match=r"specificity must lie in \(0, 1\]"):
        choose_operating_points([[0.1]], [[0]], specificity=specificity)
