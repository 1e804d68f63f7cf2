from __future__ import annotations

import pytest
import torch

from monai_place.inference.labels import label_table

NAN = float("nan")


def test_each_record_is_a_row_and_what_is_not_known_is_nan():
    table = label_table([{"label": [0, 1]}, {"label": [None, 0]}, {"label": None}, {}], ["nodule", "edema"])
    expected = torch.tensor([[0, 1], [NAN, 0], [NAN, NAN], [NAN, NAN]])
    assert table.dtype == torch.float32
    torch.testing.assert_close(table, expected, equal_nan=True, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("records", "classes", "shape"),
    [
        pytest.param([], ["nodule", "edema"], (0, 2), id="no record"),
        pytest.param([{}, {}, {}], [], (3, 0), id="no class"),
        pytest.param([{"label": []}], [], (1, 0), id="no label"),
    ],
)
def test_a_table_of_nothing_keeps_its_shape(records, classes, shape):
    assert label_table(records, classes).shape == shape


@pytest.mark.parametrize("label", [[], [1], [1, 0, 1]])
def test_another_number_of_labels_is_refused_by_the_record_s_name_and_both_numbers(label):
    with pytest.raises(ValueError, match=f"record 'b' has {len(label)} labels, there are 2 classes"):
        label_table([{"label": [1, 0]}, {"id": "b", "label": label}], ["nodule", "edema"])


def test_a_record_without_a_name_is_called_by_its_place():
    with pytest.raises(ValueError, match="record 1 has 1 labels"):
        label_table([{"label": [1, 0]}, {"label": [1]}], ["nodule", "edema"])
