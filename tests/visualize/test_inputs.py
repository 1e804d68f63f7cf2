from __future__ import annotations

import numpy as np
import pytest

from monai_place.visualize import Diagnostic, GroundingExample, RetrievalExample, RocScores
from monai_place.visualize.inputs import check_heat, check_mask, check_shown_image


def test_an_example_that_does_not_fit_together_is_refused(studies):
    image = studies[0].image
    with pytest.raises(ValueError, match="query_image or query_text, and not both"):
        RetrievalExample([])
    with pytest.raises(ValueError, match="query_image or query_text, and not both"):
        RetrievalExample([], query_image=image, query_text="a")
    with pytest.raises(ValueError, match=r"prior must have the shape of its image \(64, 64\), got \(2, 2\)"):
        GroundingExample(image, "a", np.zeros((64, 64)), prior=np.zeros((2, 2)))


def test_what_interpolation_adds_is_clipped_and_more_is_refused():
    picture = check_shown_image(np.array([[-0.0005, 0.5, 1.0005]]))
    assert picture.dtype == np.float32
    np.testing.assert_array_equal(picture, np.array([[0, 0.5, 1]], dtype=np.float32))
    with pytest.raises(ValueError, match=r"got values from -0\.01 to 0\.5"):
        check_shown_image(np.array([[-0.01, 0.5]]))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        pytest.param(np.zeros((2, 3), np.uint8), r"query must hold floats in \[0, 1\], got uint8", id="uint8"),
        pytest.param(np.zeros((1, 2, 3)), r"query must have the shape \(H, W\), got \(1, 2, 3\)", id="channel"),
        pytest.param(np.zeros((0, 3)), r"query must have the shape \(H, W\), got \(0, 3\)", id="empty"),
        pytest.param(np.full((2, 3), np.nan), "query must hold floats in .0, 1., got values from nan", id="NaN"),
    ],
)
def test_what_is_no_picture_is_refused_under_the_name_it_was_given(image, message):
    with pytest.raises(ValueError, match=message):
        check_shown_image(image, name="query")


def test_a_map_keeps_its_nan_and_refuses_infinities():
    np.testing.assert_array_equal(check_heat(np.array([[1, np.nan]]), shape=(1, 2)), [[1.0, np.nan]])
    with pytest.raises(ValueError, match="heat must be finite, or NaN where there is no answer"):
        check_heat(np.array([[1, np.inf]]), shape=(1, 2))


def test_anything_above_zero_is_inside_a_mask():
    np.testing.assert_array_equal(check_mask(np.array([[0, 1, 255, -1]]), shape=(1, 4)), [[False, True, True, False]])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"labels": np.zeros((4, 3))}, r"labels must have the shape \(B, C\) with C = 2", id="classes"),
        pytest.param({"labels": np.full((4, 2), 0.5)}, r"labels must be 0, 1 or NaN, got \[.*0\.5", id="labels"),
        pytest.param({"scores": {"a": np.zeros((3, 2))}}, r"scores\['a'\] must have the shape of labels", id="scores"),
        pytest.param({"scores": {}}, "at least one way of scoring, got none", id="no scores"),
        pytest.param({"auroc": {"a": [0.5]}}, r"auroc\['a'\] must hold 2 estimates, got 1", id="auroc"),
    ],
)
def test_scores_that_do_not_fit_their_labels_are_refused(change, message):
    arguments = {"scores": {"a": np.zeros((4, 2))}, "labels": np.zeros((4, 2)), "classes": ["nodule", "edema"]}
    RocScores(**arguments)
    with pytest.raises(ValueError, match=message):
        RocScores(**{**arguments, **change})


def test_a_value_that_is_no_number_is_refused_when_the_diagnostic_is_made():
    with pytest.raises(TypeError, match="an estimate is a number"):
        Diagnostic("a", {"b": "c"})
