"""What a random transform drew can be logged as JSON, and replayed bit for bit by a transform that draws nothing."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, RandGaussianNoised

from monai_place.engines import StudyDataset
from monai_place.transforms import (
    FitRadiographd,
    NormalizeRadiographd,
    RadiographAffined,
    RadiographIntensityd,
    RandRadiographAffined,
    RandRadiographIntensityd,
    RandSentencesd,
    SelectSentencesd,
    replay_transforms,
)
from tests.support.training import assert_same

BOXES: dict[str, Any] = {"boxes_key": "boxes", "box_label_keys": "box_classes"}


def record() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(3)
    image = torch.rand(1, 24, 40, generator=generator)
    return {
        "id": "a",
        "image": MetaTensor(image),
        "mask": MetaTensor((image > 0.8).float()),
        "boxes": [[3, 4, 20, 18], [30, 2, 39, 9]],
        "box_classes": ["nodule", "edema"],
        "sentence_texts": ["One.", "Two.", "Three.", "Four."],
    }


def random_transforms(log_key: str | None = "drawn", prob: float = 0.6) -> list[Any]:
    return [
        RandRadiographAffined("image", "mask", prob=prob, shift=0.4, log_key=log_key, **BOXES),
        RandRadiographIntensityd("image", prob=prob, log_key=log_key),
        RandSentencesd(drop_prob=0.4, shuffle_prob=0.5, log_key=log_key),
    ]


def twins(log: list[dict[str, Any]]) -> list[Any]:
    pose, change, sentences = (entry["parameters"] for entry in log)
    return [
        RadiographAffined("image", pose, "mask", **BOXES),
        RadiographIntensityd("image", change),
        SelectSentencesd(order=sentences["order"]),
    ]


def values(data: dict[str, Any]) -> dict[str, Any]:
    return {key: value.as_tensor() if isinstance(value, MetaTensor) else value for key, value in data.items()}


def assert_equal_records(one: dict[str, Any], other: dict[str, Any]) -> None:
    one, other = values(one), values(other)
    for data in (one, other):
        data["boxes"] = torch.as_tensor(np.asarray(data["boxes"], dtype=np.float32))
    assert_same(one, {key: other[key] for key in one})


@pytest.mark.parametrize("seed", range(8))
def test_a_chain_is_replayed_bit_for_bit_from_the_json_of_its_log(seed: int) -> None:
    chain = Compose([FitRadiographd("image", 32, mask_keys="mask", **BOXES), *random_transforms()])
    drawn = chain.set_random_state(seed)(record())
    log = json.loads(json.dumps(drawn["drawn"]))
    again = replay_transforms(chain.set_random_state(99), record(), log)
    assert again["drawn"] == drawn["drawn"]
    assert_equal_records(again, drawn)
    np.testing.assert_array_equal(again["image"].affine, drawn["image"].affine)


@pytest.mark.parametrize("seed", range(8))
def test_the_deterministic_twins_do_the_same_with_what_was_drawn(seed: int) -> None:
    drawn = Compose(random_transforms()).set_random_state(seed)(record())
    log = json.loads(json.dumps(drawn.pop("drawn")))
    assert_equal_records(Compose(twins(log))(record()), drawn)


def test_some_seeds_move_and_some_do_not() -> None:
    # Or the tests above would compare nothing with nothing.
    logs = [Compose(random_transforms()).set_random_state(seed)(record())["drawn"] for seed in range(8)]
    for place in range(2):
        assert {log[place]["parameters"] is None for log in logs} == {True, False}


def test_a_log_changes_nothing_else_and_is_not_kept_by_default() -> None:
    with_log = Compose(random_transforms()).set_random_state(5)(record())
    without = Compose(random_transforms(None)).set_random_state(5)(record())
    assert "drawn" not in without
    assert_equal_records(without, with_log)


def test_a_study_of_training_is_made_again_from_the_log_in_its_batch() -> None:
    fit, normalize = FitRadiographd("image", 32, mask_keys="mask", **BOXES), NormalizeRadiographd("image", 0.5, 0.25)
    chain = [fit, *random_transforms(prob=1.0), normalize]
    drawn = StudyDataset([record()], chain, seed=4)[(3, 0)]
    assert_equal_records(replay_transforms(chain, record(), json.loads(json.dumps(drawn["drawn"]))), drawn)


def test_the_inverse_of_a_replayed_record_brings_it_back() -> None:
    move = RandRadiographAffined("image", prob=1.0, log_key="drawn").set_random_state(1)
    log = move(record())["drawn"]
    back = move.inverse(move.replay(record(), log[0]["parameters"]))["image"]
    assert back.applied_operations == []
    torch.testing.assert_close(back.affine, torch.eye(4, dtype=torch.float64), atol=1e-6, rtol=0)


def test_the_inverse_of_a_twin_brings_the_record_back() -> None:
    move = RadiographAffined("image", {"shift_x": 0.25, "shift_y": -0.125})
    image = torch.zeros(1, 16, 16)
    image[0, 6:10, 6:10] = 1
    torch.testing.assert_close(move.inverse(move({"image": MetaTensor(image)}))["image"].as_tensor(), image)


@pytest.mark.parametrize(
    ("log", "message"),
    [
        pytest.param([], "it holds nothing more where 'RandSentencesd' comes next", id="too short"),
        pytest.param(
            [{"transform": "RandSentencesd", "parameters": {"order": [0]}}] * 2, "1 entries are left", id="long"
        ),
        pytest.param([{"transform": "Other", "parameters": None}], "holds 'Other' where 'RandSentencesd'", id="other"),
    ],
)
def test_a_log_of_another_chain_is_refused(log: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replay_transforms([RandSentencesd()], record(), log)


def test_a_random_transform_that_cannot_replay_is_named() -> None:
    with pytest.raises(ValueError, match="RandGaussianNoised draws at random and cannot replay"):
        replay_transforms(Compose([RandGaussianNoised("image")]), record(), [])


@pytest.mark.parametrize("order", [[0, 0], [4], [-1]])
def test_an_order_of_other_sentences_is_refused(order: list[int]) -> None:
    with pytest.raises(ValueError, match="is not of the 4 sentences in 'sentence_texts'"):
        SelectSentencesd(order=order)(record())
