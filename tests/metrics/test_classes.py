from __future__ import annotations

import math

import pytest
import torch

from monai_place.metrics.classes import class_columns, class_names


def test_class_numbers_become_columns_as_wide_as_the_larger_set():
    first, second = class_columns([0, 2], torch.tensor([1, -1, 0]), rows=(2, 3))
    assert first.tolist() == [[1, 0, 0], [0, 0, 1]]
    assert second[0].tolist() == [0, 1, 0]
    assert second[1].isnan().all()


def test_number_of_classes_can_be_given():
    assert class_columns([0], [1], rows=(1, 1), classes=4)[0].shape == (1, 4)
    assert class_columns([], [], rows=(0, 0))[0].shape == (0, 0)


def test_columns_pass_as_they_are():
    labels = torch.tensor([[1.0, math.nan], [0.0, 1.0]])
    first, _ = class_columns(labels, labels, rows=(2, 2))
    assert torch.equal(first.isnan(), labels.isnan())


@pytest.mark.parametrize(
    ("first", "second", "classes", "message"),
    [
        pytest.param([0, 1], [0], None, r"labels must be \(2,\)", id="length"),
        pytest.param([[0.0]] * 2, [0, 1], None, "labels must be", id="forms mixed"),
        pytest.param([[0.5]] * 2, [[0.0]] * 2, None, "must be 0, 1 or NaN", id="half"),
        pytest.param([0.5, 1], [0, 1], None, "must be whole", id="fraction of a class"),
        pytest.param([[0.0]] * 2, [[0.0, 1.0]] * 2, None, "one number of classes", id="widths"),
        pytest.param([0, 3], [0, 1], 2, "class numbers below 2, got 3", id="number too large"),
        pytest.param([[0.0]] * 2, [[1.0]] * 2, 2, "must have 2 classes", id="width given"),
    ],
)
def test_ill_labels_are_refused(first, second, classes, message):
    with pytest.raises(ValueError, match=message):
        class_columns(first, second, rows=(2, 2), classes=classes)


def test_names_are_given_or_numbers():
    assert class_names(None, 2) == ["0", "1"]
    assert class_names(["edema", "mass"], 2) == ["edema", "mass"]
    for wrong in (["edema"], ["edema", "edema"]):
        with pytest.raises(ValueError, match="classes must be 2 different names"):
            class_names(wrong, 2)
