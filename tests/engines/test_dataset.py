"""Items depend on (seed, epoch, index) alone; what is certain is computed once; bad studies have a rule."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from monai.transforms import RandGaussianNoised, Transform
from torch.utils.data import Subset

from monai_place.engines import StudyDataset, StudyError
from tests.support.training import DrawFromTorch, MakeStudy, assert_same, records


class Counting(Transform):
    """Deterministic, and counts how often it ran; ids in `bad` cannot be read."""

    def __init__(self, *bad: str) -> None:
        self.bad = bad
        self.calls = 0

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        self.calls += 1
        if data["id"] in self.bad:
            raise OSError("image file is truncated")
        return MakeStudy()(data)


def random_dataset(count: int = 6, **arguments: Any) -> StudyDataset:
    transform = [MakeStudy(), RandGaussianNoised("image", prob=1.0), DrawFromTorch()]
    return StudyDataset(records(count), transform, **arguments)


def test_an_item_is_the_same_whatever_was_drawn_before() -> None:
    one, other = random_dataset(), random_dataset()
    expected = [one[(2, index)]["image"] for index in range(6)]
    torch.rand(3)
    np.random.rand(3)
    for index in (5, 0, 3):
        other[(1, index)]
        assert torch.equal(other[(2, index)]["image"], expected[index])


def test_items_differ_by_seed_epoch_and_index() -> None:
    drawn = random_dataset()[(1, 0)]["image"]
    assert not torch.equal(drawn, random_dataset()[(2, 0)]["image"])
    assert not torch.equal(drawn, random_dataset(seed=1)[(1, 0)]["image"])
    noise = [random_dataset()[(1, index)]["image"] - MakeStudy()(records(6)[index])["image"] for index in (0, 1)]
    assert not torch.equal(noise[0], noise[1])


def test_the_global_generators_are_left_alone() -> None:
    state = torch.get_rng_state()
    random_dataset()[(1, 0)]
    assert torch.equal(torch.get_rng_state(), state)


def test_the_cache_changes_nothing_but_the_work() -> None:
    counting = Counting()
    cached = StudyDataset(records(4), [counting, RandGaussianNoised("image", prob=1.0)])
    assert counting.calls == 4
    first = cached[(1, 2)]
    assert_same(cached[(1, 2)]["image"].as_tensor(), first["image"].as_tensor())
    assert counting.calls == 4
    fresh = StudyDataset(records(4), [counting, RandGaussianNoised("image", prob=1.0)], cache=False)
    assert counting.calls == 4
    assert torch.equal(fresh[(1, 2)]["image"], first["image"])
    assert counting.calls == 5


def test_random_transforms_do_not_write_into_the_cache() -> None:
    class Overwrite(DrawFromTorch):
        def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
            data["image"] += torch.rand(())
            return dict(data)

    dataset = StudyDataset(records(2), [MakeStudy(), Overwrite()])
    assert torch.equal(dataset[(1, 0)]["image"], dataset[(1, 0)]["image"])


def test_a_plain_index_is_epoch_zero_and_lists_are_subsets() -> None:
    dataset = random_dataset()
    assert torch.equal(dataset[3]["image"], dataset[(0, 3)]["image"])
    assert torch.equal(dataset[-1]["image"], dataset[5]["image"])
    assert isinstance(dataset[[1, 2]], Subset)
    assert [item["id"] for item in dataset[1:3]] == ["s001", "s002"]
    assert len(list(dataset)) == 6


@pytest.mark.parametrize("index", [6, -7, (1, 6)])
def test_an_index_outside_is_an_index_error(index: Any) -> None:
    with pytest.raises(IndexError, match="outside a dataset of 6 studies"):
        random_dataset()[index]


@pytest.mark.parametrize("cache", [True, False])
def test_a_bad_study_is_named(cache: bool) -> None:
    with pytest.raises(StudyError, match="study 's002' could not be prepared: OSError: image file is truncated"):
        StudyDataset(records(4), [Counting("s002")], cache=cache)[2]


@pytest.mark.parametrize("cache", [True, False])
def test_a_bad_study_can_be_skipped_for_the_next_good_one(cache: bool, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        dataset = StudyDataset(records(5), [Counting("s002", "s003", "s004")], cache=cache, on_error="skip")
        drawn = [dataset[(1, index)]["id"] for index in range(5)] + [dataset[(2, 2)]["id"]]
    assert drawn == ["s000", "s001", "s000", "s000", "s000", "s000"]
    assert sorted(dataset.bad) == [2, 3, 4]
    assert caplog.text.count("'s002' is left out: OSError: image file is truncated") == 1


@pytest.mark.parametrize("cache", [True, False])
def test_too_many_bad_studies_are_an_error_that_names_them(cache: bool) -> None:
    with pytest.raises(StudyError, match=r"2 studies could not be prepared, max_bad is 1: \['s001', 's002'\]"):
        StudyDataset(records(5), [Counting("s001", "s002")], cache=cache, on_error="skip", max_bad=1)[1]


def test_nothing_but_bad_studies_is_an_error() -> None:
    dataset = StudyDataset(records(2), [Counting("s000", "s001")], cache=False, on_error="skip")
    with pytest.raises(StudyError, match="none of the 2 studies"):
        dataset[0]


def test_unknown_rules_are_refused() -> None:
    with pytest.raises(ValueError, match=r"on_error must be one of \('raise', 'skip'\), got 'ignore'"):
        StudyDataset(records(2), on_error="ignore")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="max_bad must be at least 0, got -1"):
        StudyDataset(records(2), max_bad=-1)
