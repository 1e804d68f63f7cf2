from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from monai_place.transforms.collate import StudyCollate, collate_studies


def study(name: str, tokens: int = 4, **others):
    generator = torch.Generator().manual_seed(len(name) + tokens)
    return {
        "id": name,
        "image": MetaTensor(torch.rand(1, 4, 6, generator=generator), meta={"filename_or_obj": "secret"}),
        "input_ids": torch.arange(10, 10 + tokens),
        "sentence_ids": torch.tensor([-1, *[0] * (tokens - 2), -1]),
        "sentence_count": 1,
        "truncated": 0,
        **others,
    }


def test_images_are_stacked_to_plain_float32_tensors():
    items = [study("a"), study("b")]
    items[1]["image"] = items[1]["image"].double()
    image = collate_studies(items)["image"]
    assert type(image) is torch.Tensor
    assert (image.dtype, tuple(image.shape)) == (torch.float32, (2, 1, 4, 6))
    assert torch.equal(image[0], items[0]["image"].as_tensor())


def test_image_given_as_an_array_is_taken():
    image = collate_studies([study("a", image=np.ones((1, 2, 2), dtype=np.float32))])["image"]
    assert torch.equal(image, torch.ones(1, 1, 2, 2))


def test_tokens_are_padded_to_a_multiple_with_a_mask():
    batch = collate_studies([study("a", 3), study("b", 9)], pad_id=7, pad_multiple=8)
    assert batch["input_ids"].shape == batch["sentence_ids"].shape == batch["attention_mask"].shape == (2, 16)
    assert batch["input_ids"][0].tolist() == [10, 11, 12] + [7] * 13
    assert batch["sentence_ids"][0].tolist() == [-1, 0, -1] + [-1] * 13
    assert batch["attention_mask"].sum(1).tolist() == [3, 9]
    assert batch["attention_mask"].dtype == torch.bool
    assert batch["input_ids"].dtype == batch["sentence_ids"].dtype == batch["sentence_count"].dtype == torch.int64


def test_pad_id_that_is_also_a_token_is_masked_only_where_it_pads():
    item = study("a", 3)
    item["input_ids"] = torch.tensor([2, 7, 3])
    batch = collate_studies([item], pad_id=7, pad_multiple=4)
    assert batch["attention_mask"].tolist() == [[True, True, True, False]]


@pytest.mark.parametrize(("multiple", "length"), [(1, 9), (8, 16), (9, 9), (16, 16)])
def test_length_is_the_longest_rounded_up(multiple, length):
    assert collate_studies([study("a", 3), study("b", 9)], pad_multiple=multiple)["input_ids"].shape[1] == length


def test_unknown_labels_are_nan():
    items = [study("a", label=[1, None, 0]), study("b", label=None), study("c"), study("d", label=np.array([0, 1, 1]))]
    label = collate_studies(items)["label"]
    assert label.dtype == torch.float32
    nan = float("nan")
    expected = torch.tensor([[1, nan, 0], [nan] * 3, [nan] * 3, [0, 1, 1]])
    assert torch.equal(label.isnan(), expected.isnan())
    assert torch.equal(label.nan_to_num(9), expected.nan_to_num(9))


def test_labels_of_nobody_are_no_key():
    assert "label" not in collate_studies([study("a"), study("b")])


def test_labels_that_are_all_unknown_have_no_columns():
    assert collate_studies([study("a", label=None)])["label"].shape == (1, 0)


def test_ids_are_strings_and_other_keys_are_lists_with_none_for_a_gap():
    batch = collate_studies([study("a", id=5, view="PA"), study("b", boxes=[[0, 0, 1, 1]])])
    assert batch["id"] == ["5", "b"]
    assert batch["view"] == ["PA", None]
    assert batch["boxes"] == [None, [[0, 0, 1, 1]]]
    assert batch["truncated"] == [0, 0]


def test_batch_of_images_alone_has_no_text_keys():
    assert set(collate_studies([{"image": torch.zeros(1, 2, 2)}])) == {"image"}


def test_order_of_keys_and_items_does_not_matter_to_a_row():
    first, second = study("a", 3), study("b", 9)
    forward, backward = collate_studies([first, second]), collate_studies([second, first])
    for key in ("image", "input_ids", "attention_mask", "sentence_ids", "sentence_count"):
        assert torch.equal(forward[key], backward[key].flip(0))


def test_empty_batch_is_refused():
    with pytest.raises(ValueError, match="items is empty"):
        collate_studies([])


def test_pad_multiple_of_zero_is_refused():
    with pytest.raises(ValueError, match="pad_multiple must be at least 1, got 0"):
        collate_studies([study("a")], pad_multiple=0)


@pytest.mark.parametrize("key", ["image", "input_ids", "sentence_ids", "sentence_count", "id"])
def test_key_that_only_some_studies_have_names_the_others(key):
    items = [study("a"), study("b"), study("c")]
    del items[1][key]
    name = "item 1" if key == "id" else "b"
    with pytest.raises(ValueError, match=rf"'{key}' is missing in studies \['{name}'\]"):
        collate_studies(items)


def test_images_of_two_sizes_are_named_with_their_shapes():
    with pytest.raises(ValueError, match=r"'a': \(1, 4, 6\), 'b': \(1, 4, 4\)"):
        collate_studies([study("a"), study("b", image=torch.zeros(1, 4, 4))])


def test_image_without_a_channel_is_refused():
    with pytest.raises(ValueError, match="one shape"):
        collate_studies([study("a", image=torch.zeros(4, 4))])


def test_image_of_integers_is_refused():
    with pytest.raises(TypeError, match=r"image of study 'a' must be floating point .* got torch.uint8"):
        collate_studies([study("a", image=torch.zeros(1, 4, 4, dtype=torch.uint8))])


def test_labels_of_two_lengths_are_named():
    with pytest.raises(ValueError, match=r"labels must have one length, got \{'a': 2, 'b': 3\}"):
        collate_studies([study("a", label=[0, 1]), study("b", label=[0, 1, 1])])


def test_tokens_and_sentence_ids_of_two_lengths_are_refused():
    item = study("a")
    item["sentence_ids"] = item["sentence_ids"][:-1]
    with pytest.raises(ValueError, match=r"study 'a' must be \(T,\) of one length"):
        collate_studies([item])


def test_class_gives_the_same_batch_as_the_function():
    items = [study("a", 3), study("b", 9)]
    batch = StudyCollate(7, pad_multiple=4)(items)
    assert torch.equal(batch["input_ids"], collate_studies(items, pad_id=7, pad_multiple=4)["input_ids"])
