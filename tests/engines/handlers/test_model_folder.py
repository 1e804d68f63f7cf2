"""The best model as a whole model folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine

from monai_place.data.tokens import ReportTokenizer
from monai_place.engines import BestModelFolderHandler, build_place_model
from monai_place.inference import load_place
from monai_place.preprocess import PreprocessSpec
from tests.networks.models import small_config


@pytest.fixture
def parts() -> dict[str, Any]:
    tokenizer = ReportTokenizer.train(["No effusion.", "Small effusion."] * 2, vocab_size=60, max_tokens=16)
    network = build_place_model(small_config().to_dict(), tokenizer)
    return {
        "network": network,
        "preprocess": PreprocessSpec(image_size=network.config.image_size),
        "tokenizer": tokenizer,
        "classes": ["effusion"],
        "extra": {"loss": {"temperature": 0.2, "pick_temperature": 0.3}},
        "metric": "val_loss",
        "mode": "min",
    }


def validate(handler: BestModelFolderHandler, value: float) -> None:
    """Run an evaluator whose only number is `value`."""
    engine = Engine(lambda _engine, _batch: None)
    engine.state.metrics = {}
    handler.attach(engine)

    def measure(done: Engine) -> None:
        done.state.metrics["val_loss"] = value

    from ignite.engine import Events

    engine.add_event_handler(Events.EPOCH_COMPLETED, measure)
    engine.run([0])


def test_folder_loads_as_a_model_with_its_temperatures(tmp_path: Path, parts: dict[str, Any]) -> None:
    validate(BestModelFolderHandler(tmp_path / "models", **parts), 1.5)
    loaded = load_place(tmp_path / "models")
    assert loaded.classes == ("effusion",)
    assert (loaded.local_temperature, loaded.pick_temperature) == (0.2, 0.3)
    assert loaded.metadata["best"] == {"metric": "val_loss", "value": 1.5, "epoch": 1}
    assert torch.equal(loaded.model.extractor.queries, parts["network"].extractor.queries)


def test_worse_and_unknown_values_leave_the_folder_as_it_is(tmp_path: Path, parts: dict[str, Any]) -> None:
    handler = BestModelFolderHandler(tmp_path / "models", **parts)
    validate(handler, 1.0)
    before = (tmp_path / "models" / "model.pt").read_bytes()
    with torch.no_grad():
        parts["network"].extractor.queries.add_(1.0)
    for value in (2.0, float("nan")):
        validate(handler, value)
        assert (tmp_path / "models" / "model.pt").read_bytes() == before
    validate(handler, 0.5)
    assert (tmp_path / "models" / "model.pt").read_bytes() != before
