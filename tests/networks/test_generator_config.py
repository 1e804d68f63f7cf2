from __future__ import annotations

import json

import pytest

from monai_place.networks import ReportGeneratorConfig
from tests.support.generators import tiny_generator_config


def test_config_survives_json():
    config = tiny_generator_config(decoder="gpt2", train_encoder=True)
    assert ReportGeneratorConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert config.image_size == config.place_config.image_size == 64


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"decoder": "lstm"}, "decoder is 'lstm', expected one of", id="decoder"),
        pytest.param({"image_tokens": "none"}, "image_tokens is 'none'", id="tokens"),
        pytest.param({"heads": 5}, "heads is 5, expected a divisor of width", id="heads"),
        pytest.param({"dropout": 1.0}, "dropout is 1.0", id="dropout"),
        pytest.param({"max_tokens": 3}, "max_tokens is 3, expected at least 4", id="length"),
        pytest.param({"special_ids": {"pad": 0}}, "special_ids lacks the roles", id="ids"),
        pytest.param({"place": {"depht": 3}}, "unknown keys", id="place"),
    ],
)
def test_wrong_fields_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        tiny_generator_config(**changes)


def test_unknown_and_missing_keys_are_named():
    with pytest.raises(ValueError, match="unknown keys \\['depht'\\]"):
        ReportGeneratorConfig.from_dict({"place": {}, "depht": 2})
    with pytest.raises(ValueError, match="needs the key 'place'"):
        ReportGeneratorConfig.from_dict({"width": 64})
