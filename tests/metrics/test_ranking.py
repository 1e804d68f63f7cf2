"""Areas of resamples against scikit-learn with each study repeated as often as it was drawn."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from monai_place.metrics.ranking import average_precision, group_by_score, roc_area


def drawn(*, ties: bool, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    scores = generator.random(40)
    labels = (scores + generator.normal(size=40) > 0.7).astype(float)
    labels[::9] = np.nan
    counts = generator.multinomial(40, np.full(40, 1 / 40), size=6).astype(float)
    return (scores.round(1) if ties else scores), labels, counts


@pytest.mark.parametrize("ties", [pytest.param(False, id="distinct scores"), pytest.param(True, id="ties")])
def test_both_areas_of_every_resample_are_sklearn_s(ties: bool) -> None:
    scores, labels, counts = drawn(ties=ties)
    levels, positive, negative = group_by_score(scores, labels, counts)
    assert (np.diff(levels) > 0).all()
    roc, precision = roc_area(positive, negative), average_precision(positive, negative)
    for row, weight in enumerate(counts):
        times = np.where(np.isnan(labels), 0, weight).astype(int)
        repeated, truth = np.repeat(scores, times), np.repeat(labels, times)
        assert roc[row] == pytest.approx(roc_auc_score(truth, repeated))
        assert precision[row] == pytest.approx(average_precision_score(truth, repeated))


@pytest.mark.parametrize("label", [0.0, 1.0, np.nan])
def test_one_class_only_or_none_known_has_no_area(label: float) -> None:
    _, positive, negative = group_by_score(np.array([0.1, 0.2]), np.full(2, label), np.ones((3, 2)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(roc_area(positive, negative)).tolist() == [True] * 3
        assert np.isnan(average_precision(positive, negative)).tolist() == [True] * 3


def test_no_study_has_no_area() -> None:
    levels, positive, negative = group_by_score(np.zeros(0), np.zeros(0), np.ones((1, 0)))
    assert levels.size == 0
    assert math.isnan(roc_area(positive, negative)[0])


def test_scores_that_are_all_equal_are_chance() -> None:
    _, positive, negative = group_by_score(np.zeros(4), np.array([1.0, 0, 0, 0]), np.ones((1, 4)))
    assert roc_area(positive, negative)[0] == 0.5
    assert average_precision(positive, negative)[0] == 0.25
