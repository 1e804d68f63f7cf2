"""The best weights by a validation metric; NaN is never the best."""

from __future__ import annotations

import itertools
import logging
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Events

from monai_place.engines import BestModelHandler, FiniteMetricComparison, read_history
from tests.support.training import TinyNetwork, build_run

NAN = math.nan


@pytest.mark.parametrize(
    ("mode", "current", "best", "better"),
    [
        ("max", 0.7, 0.5, True),
        ("max", 0.5, 0.5, False),
        ("min", 0.4, 0.5, True),
        ("min", 0.5, 0.5, False),
        ("max", NAN, 0.5, False),
        ("max", math.inf, 0.5, False),
        ("min", -math.inf, 0.5, False),
        ("max", 0.1, NAN, True),
        ("min", 0.1, NAN, True),
        ("min", NAN, NAN, False),
    ],
)
def test_a_metric_is_better_only_when_it_is_a_number(mode: Any, current: float, best: float, better: bool) -> None:
    assert FiniteMetricComparison(mode)(current, best) is better


def scripted(tmp_path: Path, values: list[float], *, mode: Any = "max", **arguments: Any) -> tuple[Any, list[Any]]:
    """Return a handler whose evaluator reports `values` in turn, and the weights that were best after each epoch."""
    network = TinyNetwork()
    handler = BestModelHandler(tmp_path / "models" / "model.pt", network, metric="score", mode=mode)
    run = build_run(tmp_path, epochs=len(values), evaluator_handlers=(handler,), **arguments)
    handler.network = run.evaluator.network
    saved: list[Any] = []

    def report(engine: Any) -> None:
        engine.state.metrics["score"] = values[engine.state.epoch - 1]

    run.evaluator.add_event_handler(Events.EPOCH_COMPLETED, report)
    run.trainer.add_event_handler(
        Events.EPOCH_COMPLETED,
        lambda: saved.append(torch.load(handler.path, weights_only=True) if handler.path.exists() else None),
    )
    run.trainer.run()
    return handler, saved


def kept(saved: list[Any]) -> list[bool]:
    """Return for each epoch whether the file changed in it."""
    news = [saved[0] is not None]
    for before, after in itertools.pairwise(saved):
        news.append(
            after is not None and (before is None or any(not torch.equal(after[key], before[key]) for key in after))
        )
    return news


def test_the_file_changes_exactly_when_the_metric_is_better(tmp_path: Path) -> None:
    handler, saved = scripted(tmp_path, [0.5, 0.4, 0.6, 0.6])
    assert kept(saved) == [True, False, True, False]
    assert (handler.value, handler.epoch) == (0.6, 3)


def test_nan_is_never_the_best_not_even_as_the_first(tmp_path: Path) -> None:
    handler, saved = scripted(tmp_path, [NAN, 0.4, NAN, 0.3], mode="min")
    assert kept(saved) == [False, True, False, True]
    assert handler.value == 0.3


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    handler = BestModelHandler(tmp_path / "model.pt", TinyNetwork(), metric="val_loss", mode="min")
    run = build_run(tmp_path, epochs=1, evaluator_handlers=(handler,), interval_epochs=0)
    with torch.no_grad():
        handler.network.norm.bias[0] = float("inf")
    with caplog.at_level(logging.WARNING):
        run.go()
    assert not (tmp_path / "model.pt").exists()
    assert "the weights are not finite; they are not saved" in caplog.text


def test_the_file_is_a_plain_state_dict_of_the_network(tmp_path: Path) -> None:
    run = build_run(tmp_path, epochs=1).go()
    weights = torch.load(tmp_path / "best.pt", weights_only=True)
    network = TinyNetwork()
    network.load_state_dict(weights)
    assert list(weights) == list(run.trainer.network.state_dict())


def test_it_follows_monais_key_metric(tmp_path: Path) -> None:
    run = build_run(tmp_path, epochs=3).go()
    losses = [row["val_loss"] for row in read_history(tmp_path / "history.jsonl") if row["kind"] == "validation"]
    assert run.evaluator.state.best_metric == pytest.approx(min(losses))
    assert run.checkpoint.parts["best"].state_dict() == {
        "value": run.evaluator.state.best_metric,
        "epoch": losses.index(min(losses)) + 1,
    }


def test_a_missing_metric_is_an_error_that_lists_the_others(tmp_path: Path) -> None:
    handler = BestModelHandler(tmp_path / "model.pt", TinyNetwork(), metric="auroc")
    with pytest.raises(ValueError, match=r"no metric 'auroc'; it has \['val_loss', 'val_loss_ita', 'val_loss_size'\]"):
        build_run(tmp_path, epochs=1, evaluator_handlers=(handler,)).go()


def test_another_direction_is_refused() -> None:
    with pytest.raises(ValueError, match=r"mode must be one of \('max', 'min'\), got 'up'"):
        BestModelHandler("x", TinyNetwork(), mode="up")  # type: ignore[arg-type]
