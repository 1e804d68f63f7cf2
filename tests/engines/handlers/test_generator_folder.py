from __future__ import annotations

import json

import pytest
import torch
from ignite.engine import Engine, Events
from torch.nn.parallel import DataParallel

from monai_place.data.report_format import ReportFormat
from monai_place.engines.handlers.generator_folder import BestGeneratorFolderHandler
from monai_place.preprocess import PreprocessSpec
from tests.support.generators import tiny_generator
from tests.support.models import tiny_tokenizer


def validate(handler, value, epoch):
    engine = Engine(lambda *_: None)
    handler.attach(engine)
    engine.state.metrics = {"val_loss": value}
    engine.state.epoch = epoch
    engine.add_event_handler(Events.STARTED, lambda: engine.state.metrics.update(val_loss=value))
    engine.run([0], max_epochs=1)


@pytest.mark.parametrize("wrap", [lambda network: network, DataParallel])
def test_the_best_generator_is_a_whole_folder(tmp_path, wrap):
    model = tiny_generator()
    handler = BestGeneratorFolderHandler(
        tmp_path / "out",
        wrap(model),
        preprocess=PreprocessSpec(image_size=64),
        tokenizer=tiny_tokenizer(),
        place_tokenizer=tiny_tokenizer(),
        report_format=ReportFormat(("findings",)),
        metric="val_loss",
    )
    validate(handler, 2.0, 1)
    with torch.no_grad():
        model.slot_tokens += 1
    validate(handler, 3.0, 2)  # worse: the file stays
    saved = torch.load(tmp_path / "out" / "model.pt", weights_only=True)
    torch.testing.assert_close(saved["slot_tokens"] + 1, model.slot_tokens.detach())
    best = json.loads((tmp_path / "out" / "generator.json").read_text())["extra"]["best"]
    assert (best["metric"], best["value"]) == ("val_loss", 2.0)
