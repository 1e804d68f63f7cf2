"""A run's state, collected and put back; among two ranks as well."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from monai_place.engines import load_training_state, read_history
from monai_place.engines.training_state import restore_training_state
from monai_place.losses import PLACELoss
from monai_place.networks import PLACEModel
from tests.support.models import tiny_config
from tests.support.processes import in_group, run_ranks
from tests.support.training import TinyLoss, TinyOutput, assert_same, build_run, final_state


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("state")
    build_run(folder, interval_iterations=1).go(kill_after=7)
    saved: dict[str, Any] = final_state(folder)["state"]
    return saved


def test_a_state_says_where_the_run_stands(state: dict[str, Any]) -> None:
    assert (state["iteration"], state["epoch"], state["max_epochs"]) == (7, 2, 3)
    assert state["sampler"]["epoch"] == 2
    assert state["sampler"]["position"] == 8  # two batches of four are consumed, whatever was read ahead
    assert state["run"] == {"world_size": 1, "batch_size": 4, "epoch_length": 5, "accumulation_steps": 1}
    assert sorted(state["parts"]) == ["best", "gradients", "history", "scheduler"]
    assert len(state["random"]) == 1


def test_workers_reading_ahead_do_not_move_the_position(tmp_path: Path) -> None:
    build_run(tmp_path, workers=2, interval_iterations=1).go(kill_after=1)
    assert final_state(tmp_path)["state"]["sampler"]["position"] == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"format": "other"}, "format 'other', version 1", id="format"),
        pytest.param({"version": 2}, "version 2, expected", id="version"),
        pytest.param(
            {"parts": {}}, r"no state of \['best', 'gradients', 'history', 'scheduler'\]; it has \[\]", id="part"
        ),
    ],
)
def test_a_state_that_does_not_fit_is_refused(
    tmp_path: Path, state: dict[str, Any], change: dict[str, Any], message: str
) -> None:
    run = build_run(tmp_path)
    with pytest.raises(ValueError, match=message):
        restore_training_state(run.trainer, {**state, **change}, run.checkpoint.parts, {})


def test_the_state_of_another_network_is_refused_by_the_name_of_a_key(tmp_path: Path, state: dict[str, Any]) -> None:
    run = build_run(tmp_path)
    model = {key: value for key, value in state["model"].items() if key != "norm.bias"}
    with pytest.raises(RuntimeError, match=r"norm\.bias"):
        restore_training_state(run.trainer, {**state, "model": model}, run.checkpoint.parts, {})


def test_states_of_parts_that_are_gone_are_logged(
    tmp_path: Path, state: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    run = build_run(tmp_path)
    with caplog.at_level(logging.WARNING):
        restore_training_state(run.trainer, state, {}, {})
    assert "['best', 'gradients', 'history', 'scheduler'] are left aside" in caplog.text


def test_the_keys_are_those_of_the_network_inside_its_wrappers(tmp_path: Path, state: dict[str, Any]) -> None:
    build_run(tmp_path, epochs=1, wrap=nn.DataParallel).go()
    assert list(final_state(tmp_path)["state"]["model"]) == list(state["model"])


def test_place_itself_is_resumed_exactly(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {
        "network": lambda: PLACEModel(tiny_config(vocab_size=20, correlation_mask_ratio=0.5)),
        "loss": PLACELoss(),
        "validation_loss": PLACELoss(),
        "size": 64,
        "studies": 12,
        "epochs": 2,
        "interval_iterations": 1,
    }
    whole = build_run(tmp_path / "whole", **arguments).go()
    build_run(tmp_path / "cut", **arguments).go(kill_after=4)
    build_run(tmp_path / "cut", resume="auto", **arguments).go()
    assert_same(final_state(tmp_path / "cut"), final_state(tmp_path / "whole"))
    rows = read_history(tmp_path / "whole" / "history.jsonl")
    assert {"loss", "ita", "pcma", "cce"} < set(rows[0])
    assert whole.gradients.skipped == 0


@pytest.mark.dist
@pytest.mark.slow
def test_two_ranks_see_the_batches_of_one_and_resume_exactly(tmp_path: Path) -> None:
    # One process with batches of 4 against two with batches of 2: the same global batches and, without dropout, the
    # same training but for the order of sums.
    alone = build_run(tmp_path / "alone", dropout=0.0, validate=False).go()
    run_ranks(train_rank, tmp_path)
    seen = [torch.load(tmp_path / f"seen_{rank}.pt", weights_only=True) for rank in range(2)]
    assert [sorted(a + b) for a, b in zip(*seen, strict=True)] == [sorted(ids) for ids in alone.seen]
    one, two = (read_history(tmp_path / name / "history.jsonl") for name in ("alone", "equal"))
    for key in ("loss", "ita", "gradient_norm"):
        assert [row[key] for row in two] == pytest.approx([row[key] for row in one], rel=1e-3)
    # With dropout, each rank has random states of its own.
    whole, resumed = (final_state(tmp_path / name) for name in ("whole", "cut"))
    assert_same(resumed, whole)
    states = whole["state"]["random"]
    assert len(states) == 2
    assert not torch.equal(states[0]["torch"], states[1]["torch"])
    # A loss that is bad on one rank is skipped by both, or their weights would part.
    ranks = [torch.load(tmp_path / f"bad_{rank}.pt", weights_only=True) for rank in range(2)]
    assert [rank["skipped"] for rank in ranks] == [1, 1]
    assert_same(ranks[0], ranks[1])
    # And one process does not go on with the run of two.
    with pytest.raises(ValueError, match=r"world size 2, this one has 1"):
        build_run(tmp_path / "cut", resume="auto", validate=False).go()


def train_rank(rank: int, folder: Path) -> None:
    def build(name: str, **arguments: Any) -> Any:
        run = build_run(folder / name, batch_size=2, validate=False, wrap=DistributedDataParallel, **arguments)
        torch.manual_seed(rank)  # ranks differ in their dropout, as they should
        return run

    with in_group(rank, folder):
        equal = build("equal", dropout=0.0).go()
        torch.save(equal.seen, folder / f"seen_{rank}.pt")
        build("whole").go()
        cut = build("cut", interval_iterations=1)
        # Only one rank is asked to stop, as by a signal that reaches it first: all stop after the same step.
        from monai_place.engines.ranks import any_rank

        cut.checkpoint.add_stop_condition(lambda: any_rank(rank == 1 and cut.trainer.state.iteration == 7))
        cut.go()
        assert cut.trainer.state.iteration == 7
        assert load_training_state(folder / "cut" / "checkpoints" / "checkpoint_000000007.pt")["iteration"] == 7
        build("cut", resume="auto").go()
        bad = build("bad", epochs=1, dropout=0.0, loss=BadOnRankOne(rank)).go()
        weights = bad.trainer.network.module.state_dict()
        torch.save({"skipped": bad.gradients.skipped, "weights": dict(weights)}, folder / f"bad_{rank}.pt")


class BadOnRankOne(TinyLoss):
    """NaN in the second step, on one rank, with gradients that are finite on both."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.rank = rank
        self.call = 0

    def forward(self, output: TinyOutput) -> dict[str, torch.Tensor]:
        self.call += 1
        terms = super().forward(output)
        if self.rank == 1 and self.call == 2:
            terms["loss"] = terms["loss"] + float("nan")
        return terms
