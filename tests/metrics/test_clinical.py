from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import precision_recall_fscore_support

from monai_place.metrics.clinical import clinical_difference, clinical_scores

GENERATOR = np.random.default_rng(0)
TRUTH = (GENERATOR.random((60, 4)) < 0.3).astype(float)
SAID = np.where(GENERATOR.random((60, 4)) < 0.8, TRUTH, 1 - TRUTH)
NAMES = ["a", "b", "c", "d"]


def test_numbers_equal_those_of_scikit_learn():
    found = clinical_scores(SAID, TRUTH, NAMES, resamples=20)
    single = precision_recall_fscore_support(TRUTH, SAID, average=None)
    for place, kind in enumerate(("precision", "recall", "f1")):
        assert [found.findings[name][kind].value for name in NAMES] == pytest.approx(single[place].tolist())
        for mean, ours in (("micro", found.micro), ("macro", found.macro)):
            theirs = precision_recall_fscore_support(TRUTH, SAID, average=mean)[place]
            assert ours[kind].value == pytest.approx(theirs)
            assert ours[kind].low <= theirs <= ours[kind].high
    assert list(found.support.values()) == single[3].tolist()
    assert found.to_dict()["findings"]["a"]["support"] == int(TRUTH[:, 0].sum())


def test_what_is_not_known_is_left_out_and_what_is_not_defined_is_nan():
    truth, said = TRUTH.copy(), SAID.copy()
    truth[:30, 0] = np.nan
    said[:, 1] = 0  # never asserted
    truth[:, 2] = 0  # never there
    found = clinical_scores(said, truth, NAMES, resamples=5)
    half = clinical_scores(said[30:], truth[30:], NAMES, resamples=5)
    assert found.findings["a"]["f1"].value == half.findings["a"]["f1"].value
    assert np.isnan(found.findings["b"]["precision"].value)
    assert found.findings["b"]["f1"].value == 0
    assert np.isnan(found.findings["c"]["f1"].value)
    assert found.findings["c"]["precision"].value == 0
    assert found.macro["f1"].value == pytest.approx(np.nanmean([found.findings[n]["f1"].value for n in NAMES]))
    assert found.to_dict()["findings"]["c"]["f1"]["value"] is None


def test_difference_is_paired_and_its_sign_is_that_of_the_first():
    better = clinical_difference(TRUTH, SAID, TRUTH, resamples=200)["micro_f1"]
    worse = clinical_difference(SAID, TRUTH, TRUTH, resamples=200)["micro_f1"]
    assert better.low > 0 > worse.high
    assert better.value == -worse.value
    same = clinical_difference(SAID, SAID, TRUTH, resamples=20)
    assert {(entry.low, entry.high) for entry in same.values()} == {(0.0, 0.0)}
    assert set(same) == {f"{mean}_{kind}" for mean in ("micro", "macro") for kind in ("precision", "recall", "f1")}


def test_wrong_tables_are_told():
    with pytest.raises(ValueError, match=r"must both be \(B, 4\), got \(60, 3\)"):
        clinical_scores(SAID[:, :3], TRUTH, NAMES)
    with pytest.raises(ValueError, match="predicted must hold 1, 0 and NaN only"):
        clinical_scores(SAID - 1, TRUTH, NAMES)
