"""Clipping, and steps whose loss or gradient is not finite: skipped, counted, named, and an end to it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events
from monai.engines import IterationEvents

from monai_place.engines import GradientPolicyHandler, NonFiniteLossError, read_history
from tests.support.training import Run, TinyLoss, TinyOutput, assert_same, build_run, final_state


class BadAt(TinyLoss):
    """A loss that is NaN at the given calls; in `gradient` mode only its gradient is."""

    def __init__(self, *calls: int, gradient: bool = False) -> None:
        super().__init__()
        self.bad = calls
        self.gradient = gradient
        self.call = 0

    def forward(self, output: TinyOutput) -> dict[str, torch.Tensor]:
        self.call += 1
        terms = super().forward(output)
        if self.call in self.bad:
            # sqrt has an infinite slope at 0: a finite loss with a gradient that is not.
            terms["loss"] = terms["loss"] + ((output.image.sum() * 0).sqrt() if self.gradient else float("nan"))
        return terms


def weights(run: Run) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in run.trainer.network.parameters()]


def watch(run: Run) -> list[bool]:
    """Return a list that will tell for each iteration whether the weights moved."""
    moved: list[bool] = []
    before = weights(run)

    def compare(_engine: Any) -> None:
        nonlocal before
        after = weights(run)
        moved.append(any(not torch.equal(old, new) for old, new in zip(before, after, strict=True)))
        before = after

    run.trainer.add_event_handler(Events.ITERATION_COMPLETED, compare)
    return moved


@pytest.mark.parametrize("gradient", [False, True])
def test_a_bad_step_is_skipped_counted_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, gradient: bool
) -> None:
    run = build_run(tmp_path, epochs=1, loss=BadAt(2, 4, gradient=gradient))
    moved = watch(run)
    with caplog.at_level(logging.WARNING):
        run.go()
    assert moved == [True, False, True, False, True]
    assert run.gradients.skipped == 2
    assert run.trainer.state.skipped_steps == 2
    assert f"{'gradient' if gradient else 'loss'} of step 2 is not finite" in caplog.text
    assert all(name in caplog.text for name in run.seen[1] + run.seen[3])
    assert not any(name in caplog.text for name in run.seen[0])
    assert all(torch.isfinite(weight).all() for weight in weights(run))


def test_a_skipped_step_leaves_the_optimizers_moments_alone(tmp_path: Path) -> None:
    run = build_run(tmp_path, epochs=1, loss=BadAt(3))
    states: list[dict[str, Any]] = []
    run.trainer.add_event_handler(
        Events.ITERATION_COMPLETED,
        lambda engine: states.append(torch.utils._pytree.tree_map(_copy, engine.optimizer.state_dict()["state"])),
    )
    run.go()
    assert_same(states[2], states[1])
    assert not torch.equal(states[3][0]["exp_avg"], states[2][0]["exp_avg"])


def test_the_history_has_null_for_a_loss_that_is_not_a_number(tmp_path: Path) -> None:
    build_run(tmp_path, epochs=1, loss=BadAt(2), validate=False).go()
    row = read_history(tmp_path / "history.jsonl")[1]
    assert row["loss"] is None
    assert row["gradient_norm"] is None
    assert row["skipped_steps"] == 1
    assert row["ita"] > 0


def test_a_run_of_bad_steps_ends_the_training(tmp_path: Path) -> None:
    run = build_run(tmp_path, loss=BadAt(2, 4, 5, 6), interval_iterations=1)
    with pytest.raises(NonFiniteLossError, match=r"3 steps in a row .* the last was step 6; max_in_a_row is 3"):
        run.go()
    assert run.gradients.skipped == 4
    assert run.checkpoint.manager.latest() == run.checkpoint.manager.path(5)


def test_a_good_step_in_between_begins_the_count_anew(tmp_path: Path) -> None:
    run = build_run(tmp_path, loss=BadAt(1, 2, 4, 5, 7, 8)).go()
    assert run.gradients.skipped == 6
    assert run.gradients.in_a_row == 0


def test_the_counts_survive_a_resume(tmp_path: Path) -> None:
    build_run(tmp_path, loss=BadAt(2, 3), interval_iterations=1).go(kill_after=3)
    with pytest.raises(NonFiniteLossError, match="3 steps in a row"):
        build_run(tmp_path, loss=BadAt(1), interval_iterations=1, resume="auto").go()
    resumed = build_run(tmp_path, interval_iterations=1, resume="auto").go()
    assert resumed.gradients.skipped == 2
    assert final_state(tmp_path)["state"]["parts"]["gradients"] == {"skipped": 2, "in_a_row": 0}


def test_an_accumulated_step_with_one_bad_part_is_skipped_whole(tmp_path: Path) -> None:
    run = build_run(tmp_path, epochs=1, loss=BadAt(1), trainer_arguments={"accumulation_steps": 2})
    moved = watch(run)
    run.go()
    assert moved == [False, False, False, True, True]  # steps end at iterations 2, 4 and 5
    assert run.gradients.skipped == 1


def test_the_norm_is_clipped_after_all_parts_are_accumulated(tmp_path: Path) -> None:
    run = build_run(tmp_path, epochs=1, max_norm=1e-3, trainer_arguments={"accumulation_steps": 2})
    norms: list[float] = []
    run.trainer.add_event_handler(
        IterationEvents.MODEL_COMPLETED,
        lambda engine: norms.append(
            float(torch.nn.utils.get_total_norm([p.grad for p in engine.network.parameters() if p.grad is not None]))
        ),
    )
    run.go()
    assert norms[0] > 1e-2
    assert [norms[1], norms[3], norms[4]] == pytest.approx([1e-3] * 3, rel=1e-3)
    assert run.trainer.state.gradient_norm > 1e-2


def test_small_gradients_are_not_touched(tmp_path: Path) -> None:
    build_run(tmp_path / "free", max_norm=None).go()
    build_run(tmp_path / "wide", max_norm=1e6).go()
    assert_same(final_state(tmp_path / "free")["best"], final_state(tmp_path / "wide")["best"])
    assert_same(final_state(tmp_path / "free")["history"], final_state(tmp_path / "wide")["history"])


class Scaler:
    """The surface of torch's gradient scaler, whose own version needs a GPU to be enabled."""

    def __init__(self, scale: float) -> None:
        self.value = scale

    def is_enabled(self) -> bool:
        return True

    def get_scale(self) -> float:
        return self.value

    def unscale_(self, _optimizer: Any) -> None:
        pass


@pytest.mark.parametrize(("scale", "ends"), [(1024.0, False), (1.0, True)])
def test_overflow_counts_only_when_the_scaler_has_no_scale_left(tmp_path: Path, scale: float, ends: bool) -> None:
    run = build_run(tmp_path, epochs=1, loss=BadAt(1, 2, 3, 4, gradient=True), validate=False)
    run.trainer.add_event_handler(
        IterationEvents.LOSS_COMPLETED, lambda engine: setattr(engine, "scaler", Scaler(scale))
    )
    run.trainer.add_event_handler(IterationEvents.BACKWARD_COMPLETED, lambda engine: setattr(engine, "scaler", None))
    if ends:
        with pytest.raises(NonFiniteLossError):
            run.go()
    else:
        assert run.go().gradients.skipped == 4


def test_numbers_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="max_norm must be positive or None, got 0"):
        GradientPolicyHandler(max_norm=0)
    with pytest.raises(ValueError, match="max_in_a_row must be at least 1, got 0"):
        GradientPolicyHandler(max_in_a_row=0)


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, torch.Tensor) else value
