from __future__ import annotations

import itertools

import numpy as np
import pytest
from sklearn.metrics import f1_score

from monai_place.metrics.constant_report import best_constant_report, most_frequent_report


def test_most_frequent_report_is_told_by_its_words():
    assert most_frequent_report(["A nodule.", "Clear lungs.", "FINDINGS: Clear  lungs"]) == "Clear lungs."
    assert most_frequent_report(["First.", "Second.", "second", "first"]) == "First."


def test_where_no_two_are_alike_the_most_typical_counts():
    assert most_frequent_report(["Clear lungs.", "Clear lungs today.", "Fracture seen."]) == "Clear lungs."


def test_best_constant_has_the_highest_micro_f1():
    generator = np.random.default_rng(1)
    truth = (generator.random((40, 3)) < (0.6, 0.3, 0.1)).astype(float)
    asserted = np.array(list(itertools.product((0.0, 1.0), repeat=3)) * 5)
    names = ["".join(str(int(value)) for value in row) for row in asserted]
    scores = [f1_score(truth, np.repeat(row[None], 40, 0), average="micro", zero_division=0) for row in asserted]
    assert best_constant_report(names, asserted, truth) == names[int(np.argmax(scores))]


def test_unknown_labels_take_no_part():
    truth = np.array([[1, np.nan], [np.nan, 0], [0, 0]])
    assert best_constant_report(["x", "y", "z"], [[0, 1], [1, 0], [1, 1]], truth) == "y"


def test_wrong_input_is_told():
    with pytest.raises(ValueError, match="reports is empty"):
        most_frequent_report([])
    with pytest.raises(ValueError, match="need asserted and truth"):
        best_constant_report(["a"], [[1]], [[1], [0]])
