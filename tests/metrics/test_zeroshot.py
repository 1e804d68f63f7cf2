from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from monai_place.metrics.zeroshot import auroc_of_resamples, zero_shot_auroc, zero_shot_intervals


def pair_oracle(scores, labels):
    """Every positive against every negative, ties one half."""
    positives = [score for score, label in zip(scores, labels, strict=True) if label == 1]
    negatives = [score for score, label in zip(scores, labels, strict=True) if label == 0]
    if not positives or not negatives:
        return math.nan
    won = sum((p > n) + 0.5 * (p == n) for p in positives for n in negatives)
    return won / (len(positives) * len(negatives))


def drawn(seed: int, *, ties: bool) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, 4, (40, 5)) * 1.0 if ties else generator.normal(size=(40, 5))
    labels = generator.choice([0.0, 1.0, np.nan], (40, 5))
    labels[:, 3], labels[:, 4] = np.nan, 1.0  # nothing known, one class only
    return scores, labels


@pytest.mark.parametrize("ties", [False, True], ids=["distinct scores", "ties"])
@pytest.mark.parametrize("seed", range(5))
def test_auroc_equals_the_pair_oracle_and_sklearn(seed, ties):
    scores, labels = drawn(seed, ties=ties)
    found = zero_shot_auroc(torch.tensor(scores), torch.tensor(labels), findings="abcde")
    expected = [pair_oracle(scores[:, c], labels[:, c]) for c in range(5)]
    assert list(found.per_finding.values()) == pytest.approx(expected, nan_ok=True)
    for c in range(3):
        known = ~np.isnan(labels[:, c])
        assert found.per_finding["abcde"[c]] == pytest.approx(roc_auc_score(labels[known, c], scores[known, c]))
    assert found.macro == pytest.approx(np.mean(expected[:3]))
    assert found.positives["e"] == 40
    assert found.negatives["e"] == found.positives["d"] == 0


@pytest.mark.parametrize("ties", [False, True], ids=["distinct scores", "ties"])
def test_resample_equals_the_oracle_on_the_studies_it_holds(ties):
    scores, labels = drawn(7, ties=ties)
    generator = np.random.default_rng(0)
    counts = generator.multinomial(40, np.full(40, 1 / 40), size=20).astype(float)
    found = auroc_of_resamples(scores, labels, counts)
    for row, count in zip(found, counts, strict=True):
        chosen = np.repeat(np.arange(40), count.astype(int))
        expected = [pair_oracle(scores[chosen, c], labels[chosen, c]) for c in range(5)]
        assert row[:-1].tolist() == pytest.approx(expected, nan_ok=True)
        assert row[-1] == pytest.approx(np.nanmean(expected))


def test_constant_scores_are_one_half():
    assert zero_shot_auroc(np.zeros((4, 1)), np.array([[0], [1], [1], [0]])).macro == 0.5


def test_perfect_and_inverted_scores():
    labels = torch.tensor([[0.0], [1.0], [1.0]])
    assert zero_shot_auroc(labels, labels).macro == 1.0
    assert zero_shot_auroc(-labels, labels).macro == 0.0


def test_one_class_only_has_no_number_and_the_macro_leaves_it_out():
    labels = torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    found = zero_shot_auroc(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), labels, findings=["edema", "mass"])
    assert math.isnan(found.per_finding["edema"])
    assert found.macro == 1.0
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False)) == {
        "macro": 1.0,
        "per_finding": {"edema": None, "mass": 1.0},
        "positives": {"edema": 2, "mass": 1},
        "negatives": {"edema": 0, "mass": 1},
    }


@pytest.mark.parametrize("shape", [(0, 2), (3, 0), (0, 0)])
def test_nothing_to_score_has_no_number(shape):
    assert math.isnan(zero_shot_auroc(np.zeros(shape), np.zeros(shape)).macro)


def test_intervals_hold_the_value_and_repeat_with_the_seed():
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 2, (200, 2)).astype(float)
    scores = labels + generator.normal(size=(200, 2))
    first, again = (zero_shot_intervals(scores, labels, findings=["a", "b"], resamples=200, seed=3) for _ in range(2))
    assert first == again
    assert list(first) == ["a", "b", "macro"]
    assert first["macro"].value == pytest.approx(zero_shot_auroc(scores, labels).macro)
    for interval in first.values():
        assert 0.5 < interval.low < interval.value < interval.high < 1
    assert zero_shot_intervals(scores, labels, resamples=200, seed=4)["macro"] != first["macro"]


@pytest.mark.parametrize(
    ("scores", "labels", "findings", "message"),
    [
        pytest.param(np.zeros((2, 1)), np.zeros((2, 2)), None, r"must both be \(B, C\)", id="shapes"),
        pytest.param(np.zeros(2), np.zeros(2), None, r"must both be \(B, C\)", id="one dimension"),
        pytest.param(np.full((2, 1), np.nan), np.zeros((2, 1)), None, "scores must be finite, got 2", id="NaN score"),
        pytest.param(np.zeros((2, 1)), np.full((2, 1), -1.0), None, "labels must be 0, 1 or NaN", id="uncertain label"),
        pytest.param(np.zeros((2, 2)), np.zeros((2, 2)), ["a"], "findings must be 2 different names", id="names"),
        pytest.param(np.zeros((2, 1)), np.zeros((2, 1)), ["macro"], "other than 'macro'", id="reserved name"),
    ],
)
def test_ill_argument_is_named(scores, labels, findings, message):
    with pytest.raises(ValueError, match=message):
        zero_shot_auroc(scores, labels, findings=findings)
