"""A config that normalizes otherwise than the weights expect is told so, with both."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from mmengine.logging import MessageHub, MMLogger

from monai_place.mm import PLACEViT
from monai_place.mm.preprocessing import NOTHING, find_normalization, warn_of_other_normalization
from monai_place.weights import BackboneMetadata
from tests.support.models import save_tiny_place

METADATA = BackboneMetadata(
    arch="vit_tiny_patch16_224",
    image_size=64,
    patch_size=16,
    in_channels=1,
    mean=0.5,
    std=0.25,
    resize_rule="pad",
    package_version="0",
    config_hash="",
)
RIGHT = "model = dict(data_preprocessor=dict(mean=[127.5, 127.5, 127.5], std=[63.75, 63.75, 63.75]))"
WRONG = RIGHT.replace("63.75", "57.375")


@pytest.fixture(autouse=True)
def hub() -> Iterator[MessageHub]:
    """Return a message hub as a Runner leaves it, and take the config out again."""
    hub = MessageHub.get_current_instance()
    yield hub
    hub.runtime_info.pop("cfg", None)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param(RIGHT, ([127.5] * 3, [63.75] * 3), id="in the model"),
        pytest.param("x = 1\nmodel = dict(a=dict(data_preprocessor=dict(mean=[1], std=[2])))", ([1], [2]), id="deeper"),
        pytest.param("model = dict(data_preprocessor=dict(size=1))", NOTHING, id="no normalization"),
        pytest.param("model = dict(data_preprocessor=dict(mean=None, std=None))", NOTHING, id="none"),
        pytest.param("model = dict(type='X')", NOTHING, id="no preprocessor"),
        pytest.param(
            "data_preprocessor = dict(mean=[1], std=[2])\nmodel = dict(type='X')", ([1], [2]), id="the config's own"
        ),
        pytest.param(
            "data_preprocessor = dict(mean=[1], std=[2])\nmodel = dict(data_preprocessor=None)",
            NOTHING,
            id="the model's own comes first",
        ),
        pytest.param(
            "model = dict(type='X')\npipeline = [dict(type='Normalize', mean=[1], std=[2])]", ([1], [2]), id="a step"
        ),
        pytest.param("model = dict(data_preprocessor=dict(mean=compute(), std=[1]))", None, id="not a literal"),
        pytest.param("other = dict(data_preprocessor=dict(mean=[1], std=[2]))", None, id="no model"),
        pytest.param("model = dict(", None, id="no Python"),
        pytest.param("model = __import__('os').abort()", None, id="never run"),
    ],
)
def test_normalization_is_read_from_the_text(text: str, found: object) -> None:
    assert find_normalization(text) == found


def test_same_values_say_nothing(hub: MessageHub) -> None:
    hub.update_info("cfg", RIGHT)
    assert not warn_of_other_normalization(METADATA)


def test_a_config_that_normalizes_nowhere_is_told_too(hub: MessageHub, caplog: pytest.LogCaptureFixture) -> None:
    hub.update_info("cfg", "model = dict(data_preprocessor=dict(size=(64, 64)))")
    logger = MMLogger.get_current_instance()
    logger.addHandler(caplog.handler)
    try:
        assert warn_of_other_normalization(METADATA)
    finally:
        logger.removeHandler(caplog.handler)
    assert "data_preprocessor has no mean and std; the weights expect mean=[127.5, 127.5, 127.5], std=[6" in caplog.text


def test_without_a_runner_nothing_is_said() -> None:
    assert not warn_of_other_normalization(METADATA)


def test_first_forward_warns_once_with_both(hub: MessageHub, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save_tiny_place(tmp_path)
    model = PLACEViT(bundle=str(tmp_path))
    hub.update_info("cfg", WRONG)
    logger = MMLogger.get_current_instance()  # does not propagate
    logger.addHandler(caplog.handler)
    try:
        model(torch.zeros(1, 3, 64, 64))
        model(torch.zeros(1, 3, 64, 64))
    finally:
        logger.removeHandler(caplog.handler)
    assert caplog.text.count("std=[57.375, 57.375, 57.375]; the weights expect mean=[127.5, 127.5, 127.5], std=[6") == 1
