"""Every measure against scikit-learn or torchmetrics, on random and on degenerate input."""

from __future__ import annotations

import json
import math
import time
import warnings

import numpy as np
import pytest
import torch
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    balanced_accuracy_score,
    f1_score,
    recall_score,
    roc_auc_score,
)
from torchmetrics.functional.classification import binary_calibration_error

from monai_place.metrics.classification import MEASURES, calibration_error, measure_classification
from monai_place.metrics.operating import OperatingPoints, choose_operating_points

POINTS = OperatingPoints((0.5, 0.4, 0.6), (0.7, 0.8, 0.9))


def problem(studies: int = 80, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    scores = generator.random((studies, 3)).round(2)
    labels = (scores + 0.7 * generator.normal(size=(studies, 3)) > 0.6).astype(float)
    labels[::6, 1] = np.nan
    return scores, labels


def test_every_measure_is_that_of_sklearn_on_the_known_labels() -> None:
    scores, labels = problem()
    found = measure_classification(scores, labels, classes=["a", "b", "c"], points=POINTS, resamples=10)
    for column, name in enumerate("abc"):
        known = ~np.isnan(labels[:, column])
        truth, values = labels[known, column], scores[known, column]
        called, strict = values >= POINTS.best_f1[column], values >= POINTS.at_specificity[column]
        expected = {
            "auroc": roc_auc_score(truth, values),
            "auprc": average_precision_score(truth, values),
            "accuracy": accuracy_score(truth, called),
            "f1": f1_score(truth, called),
            "sensitivity": recall_score(truth, called),
            "specificity": recall_score(truth == 0, ~called),
            "sensitivity_at_specificity": recall_score(truth, strict),
            "specificity_reached": recall_score(truth == 0, ~strict),
        }
        per_class = found.per_class[name]
        assert {key: per_class[key].value for key in expected} == pytest.approx(expected)
        assert (found.positives[name], found.negatives[name]) == ((truth == 1).sum(), (truth == 0).sum())
    for measure in MEASURES:
        mean = np.mean([found.per_class[name][measure].value for name in "abc"])
        assert found.macro[measure].value == pytest.approx(mean)
    assert found.accuracy is None


@pytest.mark.parametrize("bins", [5, 15])
def test_the_calibration_error_is_torchmetrics(bins: int) -> None:
    generator = np.random.default_rng(3)
    scores = generator.random(200)
    labels = (generator.random(200) < scores**2).astype(float)
    expected = binary_calibration_error(torch.tensor(scores), torch.tensor(labels).long(), n_bins=bins, norm="l1")
    found = calibration_error(scores, labels, np.ones((1, 200)), bins=bins)[0]
    assert found == pytest.approx(float(expected), abs=1e-6)
    gaps = np.append(scores, [0.99] * 5), np.append(labels, [np.nan] * 5)
    assert calibration_error(*gaps, np.ones((1, 205)), bins=bins)[0] == pytest.approx(found), "unknown labels count"


def test_probabilities_of_0_and_1_have_a_bin() -> None:
    perfect = np.array([0.0, 1.0])
    assert calibration_error(perfect, perfect, np.ones((1, 2)))[0] == 0.0
    assert calibration_error(perfect, 1 - perfect, np.ones((1, 2)))[0] == 1.0


def test_of_several_classes_the_likeliest_one_is_called() -> None:
    generator = np.random.default_rng(1)
    logits = generator.normal(size=(60, 3))
    truth = np.where(generator.random(60) < 0.6, logits.argmax(1), generator.integers(0, 3, 60))
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = np.eye(3)[truth]
    labels[:4] = np.nan
    found = measure_classification(probabilities, labels, task="multiclass", resamples=10)
    kept, called = truth[4:], logits.argmax(1)[4:]
    assert found.accuracy is not None
    assert found.accuracy.value == pytest.approx(accuracy_score(kept, called))
    assert found.macro["f1"].value == pytest.approx(f1_score(kept, called, average="macro"))
    assert found.macro["sensitivity"].value == pytest.approx(balanced_accuracy_score(kept, called))
    area = roc_auc_score(kept, probabilities[4:], multi_class="ovr", average="macro")
    assert found.macro["auroc"].value == pytest.approx(area)
    assert found.accuracy.low <= found.accuracy.value <= found.accuracy.high


@pytest.mark.parametrize(
    ("label", "defined"),
    [
        pytest.param(0.0, {"accuracy", "specificity", "specificity_reached", "ece"}, id="negatives only"),
        pytest.param(1.0, {"accuracy", "f1", "sensitivity", "sensitivity_at_specificity", "ece"}, id="positives only"),
        pytest.param(np.nan, set(), id="nothing known"),
    ],
)
def test_what_is_not_defined_is_nan_and_never_0(label: float, defined: set[str]) -> None:
    points = OperatingPoints((0.5,), (0.5,))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = measure_classification([[0.2], [0.7]], [[label]] * 2, points=points, resamples=5)
    assert {name for name, interval in found.per_class["0"].items() if not math.isnan(interval.value)} == defined
    assert {name for name, interval in found.macro.items() if not math.isnan(interval.value)} == defined


def test_no_study_has_no_number() -> None:
    found = measure_classification(np.zeros((0, 2)), np.zeros((0, 2)), resamples=5)
    assert all(math.isnan(interval.value) for interval in found.macro.values())
    text = json.dumps(found.to_dict(), allow_nan=False)
    assert json.loads(text)["macro"]["auroc"]["value"] is None


def test_without_thresholds_there_is_no_decision() -> None:
    scores, labels = problem()
    found = measure_classification(scores, labels, resamples=5)
    assert math.isnan(found.macro["f1"].value)
    assert not math.isnan(found.macro["auroc"].value)
    assert found.to_dict()["thresholds"] is None


def test_a_class_without_a_threshold_leaves_the_others_theirs() -> None:
    scores, labels = problem()
    points = choose_operating_points(scores, np.where(np.arange(3) == 1, 1.0, labels))
    found = measure_classification(scores, labels, points=points, resamples=5)
    assert math.isnan(found.per_class["1"]["f1"].value)
    assert found.macro["f1"].value == pytest.approx(np.mean([found.per_class[name]["f1"].value for name in "02"]))


def test_intervals_are_of_studies_drawn_again_and_repeat_with_the_seed() -> None:
    scores, labels = problem(40)
    one, other, third = (
        measure_classification(scores, labels, points=POINTS, resamples=300, seed=seed) for seed in (0, 0, 1)
    )
    assert one.to_dict() == other.to_dict() != third.to_dict()
    # An oracle that draws by itself: scikit-learn's area of 400 resamples of the first class.
    generator, areas = np.random.default_rng(9), []
    for _ in range(400):
        rows = generator.integers(0, 40, 40)
        areas.append(roc_auc_score(labels[rows, 0], scores[rows, 0]))
    interval = one.per_class["0"]["auroc"]
    assert [interval.low, interval.high] == pytest.approx(np.quantile(areas, [0.025, 0.975]).tolist(), abs=0.05)


def test_no_resamples_give_the_values_alone() -> None:
    scores, labels = problem()
    found = measure_classification(scores, labels, points=POINTS, resamples=0)
    assert found.macro["auroc"].value == measure_classification(scores, labels, resamples=5).macro["auroc"].value
    assert math.isnan(found.macro["auroc"].low)


@pytest.mark.parametrize(
    ("scores", "labels", "options", "message"),
    [
        ([[0.1]], [[0, 1]], {}, r"both be \(B, C\)"),
        ([[1.1]], [[0]], {}, r"in \[0, 1\]"),
        ([[math.nan]], [[0]], {}, r"in \[0, 1\]"),
        ([[0.1]], [[2]], {}, r"labels must be 0, 1 or NaN, got \[2.0\]"),
        ([[0.1, 0.9]], [[1, 1]], {"task": "multiclass"}, "1 studies of a multiclass task have not exactly one"),
        ([[0.1]], [[1]], {"task": "regression"}, "task is 'regression', expected one of"),
        ([[0.1, 0.2]], [[0, 1]], {"points": OperatingPoints((0.5,), (0.5,))}, "points are of 1 classes"),
    ],
)
def test_ill_arguments_are_refused(scores: object, labels: object, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure_classification(scores, labels, **options)  # type: ignore[arg-type]


@pytest.mark.slow
def test_thousands_of_studies_of_fourteen_classes_take_seconds() -> None:
    generator = np.random.default_rng(0)
    scores = generator.random((3000, 14))
    labels = (generator.random((3000, 14)) < 0.2).astype(float)
    start = time.process_time()
    measure_classification(scores, labels, points=OperatingPoints((0.5,) * 14, (0.9,) * 14), resamples=200)
    assert time.process_time() - start < 20
