from __future__ import annotations

import pickle
import random
from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.dataset import BaseDataset, ClassBalancedDataset, ConcatDataset, RepeatDataset, pseudo_collate
from mmengine.evaluator import BaseMetric
from mmengine.hooks import CheckpointHook, EarlyStoppingHook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch.utils.data import DataLoader, Subset

import monai_place.mm  # noqa: F401
from monai_place.mm.resume import ExactResumeHook, ResumableSampler, SampleIndex, SeedSample
from monai_place.registry import DATA_SAMPLERS


def drawn(sampler: ResumableSampler, count: int | None = None) -> list[tuple[int, int]]:
    return [(int(index), index.seed) for index in islice(sampler, count)]


def draws() -> tuple[float, float, float]:
    return random.random(), float(np.random.rand()), torch.rand(1).item()


def test_an_index_takes_its_seed_into_another_process() -> None:
    index = pickle.loads(pickle.dumps(SampleIndex(7, seed=2**32 - 1)))
    assert (index, index.seed, type(index)) == (7, 2**32 - 1, SampleIndex)


def test_an_epoch_holds_each_sample_once_and_another_one_has_another_order_and_other_seeds() -> None:
    sampler = ResumableSampler(range(20), seed=0)
    first = drawn(sampler)
    assert first == drawn(sampler)
    sampler.set_epoch(1)
    second = drawn(sampler)
    for epoch in (first, second):
        assert sorted(index for index, _ in epoch) == list(range(20))
    assert [index for index, _ in first] != [index for index, _ in second]
    assert len({seed for _, seed in first + second}) == 40
    assert drawn(ResumableSampler(range(20), seed=1)) != first


def test_without_shuffling_the_order_is_the_datas_own() -> None:
    assert list(ResumableSampler(range(5), shuffle=False, seed=0)) == [0, 1, 2, 3, 4]


def test_skipping_goes_on_behind_and_the_next_epoch_is_whole() -> None:
    sampler = ResumableSampler(range(10), seed=0)
    whole = drawn(sampler)
    sampler.skip(4)
    assert drawn(sampler) == whole[4:]
    assert len(sampler) == 10
    sampler.skip(10)
    assert drawn(sampler) == []
    sampler.set_epoch(1)
    assert len(drawn(sampler)) == 10


def test_an_infinite_sampler_goes_through_the_data_again_and_again_and_skips_in_all_of_it() -> None:
    sampler = ResumableSampler(range(4), seed=0, infinite=True)
    whole = drawn(sampler, 14)
    for turn in range(3):
        assert sorted(index for index, _ in whole[4 * turn : 4 * turn + 4]) == [0, 1, 2, 3]
    assert len({seed for _, seed in whole}) == 14
    sampler.set_epoch(3)  # MMEngine does it before it skips
    sampler.skip(9)
    assert drawn(sampler, 5) == whole[9:]


@pytest.mark.parametrize("infinite", [False, True])
def test_two_ranks_share_the_order_of_one(infinite: bool) -> None:
    whole = drawn(ResumableSampler(range(6), seed=0, infinite=infinite), 6)
    parts = []
    for rank in range(2):
        sampler = ResumableSampler(range(6), seed=0, infinite=infinite)
        sampler.rank, sampler.world_size = rank, 2
        assert len(sampler) == 3
        parts.append(drawn(sampler, 3))
        sampler.skip(2)
        assert drawn(sampler, 1) == parts[rank][2:]
    assert [parts[place % 2][place // 2] for place in range(6)] == whole


def test_two_ranks_have_equally_many_of_an_odd_number_of_samples() -> None:
    counts: Counter[int] = Counter()
    for rank in range(2):
        sampler = ResumableSampler(range(5), seed=0)
        sampler.rank, sampler.world_size = rank, 2
        found = [index for index, _ in drawn(sampler)]
        assert len(found) == 3
        counts.update(found)
    assert sorted(counts.values()) == [1, 1, 1, 1, 2]


def test_a_sampler_takes_no_empty_data_and_skips_nothing_negative() -> None:
    with pytest.raises(ValueError, match="dataset is empty"):
        ResumableSampler([])
    with pytest.raises(ValueError, match="at least 0, got -1"):
        ResumableSampler(range(3), seed=0).skip(-1)


def test_a_runner_finds_the_sampler_by_name() -> None:
    built = DATA_SAMPLERS.build({"type": "monai_place.ResumableSampler", "dataset": range(3), "seed": 5})
    assert built.seed == 5


def test_what_is_drawn_for_a_sample_depends_on_its_seed_alone() -> None:
    found = []
    for seed, noise in ((3, 0), (3, 1), (4, 1)):
        random.seed(noise)
        np.random.seed(noise)
        torch.manual_seed(noise)
        results = SeedSample()({"sample_idx": SampleIndex(7, seed=seed), "other": 1})
        assert results == {"sample_idx": 7, "other": 1}
        assert type(results["sample_idx"]) is int
        found.append(draws())
    assert found[0] == found[1]
    assert all(first != second for first, second in zip(found[1], found[2], strict=True))


@pytest.mark.parametrize("results", [{"sample_idx": 7}, {}], ids=["plain index", "no index"])
def test_without_a_seed_the_generators_stay_as_they_are(results: dict[str, Any]) -> None:
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    expected = draws()
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)
    SeedSample()(dict(results))
    assert draws() == expected


class Numbers(BaseDataset):
    """Ten samples, with a random number each."""

    def load_data_list(self) -> list[dict[str, Any]]:
        return [{"number": number} for number in range(10)]


def draw_number(results: dict[str, Any]) -> dict[str, Any]:
    return {"number": results["number"], "drawn": float(np.random.rand())}


def numbers() -> Numbers:
    return Numbers(pipeline=[SeedSample(), draw_number])


@pytest.mark.parametrize("wrap", [lambda d: d, lambda d: RepeatDataset(d, 2), lambda d: ConcatDataset([d, numbers()])])
def test_the_number_of_workers_makes_no_difference_to_the_samples(wrap: Callable[[Any], Any]) -> None:
    dataset = wrap(numbers())
    found = []
    for workers in (0, 2):
        np.random.seed(workers)
        sampler = ResumableSampler(dataset, seed=0)
        loader = DataLoader(dataset, sampler=sampler, batch_size=3, num_workers=workers, collate_fn=pseudo_collate)
        found.append(list(loader))
    assert found[0] == found[1]


class Paired(Numbers):
    """Numbers of two classes."""

    def get_cat_ids(self, idx: int) -> list[int]:
        return [idx % 2]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(lambda: ConcatDataset([numbers(), numbers()]), None, id="kept"),
        pytest.param(lambda: Numbers(), None, id="nothing to draw"),
        pytest.param(lambda: range(3), None, id="no data set of MMEngine's"),
        pytest.param(lambda: ClassBalancedDataset(Paired(), 0.9), "ClassBalancedDataset hands on plain", id="balanced"),
        pytest.param(lambda: Subset(numbers(), [1, 2]), "Subset hands on plain", id="subset"),
        pytest.param(
            lambda: RepeatDataset(Numbers(pipeline=[draw_number]), 2),
            "the pipeline of Numbers does not begin with SeedSample",
            id="no seed",
        ),
    ],
)
def test_data_that_no_seed_reaches_is_told_of(
    make: Callable[[], Any], said: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr("monai_place.mm.resume.print_log", lambda message, **_: told.append(message))
    dataset = make()
    loader = DataLoader(dataset, sampler=ResumableSampler(dataset, seed=0))
    ExactResumeHook().before_train(SimpleNamespace(train_dataloader=loader, train_loop=None, iter=0))
    assert [said in message for message in told] == ([True] if said else [])


class Climber(BaseModel):
    """A weight that climbs by 0.1 an iteration, whatever comes in; its dropout tells what was drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.trace: list[tuple[tuple[int, ...], float, float]] = []

    def forward(self, inputs: Any = None, mode: str = "tensor", **data: Any) -> Any:
        if mode == "predict":
            return [self.weight.detach()]
        self.trace.append((tuple(data["number"]), sum(data["drawn"]), torch.rand(1).item()))
        return {"loss": -self.weight}


class Plateau(BaseMetric):
    """The weight, as long as it climbs to 0.4."""

    default_prefix = ""

    def process(self, data_batch: Any, data_samples: Any) -> None:
        self.results.append(min(float(data_samples[0]), 0.4))

    def compute_metrics(self, results: list[float]) -> dict[str, float]:
        return {"score": results[0]}


class Drawn(Plateau):
    """A random number, as the loss of a detector that samples its boxes has them."""

    def process(self, data_batch: Any, data_samples: Any) -> None:
        self.results.append(torch.rand(1).item() + float(np.random.rand()) + random.random())

    def compute_metrics(self, results: list[float]) -> dict[str, float]:
        return {"score": sum(results)}


class StoppedError(Exception):
    pass


class StopAt(ExactResumeHook):
    """Ends a training from outside once the checkpoint is there; counts validations."""

    def __init__(self, iteration: int | None) -> None:
        super().__init__()
        self.iteration, self.validations = iteration, 0

    def before_val(self, runner: Any) -> None:
        self.validations += 1

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        if runner.iter + 1 == self.iteration:
            raise StoppedError


def climb(
    folder: Path,
    *,
    train_cfg: dict[str, Any],
    stop: int | None = None,
    resume: bool = False,
    load_from: str | None = None,
    metric: type[BaseMetric] = Plateau,
) -> Runner:
    """Train on ten numbers in batches of five, with a checkpoint after each iteration."""
    dataset = numbers()
    by_epoch = "max_epochs" in train_cfg
    name = f"climb_{folder.name}_{stop}_{resume}"

    def loader(sampler: ResumableSampler) -> DataLoader[Any]:
        return DataLoader(dataset, sampler=sampler, batch_size=5, collate_fn=pseudo_collate)

    runner = Runner(
        model=Climber(),
        work_dir=str(folder),
        train_dataloader=loader(ResumableSampler(dataset, seed=0, infinite=not by_epoch)),
        val_dataloader=DataLoader(dataset, batch_size=5, collate_fn=pseudo_collate),
        train_cfg=train_cfg,
        val_cfg={},
        val_evaluator=[metric()],
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.1}},
        randomness={"seed": 0},
        resume=resume,
        load_from=load_from,
        experiment_name=name,
        log_level="ERROR",
        custom_hooks=[
            CheckpointHook(interval=1, by_epoch=False, save_best="score", rule="greater"),
            EarlyStoppingHook("score", rule="greater", patience=3, min_delta=1e-3),
            StopAt(stop),
        ],
    )
    if stop is None:
        runner.train()
    else:
        with pytest.raises(StoppedError):
            runner.train()
    return runner


EPOCHS = {"type": "EpochBasedTrainLoop", "max_epochs": 8, "val_interval": 1}
ITERATIONS = {"type": "IterBasedTrainLoop", "max_iters": 16, "val_interval": 2}


def trace(runner: Runner) -> Any:
    return runner.model.trace


@pytest.mark.parametrize(
    ("train_cfg", "stop"),
    [
        pytest.param(EPOCHS, 1, id="in the first epoch"),
        pytest.param(EPOCHS, 2, id="behind the first epoch"),
        pytest.param(EPOCHS, 7, id="while early stopping waits"),
        pytest.param(ITERATIONS, 3, id="between validations"),
        pytest.param(ITERATIONS, 6, id="before a validation"),
    ],
)
def test_a_resumed_training_draws_and_stops_as_the_uninterrupted_one(
    tmp_path: Path, train_cfg: dict[str, Any], stop: int
) -> None:
    # The score stands from the fourth iteration on: early stopping ends the training after ten of sixteen.
    whole = climb(tmp_path / "whole", train_cfg=train_cfg)
    assert whole.iter == 10
    begun = climb(tmp_path / "parted", train_cfg=train_cfg, stop=stop)
    rest = climb(tmp_path / "parted", train_cfg=train_cfg, resume=True)
    assert trace(begun) == trace(whole)[:stop]
    assert trace(rest) == trace(whole)[stop:]
    assert rest.message_hub.get_info("best_score") == whole.message_hub.get_info("best_score")


@pytest.mark.parametrize(("train_cfg", "stop"), [(EPOCHS, 2), (ITERATIONS, 2)], ids=["epochs", "iterations"])
def test_a_validation_that_is_made_up_for_draws_what_it_would_have_drawn(
    tmp_path: Path, train_cfg: dict[str, Any], stop: int
) -> None:
    def scores(runner: Runner) -> list[float]:
        return list(runner.message_hub.get_scalar("val/score").data[0])

    whole = climb(tmp_path / "whole", train_cfg=train_cfg, metric=Drawn)
    climb(tmp_path / "parted", train_cfg=train_cfg, stop=stop, metric=Drawn)
    rest = climb(tmp_path / "parted", train_cfg=train_cfg, resume=True, metric=Drawn)
    assert set(scores(rest)) == set(scores(whole))  # a set: a new best is saved with its checkpoint and logged again
    assert rest.iter == whole.iter
    assert len(set(scores(whole))) > 3


def validations(runner: Runner) -> int:
    return next(hook.validations for hook in runner.hooks if isinstance(hook, StopAt))


def test_a_finished_training_is_not_validated_again(tmp_path: Path) -> None:
    train_cfg = {"type": "IterBasedTrainLoop", "max_iters": 2, "val_interval": 2}
    assert validations(climb(tmp_path, train_cfg=train_cfg)) == 1
    assert validations(climb(tmp_path, train_cfg=train_cfg, resume=True)) == 0


def test_loading_weights_alone_leaves_early_stopping_at_its_beginning(tmp_path: Path) -> None:
    first = climb(tmp_path / "first", train_cfg=ITERATIONS)
    loaded = climb(tmp_path / "second", train_cfg=ITERATIONS, load_from=first.message_hub.get_info("last_ckpt"))
    # It begins on the plateau and waits for three validations; with the memory of the first it would stop at the first.
    assert loaded.iter == 8


def test_an_epoch_without_an_end_is_refused(tmp_path: Path) -> None:
    dataset = numbers()
    sampler = ResumableSampler(dataset, seed=0, infinite=True)
    runner = Runner(
        model=Climber(),
        work_dir=str(tmp_path),
        train_dataloader=DataLoader(dataset, sampler=sampler, batch_size=5, collate_fn=pseudo_collate),
        train_cfg={"type": "EpochBasedTrainLoop", "max_epochs": 1},
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 0.1}},
        custom_hooks=[ExactResumeHook()],
        experiment_name="endless",
        log_level="ERROR",
    )
    with pytest.raises(ValueError, match="infinite=True and train_cfg is an EpochBasedTrainLoop"):
        runner.train()
