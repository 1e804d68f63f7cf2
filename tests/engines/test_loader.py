"""Batches are a function of seed, epoch and position, whatever the number of workers."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser
from monai.transforms import RandGaussianNoised
from torch.utils.data import DataLoader

from monai_place.engines import StudyDataset, study_loader
from tests.support.training import DrawFromTorch, MakeStudy, records


def dataset(count: int = 11) -> StudyDataset:
    return StudyDataset(records(count), [MakeStudy(), RandGaussianNoised("image", prob=0.5), DrawFromTorch()])


def epoch(loader: DataLoader[Any], number: int) -> list[tuple[list[str], torch.Tensor]]:
    loader.sampler.set_epoch(number)  # type: ignore[attr-defined]
    return [(batch["id"], batch["image"]) for batch in loader]


def same(one: list[tuple[list[str], torch.Tensor]], other: list[tuple[list[str], torch.Tensor]]) -> bool:
    return len(one) == len(other) and all(
        a == c and torch.equal(b, d) for (a, b), (c, d) in zip(one, other, strict=True)
    )


@pytest.fixture
def _clean_torch() -> Iterator[None]:
    state = torch.get_rng_state()
    yield
    assert torch.equal(torch.get_rng_state(), state), "the loader drew from torch's global generator"


@pytest.mark.usefixtures("_clean_torch")
@pytest.mark.parametrize("persistent", [False, True])
def test_batches_do_not_depend_on_the_number_of_workers(persistent: bool) -> None:
    alone = study_loader(dataset(), 3, shuffle=True)
    workers = study_loader(dataset(), 3, shuffle=True, num_workers=2, persistent_workers=persistent)
    for number in (1, 2):
        assert same(epoch(alone, number), epoch(workers, number))
    assert not same(epoch(alone, 1), epoch(alone, 2))


def test_the_last_small_batch_is_left_out_of_training_only() -> None:
    assert [len(ids) for ids, _ in epoch(study_loader(dataset(), 4, shuffle=True), 1)] == [4, 4]
    assert [len(ids) for ids, _ in epoch(study_loader(dataset(), 4), 1)] == [4, 4, 3]
    assert [len(ids) for ids, _ in epoch(study_loader(dataset(), 4, drop_last=True), 1)] == [4, 4]


def test_a_loader_goes_on_in_the_middle_of_an_epoch() -> None:
    whole = epoch(study_loader(dataset(), 2, shuffle=True), 3)
    loader = study_loader(dataset(), 2, shuffle=True, num_workers=2)
    loader.sampler.set_epoch(3)  # type: ignore[attr-defined]
    loader.sampler.consume(4)  # type: ignore[attr-defined]
    assert same([(batch["id"], batch["image"]) for batch in loader], whole[2:])
    assert len(loader) == 5


@pytest.mark.dist
@pytest.mark.parametrize("name", ["TERM", "INT"])
def test_workers_outlive_a_signal_to_their_group_from_their_first_moment_on(name: str) -> None:
    alone = epoch(study_loader(dataset(), 3), 1)
    loader = iter(study_loader(dataset(), 3, num_workers=2))
    pids = [str(worker.pid) for worker in loader._workers]  # type: ignore[attr-defined]
    subprocess.run(["kill", f"-{name}", *pids], check=True)  # by another process than their parent
    assert same([(batch["id"], batch["image"]) for batch in loader], alone)


@pytest.mark.dist
def test_a_worker_obeys_its_parent() -> None:
    loader = iter(study_loader(dataset(), 1, num_workers=1))
    next(loader)
    (worker,) = loader._workers  # type: ignore[attr-defined]
    worker.terminate()
    worker.join(60)
    assert worker.exitcode == 0


def test_a_bundle_can_build_one() -> None:
    parser = ConfigParser(
        {
            "dataset": {"_target_": "monai_place.engines.StudyDataset", "data": records(6), "transform": [MakeStudy()]},
            "loader": {"_target_": "monai_place.engines.study_loader", "dataset": "@dataset", "batch_size": 3},
        }
    )
    batch = next(iter(parser.get_parsed_content("loader")))
    assert batch["image"].shape == (3, 1, 8, 8)
    assert batch["attention_mask"].dtype == torch.bool


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"batch_size": 0}, "batch_size must be at least 1, got 0", id="batch size"),
        pytest.param(
            {"batch_size": 12, "shuffle": True},
            r"leaves no batch of 11 studies per rank .*; set batch_size to at most 11$",
            id="too large",
        ),
        pytest.param(
            {"batch_size": 6, "shuffle": True, "rank": 0, "world_size": 2}, "5 studies per rank", id="too many ranks"
        ),
    ],
)
def test_a_loader_without_a_batch_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        study_loader(dataset(), **arguments)
