"""A resumed run equals the uninterrupted one bit for bit: model, optimizer, scheduler, random states, history, best."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events
from torch.utils.data import DataLoader

from monai_place.engines import ExactCheckpointHandler, NonFiniteLossError, StudyDataset, read_history
from monai_place.engines.checkpoint import CorruptCheckpointError
from tests.support.training import MakeStudy, assert_same, build_run, final_state, records

LENGTH = 5  # iterations of an epoch: 22 studies in batches of 4
EPOCHS = 3


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("uninterrupted")
    build_run(folder).go()
    return final_state(folder)


def test_the_same_run_twice_is_the_same_to_the_last_bit(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    build_run(tmp_path).go()
    assert_same(final_state(tmp_path), uninterrupted)


def test_the_run_learns_and_draws_random_numbers(uninterrupted: dict[str, Any]) -> None:
    # Otherwise equal runs would prove nothing.
    rows = [row for row in map(eval_json, uninterrupted["history"].splitlines()) if row["kind"] == "train"]
    assert len(rows) == LENGTH * EPOCHS
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert not torch.equal(uninterrupted["state"]["random"][0]["torch"], torch.Generator().manual_seed(7).get_state())


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    "stop",
    [
        pytest.param(1, id="first step"),
        pytest.param(3, id="inside warm-up"),
        pytest.param(LENGTH, id="end of an epoch"),
        pytest.param(LENGTH + 2, id="middle of an epoch"),
        pytest.param(LENGTH * EPOCHS - 1, id="before the last step"),
    ],
)
def test_a_resumed_run_equals_the_uninterrupted_one(
    tmp_path: Path, uninterrupted: dict[str, Any], stop: int, workers: int
) -> None:
    build_run(tmp_path, workers=workers, interval_iterations=1).go(kill_after=stop)
    resumed = build_run(tmp_path, workers=workers, interval_iterations=1, resume="auto").go()
    assert len(resumed.seen) == LENGTH * EPOCHS - stop
    assert_same(final_state(tmp_path), uninterrupted)


def test_what_was_done_after_the_last_checkpoint_is_done_again(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    build_run(tmp_path, interval_iterations=3, interval_epochs=0).go(kill_after=8)
    assert read_history(tmp_path / "history.jsonl")[-1]["iteration"] == 8
    resumed = build_run(tmp_path, interval_iterations=3, interval_epochs=0, resume="auto").go()
    assert len(resumed.seen) == LENGTH * EPOCHS - 6
    assert_same(final_state(tmp_path), uninterrupted)


def test_a_run_can_be_resumed_many_times(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    for stop in (2, 5, 6, 11):
        build_run(tmp_path, interval_iterations=1, resume="auto").go(kill_after=stop)
    build_run(tmp_path, interval_iterations=1, resume="auto").go()
    assert_same(final_state(tmp_path), uninterrupted)


def test_a_run_killed_before_its_first_checkpoint_begins_anew(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    build_run(tmp_path).go(kill_after=3)
    build_run(tmp_path, resume="auto").go()
    assert_same(final_state(tmp_path), uninterrupted)


def test_a_run_killed_in_its_validation_repeats_it(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    run = build_run(tmp_path, interval_iterations=2)

    def kill(engine: Any) -> None:
        if run.trainer.state.epoch == 2:
            raise KeyboardInterrupt

    run.evaluator.add_event_handler(Events.ITERATION_COMPLETED, kill)
    with pytest.raises(KeyboardInterrupt):
        run.go()
    resumed = build_run(tmp_path, interval_iterations=2, resume="auto").go()
    assert len(resumed.seen) == LENGTH * EPOCHS - 8
    assert_same(final_state(tmp_path), uninterrupted)


@pytest.mark.parametrize("stop", [LENGTH + 1, 2 * LENGTH])
def test_a_stop_condition_saves_the_running_step_and_ends_the_run(
    tmp_path: Path, uninterrupted: dict[str, Any], stop: int
) -> None:
    run = build_run(tmp_path)
    run.checkpoint.add_stop_condition(lambda: run.trainer.state.iteration == stop)
    run.go()
    assert run.checkpoint.stopped
    assert len(run.seen) == stop
    # At an epoch's end the validation is left to the resumed run: there may be no time for it.
    assert final_state(tmp_path)["state"]["epoch_end_pending"] == (stop % LENGTH == 0)
    build_run(tmp_path, resume="auto").go()
    assert_same(final_state(tmp_path), uninterrupted)


def test_a_validation_cut_short_is_done_by_the_resumed_run(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    run = build_run(tmp_path)
    asked = []

    def stop(engine: Any) -> None:
        if run.trainer.state.epoch == 2:
            asked.append(True)
            engine.terminate()

    run.evaluator.add_event_handler(Events.ITERATION_COMPLETED, stop)
    run.checkpoint.add_stop_condition(lambda: bool(asked))
    run.go()
    assert [row["epoch"] for row in read_history(tmp_path / "history.jsonl") if row["kind"] == "validation"] == [1]
    build_run(tmp_path, resume="auto").go()
    assert_same(final_state(tmp_path), uninterrupted)


def test_what_a_validation_draws_before_it_is_cut_short_is_drawn_again(tmp_path: Path) -> None:
    def draw(engine: Any) -> None:
        engine.state.metrics["drawn"] = float(torch.rand(()))

    whole = build_run(tmp_path / "whole")
    whole.evaluator.add_event_handler(Events.ITERATION_COMPLETED, draw)
    whole.go()
    cut = build_run(tmp_path / "cut")
    cut.evaluator.add_event_handler(Events.ITERATION_COMPLETED, draw)
    asked = []

    def stop(engine: Any) -> None:
        asked.append(True)
        engine.terminate()

    cut.evaluator.add_event_handler(Events.ITERATION_COMPLETED, stop)
    cut.checkpoint.add_stop_condition(lambda: bool(asked))
    cut.go()
    resumed = build_run(tmp_path / "cut", resume="auto")
    resumed.evaluator.add_event_handler(Events.ITERATION_COMPLETED, draw)
    resumed.go()
    assert_same(final_state(tmp_path / "cut"), final_state(tmp_path / "whole"))


def test_a_finished_run_is_resumed_to_nothing(tmp_path: Path, uninterrupted: dict[str, Any]) -> None:
    build_run(tmp_path).go()
    assert build_run(tmp_path, resume="auto").go().seen == []
    assert_same(final_state(tmp_path), uninterrupted)


def test_gradient_accumulation_is_resumed_between_the_optimizers_steps(tmp_path: Path) -> None:
    arguments: dict[str, Any] = {"trainer_arguments": {"accumulation_steps": 2}}
    build_run(tmp_path / "whole", **arguments).go()
    run = build_run(tmp_path / "cut", **arguments)
    run.checkpoint.add_stop_condition(lambda: run.trainer.state.iteration >= 8)  # the first half of a step
    run.go()
    assert len(run.seen) == 9
    build_run(tmp_path / "cut", resume="auto", **arguments).go()
    assert_same(final_state(tmp_path / "cut"), final_state(tmp_path / "whole"))


def test_checkpoints_are_written_at_their_intervals_and_kept(tmp_path: Path) -> None:
    build_run(tmp_path, interval_iterations=2, interval_epochs=0, keep=4).go()
    names = [path.name for path in sorted((tmp_path / "checkpoints").iterdir())]
    assert names == [f"checkpoint_{iteration:09d}.pt" for iteration in (10, 12, 14, 15)]


def test_the_end_of_an_epoch_is_saved_after_its_validation(tmp_path: Path) -> None:
    build_run(tmp_path, interval_iterations=1, interval_epochs=0, keep=100).go(kill_after=LENGTH)
    state = final_state(tmp_path)["state"]
    assert state["iteration"] == LENGTH
    assert state["best"]["validation"]["epoch"] == 1


def test_a_run_ended_in_the_middle_of_a_step_saves_nothing(tmp_path: Path) -> None:
    run = build_run(tmp_path)
    run.trainer.add_event_handler(Events.ITERATION_STARTED(once=3), lambda engine: engine.terminate())
    run.go()
    assert list((tmp_path / "checkpoints").glob("*")) == []


def test_a_new_run_does_not_mix_with_an_older_one(tmp_path: Path) -> None:
    build_run(tmp_path).go()
    before = final_state(tmp_path)
    with pytest.raises(ValueError, match=r"holds checkpoint_000000015\.pt of an earlier run"):
        build_run(tmp_path).go()
    assert_same(final_state(tmp_path), before)


def test_an_earlier_checkpoint_can_be_named_and_the_later_ones_are_set_aside(
    tmp_path: Path, uninterrupted: dict[str, Any]
) -> None:
    build_run(tmp_path, interval_iterations=1, keep=100).go(kill_after=9)
    named = tmp_path / "checkpoints" / "checkpoint_000000004.pt"
    resumed = build_run(tmp_path, resume=named, keep=100).go()
    assert len(resumed.seen) == LENGTH * EPOCHS - 4
    assert (tmp_path / "checkpoints" / "checkpoint_000000007.pt.superseded").exists()
    assert_same(final_state(tmp_path), uninterrupted)


def test_a_corrupt_checkpoint_is_an_error_unless_the_one_before_is_asked_for(
    tmp_path: Path, uninterrupted: dict[str, Any]
) -> None:
    build_run(tmp_path, interval_iterations=1).go(kill_after=7)
    latest = tmp_path / "checkpoints" / "checkpoint_000000007.pt"
    latest.write_bytes(latest.read_bytes()[:-100])
    with pytest.raises(CorruptCheckpointError, match=r"checkpoint_000000007\.pt is corrupt"):
        build_run(tmp_path, resume="auto").go()
    resumed = build_run(tmp_path, resume="auto", on_corrupt="previous").go()
    assert len(resumed.seen) == LENGTH * EPOCHS - 6
    assert_same(final_state(tmp_path), uninterrupted)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"batch_size": 5}, "batch_size was 4, is 5", id="batch size"),
        pytest.param({"studies": 26}, "epoch_length was 5, is 6", id="more studies"),
        pytest.param({"studies": 23}, "length was 22, is 23", id="one more study"),
        pytest.param({"epochs": 1}, "beyond max_epochs=1", id="fewer epochs"),
    ],
)
def test_the_checkpoint_of_another_run_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    build_run(tmp_path, interval_iterations=1).go(kill_after=7)
    with pytest.raises(ValueError, match=rf"checkpoint_000000007\.pt cannot be taken up: .*{message}"):
        build_run(tmp_path, **{"resume": "auto", **change}).go()


def test_another_world_size_is_refused(tmp_path: Path) -> None:
    build_run(tmp_path, interval_iterations=1).go(kill_after=2)
    state = final_state(tmp_path)["state"]
    state["run"]["world_size"] = 2
    from monai_place.engines import save_training_state

    save_training_state(tmp_path / "checkpoints" / "checkpoint_000000002.pt", state)
    with pytest.raises(ValueError, match="world size 2, this one has 1: order of studies and random states"):
        build_run(tmp_path, resume="auto").go()


def test_more_epochs_are_possible_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    build_run(tmp_path, epochs=2).go()
    with caplog.at_level(logging.WARNING):
        resumed = build_run(tmp_path, epochs=3, resume="auto").go()
    assert len(resumed.seen) == LENGTH
    assert "max_epochs was 2, is 3" in caplog.text


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    run = build_run(tmp_path, interval_iterations=1)

    def spoil(engine: Any) -> None:
        if engine.state.iteration == 3:
            with torch.no_grad():
                engine.network.norm.weight[0] = float("nan")

    run.trainer.add_event_handler(Events.ITERATION_COMPLETED, spoil)
    with pytest.raises(NonFiniteLossError, match="not finite after iteration 3"):
        run.go()
    assert run.checkpoint.manager.latest() == tmp_path / "checkpoints" / "checkpoint_000000002.pt"


def test_a_trainer_that_cannot_be_taken_up_exactly_is_refused(tmp_path: Path) -> None:
    run = build_run(tmp_path / "gradients")
    run.trainer.optim_set_to_none = False
    with pytest.raises(ValueError, match="optim_set_to_none=True"):
        run.go()
    run = build_run(tmp_path / "sampler")
    run.trainer.data_loader = DataLoader(StudyDataset(records(4), [MakeStudy()]), batch_size=2)
    with pytest.raises(TypeError, match="SequentialSampler for sampler, expected a StudySampler"):
        run.go()
    run = build_run(tmp_path / "length")
    run.trainer.state.epoch_length = 3
    with pytest.raises(ValueError, match="epoch_length is 3, expected the length of the loader, 5"):
        run.go()


def test_negative_intervals_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="intervals must be at least 0, got -1 and 1"):
        ExactCheckpointHandler(tmp_path, interval_iterations=-1)


def eval_json(line: str) -> dict[str, Any]:
    import json

    row: dict[str, Any] = json.loads(line)
    return row
