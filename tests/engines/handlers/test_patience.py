from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from monai_place.engines.handlers.patience import PatienceHandler
from tests.support.training import Run, assert_same, build_run, final_state


def run_of(folder: Path, values: list[float], *, patience: int = 2, mode: Any = "min", **arguments: Any) -> Run:
    """Return a run of eight epochs whose validations say what they are told."""
    handler = PatienceHandler(metric="told", mode=mode, patience=patience)

    class Tell:
        """Says the value of the trainer's epoch."""

        def attach(self, engine: Any) -> None:
            from ignite.engine import Events

            engine.add_event_handler(Events.EPOCH_COMPLETED, self.tell)

        def tell(self, engine: Any) -> None:
            engine.state.metrics["told"] = values[run.trainer.state.epoch - 1]

    def handlers(checkpoint: Any) -> list[Any]:
        checkpoint.parts["patience"] = handler
        return [handler]

    run = build_run(folder, studies=8, epochs=8, evaluator_handlers=(Tell(), handler), handlers=handlers, **arguments)
    return run


@pytest.mark.parametrize(
    ("mode", "values", "epochs"),
    [
        ("min", [3, 2, 2.5, 2, 1, 1, 1, 1], 4),
        ("max", [1, 2, 3, 3, 3, 9, 9, 9], 5),
        ("min", [3, 2, 2.5, 1, 1.5, 0.5, 0.6, 0.4], 8),
        ("min", [2, math.nan, math.inf, 1, 1, 1, 1, 1], 3),
        ("min", [math.nan, 2, 3, 1, 2, 0, 0, 0], 8),
    ],
)
def test_so_many_validations_in_a_row_without_a_better_one_end_it(
    tmp_path: Path, mode: str, values: list[float], epochs: int
) -> None:
    assert run_of(tmp_path, values, mode=mode).go().trainer.state.epoch == epochs


def test_no_patience_never_stops(tmp_path: Path) -> None:
    assert run_of(tmp_path, [1.0] * 8, patience=0).go().trainer.state.epoch == 8


def test_a_resumed_run_remembers_how_long_it_has_been(tmp_path: Path) -> None:
    values = [3.0, 2, 2.5, 2, 1, 1, 1, 1]
    run_of(tmp_path / "whole", values).go()
    run_of(tmp_path / "parts", values).go(kill_after=6)  # two steps an epoch: after the first bad validation
    again = run_of(tmp_path / "parts", values, resume="auto").go()
    assert again.trainer.state.epoch == 4
    assert_same(final_state(tmp_path / "parts"), final_state(tmp_path / "whole"))


def test_a_run_that_had_stopped_stays_as_it_is(tmp_path: Path) -> None:
    values = [3.0, 2, 2.5, 2, 1, 1, 1, 1]
    run_of(tmp_path, values).go()
    before = final_state(tmp_path)
    run_of(tmp_path, values, resume="auto").go()
    assert_same(final_state(tmp_path), before)


def test_ill_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="patience must be at least 0"):
        PatienceHandler(patience=-1)
    with pytest.raises(ValueError, match="mode must be 'min' or 'max'"):
        PatienceHandler(mode="least")  # type: ignore[arg-type]


def test_a_metric_that_is_not_there_is_an_error_with_those_that_are(tmp_path: Path) -> None:
    handler = PatienceHandler(metric="gone")
    run = build_run(tmp_path, studies=8, epochs=2, evaluator_handlers=(handler,))
    with pytest.raises(ValueError, match=r"no metric 'gone'; it has \['val_loss'"):
        run.go()
