"""TensorBoard events, read back with TensorBoard's own reader."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from monai_place.engines import TrainingCurvesHandler
from tests.support.training import build_run


def scalars(folder: Path) -> dict[str, list[int]]:
    """Return the steps of each curve, as TensorBoard shows them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    accumulator = EventAccumulator(str(folder))
    accumulator.Reload()
    return {tag: [event.step for event in accumulator.Scalars(tag)] for tag in accumulator.Tags()["scalars"]}


def test_terms_rates_throughput_and_validation_are_written(tmp_path: Path) -> None:
    curves = TrainingCurvesHandler(tmp_path / "events", every=2)
    run = build_run(tmp_path, epochs=2, handlers=lambda _: [curves])
    curves.attach(run.evaluator)
    run.go()
    found = scalars(tmp_path / "events")
    steps = [2, 4, 6, 8, 10]
    assert {name: found[name] for name in ("train/loss", "train/ita", "lr/base.decay", "train/gradient_norm")} == {
        "train/loss": steps,
        "train/ita": steps,
        "lr/base.decay": steps,
        "train/gradient_norm": steps,
    }
    assert found["validation/val_loss"] == found["validation/val_loss_ita"] == [5, 10]
    assert len(found["train/studies_per_s"]) >= 3


def test_a_resumed_run_hides_what_was_written_beyond_the_checkpoint(tmp_path: Path) -> None:
    first = TrainingCurvesHandler(tmp_path / "events", every=1)
    run = build_run(tmp_path, interval_iterations=4, handlers=lambda _: [first], validate=False)
    run.go(kill_after=7)
    first._close()
    time.sleep(1.01)  # files are read in the order of their names, which tell the second
    second = TrainingCurvesHandler(tmp_path / "events", every=1)
    build_run(tmp_path, resume="auto", handlers=lambda _: [second], validate=False).go()
    assert scalars(tmp_path / "events")["train/loss"] == list(range(1, 16))


def test_at_least_every_step_is_possible() -> None:
    with pytest.raises(ValueError, match="every must be at least 1, got 0"):
        TrainingCurvesHandler("x", every=0)
