"""The order of studies is a function of seed, epoch, rank and position."""

from __future__ import annotations

import itertools

import pytest
from torch.utils.data import DataLoader, DistributedSampler

from monai_place.engines import StudySampler


def order(sampler: StudySampler) -> list[int]:
    return [index for _, index in sampler]


def at_epoch(epoch: int, *, length: int = 20, **arguments: int) -> StudySampler:
    sampler = StudySampler(length, **arguments)  # type: ignore[arg-type]
    sampler.set_epoch(epoch)
    return sampler


def test_every_study_comes_once_an_epoch_with_its_epoch() -> None:
    drawn = list(at_epoch(3))
    assert sorted(index for _, index in drawn) == list(range(20))
    assert {epoch for epoch, _ in drawn} == {3}


def test_the_order_depends_on_seed_and_epoch_alone() -> None:
    assert order(at_epoch(2, seed=1)) == order(at_epoch(2, seed=1))
    assert order(at_epoch(2, seed=1)) != order(at_epoch(3, seed=1))
    assert order(at_epoch(2, seed=1)) != order(at_epoch(2, seed=2))
    # seed + epoch is no mixing: these two would be the same order.
    assert order(at_epoch(1, seed=2)) != order(at_epoch(2, seed=1))


def test_the_order_is_pinned() -> None:
    # Another order in a later version would silently break the resumption of older runs.
    assert order(at_epoch(1, length=8, seed=0)) == [4, 7, 5, 2, 1, 0, 6, 3]


def test_without_shuffle_the_data_keep_their_order() -> None:
    assert order(StudySampler(5, shuffle=False)) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("length", [19, 20, 21])
def test_ranks_share_the_epoch_and_evaluation_counts_each_study_once(length: int) -> None:
    ranks = [at_epoch(1, length=length, rank=rank, world_size=3) for rank in range(3)]
    assert sorted(itertools.chain.from_iterable(map(order, ranks))) == list(range(length))
    assert [len(order(rank)) for rank in ranks] == [len(rank) for rank in ranks]


def test_drop_last_gives_all_ranks_equally_many() -> None:
    ranks = [StudySampler(20, drop_last=True, rank=rank, world_size=3) for rank in range(3)]
    assert [len(rank) for rank in ranks] == [len(order(rank)) for rank in ranks] == [6, 6, 6]
    assert len(set(itertools.chain.from_iterable(map(order, ranks)))) == 18


def test_the_batches_of_two_ranks_are_the_batches_of_one() -> None:
    def batches(batch_size: int, **arguments: int) -> list[list[int]]:
        drawn = order(at_epoch(4, length=22, **arguments))
        return [drawn[start : start + batch_size] for start in range(0, len(drawn) - batch_size + 1, batch_size)]

    ranks = [batches(2, rank=rank, world_size=2) for rank in range(2)]
    together = [sorted(one + other) for one, other in zip(*ranks, strict=True)]
    assert together == [sorted(batch) for batch in batches(4)]


def test_a_loaded_position_goes_on_where_it_was_saved() -> None:
    sampler = at_epoch(2)
    whole = order(sampler)
    sampler.consume(7)
    taken_up = StudySampler(20)
    taken_up.load_state_dict(sampler.state_dict())
    assert order(taken_up) == whole[7:]
    assert len(taken_up) == 20  # an epoch's length is the same wherever it is taken up
    taken_up.set_epoch(2)
    assert order(taken_up) == whole[7:]
    taken_up.set_epoch(3)
    assert order(taken_up) == order(at_epoch(3))


def test_reading_ahead_does_not_move_the_position() -> None:
    sampler = at_epoch(1)
    loader = iter(DataLoader(range(20), sampler=[index for _, index in sampler], batch_size=2))  # type: ignore[arg-type]
    next(loader)
    ahead = iter(sampler)
    for _ in range(12):
        next(ahead)
    sampler.consume(2)
    assert sampler.state_dict()["position"] == 2


def test_the_position_ends_with_the_epoch() -> None:
    sampler = StudySampler(10)
    sampler.consume(8)
    sampler.consume(4)
    assert sampler.state_dict()["position"] == 10
    assert order(sampler) == []


def test_monai_engines_take_it_for_a_sampler_whose_epoch_they_set() -> None:
    assert isinstance(StudySampler(3), DistributedSampler)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"seed": 9}, "seed was 0, is 9", id="seed"),
        pytest.param({"dataset": 21}, "length was 20, is 21", id="length"),
        pytest.param({"shuffle": False}, "shuffle was True, is False", id="shuffle"),
        pytest.param({"rank": 0, "world_size": 2}, "world_size was 1, is 2", id="world size"),
    ],
)
def test_the_position_of_another_order_is_refused(change: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StudySampler(**{"dataset": 20, **change}).load_state_dict(StudySampler(20).state_dict())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"dataset": 0}, "dataset is empty", id="empty"),
        pytest.param({"dataset": 3, "seed": -1}, "seed must be at least 0, got -1", id="seed"),
        pytest.param({"dataset": 3, "rank": 2, "world_size": 2}, "below world_size 2, got 2", id="rank"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        StudySampler(**arguments)  # type: ignore[arg-type]


def test_negative_counts_and_epochs_are_refused() -> None:
    with pytest.raises(ValueError, match="count must be at least 0, got -1"):
        StudySampler(3).consume(-1)
    with pytest.raises(ValueError, match="epoch must be at least 0, got -1"):
        StudySampler(3).set_epoch(-1)
