from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from monai_place.inference import Classification, FailedImage, FindingScores, GroundedSentence, ImageEmbeddings


def grounded(evidence, source="a.png"):
    return GroundedSentence(source, "Secret sentence.", evidence.astype(np.float32), 0.5)


def test_the_peak_is_where_the_evidence_is_largest_among_what_was_seen():
    evidence = np.array([[np.nan, 0.1], [0.7, 0.2]])
    assert grounded(evidence).peak == (1, 0)


def test_the_peak_is_row_and_column_as_plain_numbers():
    evidence = np.zeros((20, 30))
    evidence[5, 7] = 1.0
    peak = grounded(evidence).peak
    assert peak == (5, 7)
    assert [type(number) for number in peak] == [int, int]


def test_evidence_that_is_negative_everywhere_still_has_its_peak():
    assert grounded(np.array([[-3.0, -1.0], [np.nan, -2.0]])).peak == (0, 1)


def test_a_map_without_any_answer_has_no_peak():
    with pytest.raises(ValueError, match="All-NaN"):
        _ = grounded(np.full((2, 2), np.nan)).peak


@pytest.mark.parametrize("result", [Classification, FailedImage, FindingScores, GroundedSentence, ImageEmbeddings])
def test_no_result_can_be_changed_after_the_fact(result):
    thing = result(**{field.name: None for field in dataclasses.fields(result)})
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(thing, dataclasses.fields(result)[0].name, "changed")
