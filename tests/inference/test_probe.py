"""The linear probe against scikit-learn's own pipeline, and where there is nothing to learn."""

from __future__ import annotations

import math

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from monai_place.inference.probe import linear_probe_auroc, logistic_probe_scores


def problem(studies=120, width=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(studies, width, generator=generator) * torch.arange(1, width + 1) + 5
    noise = torch.randn(studies, 2, generator=generator)
    labels = torch.stack([(features[:, 0] + noise[:, 0] > 5), (features[:, 1] - 2 * noise[:, 1] > 5)], dim=1).float()
    return features, labels


def test_each_finding_equals_sklearn_s_pipeline_on_the_known_labels():
    (x, y), (test_x, test_y) = problem(), problem(seed=1)
    y[::7, 1] = torch.nan
    found = linear_probe_auroc(x, y, test_x, test_y, findings=["a", "b"], inverse_regularization=0.1, bootstrap=10)
    scaler = StandardScaler().fit(x)  # standardized over all studies of the share, labeled or not
    for name, column in (("a", 0), ("b", 1)):
        known = ~y[:, column].isnan()
        model = LogisticRegression(C=0.1, max_iter=5000).fit(scaler.transform(x)[known], y[known, column])
        expected = roc_auc_score(test_y[:, column], model.decision_function(scaler.transform(test_x)))
        assert found[name].value == pytest.approx(expected, abs=1e-6)
    assert found["macro"].value == pytest.approx((found["a"].value + found["b"].value) / 2)


def test_its_scores_are_the_log_odds_that_the_areas_are_of():
    (x, y), (test_x, test_y) = problem(), problem(seed=1)
    scores = logistic_probe_scores(x, y, test_x, 0.5, seed=3)
    found = linear_probe_auroc(x, y, test_x, test_y, 0.5, bootstrap=10, seed=3)
    assert scores.shape == test_y.shape
    assert found["1"].value == pytest.approx(roc_auc_score(test_y[:, 1], scores[:, 1]))


def test_without_missing_labels_it_is_the_plain_pipeline():
    (x, y), (test_x, test_y) = problem(), problem(seed=1)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=5000)).fit(x, y[:, 0])
    found = linear_probe_auroc(x, y[:, :1], test_x, test_y[:, :1], bootstrap=10)
    assert found["0"].value == pytest.approx(roc_auc_score(test_y[:, 0], model.decision_function(test_x)), abs=1e-6)


def test_the_scale_of_the_features_does_not_matter():
    (x, y), (test_x, test_y) = problem(), problem(seed=1)
    plain = linear_probe_auroc(x, y, test_x, test_y, bootstrap=10)["macro"].value
    scaled = linear_probe_auroc(x * 1000 - 7, y, test_x * 1000 - 7, test_y, bootstrap=10)["macro"].value
    assert plain == pytest.approx(scaled, abs=1e-6)


def test_a_share_of_the_training_studies_is_used_and_more_of_them_help():
    (x, y), (test_x, test_y) = problem(400), problem(seed=1)
    values = [
        linear_probe_auroc(x, y, test_x, test_y, fraction, bootstrap=10)["macro"].value for fraction in (0.01, 0.1, 1.0)
    ]
    assert values[0] < values[2]
    y[:, 0] = torch.where(torch.rand(400, generator=torch.Generator().manual_seed(0)) < 0.5, y[:, 0], torch.nan)
    assert linear_probe_auroc(x, y, test_x, test_y, 0.1, bootstrap=10)["macro"].value == pytest.approx(
        linear_probe_auroc(x, y, test_x, test_y, 0.1, bootstrap=10)["macro"].value
    )


def test_a_finding_of_one_class_only_is_chance():
    (x, y), (test_x, test_y) = problem(), problem(seed=1)
    y[:, 1] = 0
    assert linear_probe_auroc(x, y, test_x, test_y, bootstrap=10)["1"].value == 0.5


def test_a_finding_without_both_classes_in_the_test_has_no_number():
    (x, y), (test_x, test_y) = problem(), problem(seed=1)
    test_y[:, 1] = 1
    found = linear_probe_auroc(x, y, test_x, test_y, bootstrap=10)
    assert math.isnan(found["1"].value)
    assert found["macro"].value == found["0"].value


@pytest.mark.parametrize("fraction", [0.0, 1.5, -0.1])
def test_a_share_out_of_range_is_refused(fraction):
    x, y = problem()
    with pytest.raises(ValueError, match="expected 0 < fraction <= 1"):
        linear_probe_auroc(x, y, x, y, fraction)


def test_shapes_that_do_not_fit_are_refused():
    x, y = problem()
    with pytest.raises(ValueError, match=r"\(B, E\)"):
        linear_probe_auroc(x, y[:-1], x, y)
    with pytest.raises(ValueError, match=r"120 rows of test features \(B', E\) have 119 labels"):
        linear_probe_auroc(x, y, x, y[:-1])
