"""The config of PLACE: its ranges, and its way into JSON and back."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from monai_place.networks import PRESETS, PLACEConfig, place_preset


@pytest.mark.parametrize("name", PRESETS)
def test_config_survives_json(name: str) -> None:
    config = place_preset(name, temperature=0.05, image_weights="timm")
    assert PLACEConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


def test_missing_keys_take_the_defaults() -> None:
    assert PLACEConfig.from_dict({}) == PLACEConfig()


def test_unknown_key_is_named_beside_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown keys \['joint_dims'\] of a PLACE config; known: .*'joint_dim'"):
        PLACEConfig.from_dict({"joint_dims": 64})


def test_unknown_key_of_a_change_is_named() -> None:
    with pytest.raises(ValueError, match=r"unknown keys \['quries'\]"):
        PLACEConfig().replace(quries=8)


def test_change_makes_a_copy() -> None:
    config = PLACEConfig()
    assert config.replace(queries=8).queries == 8
    assert config.queries == PLACEConfig().queries


def test_change_is_checked_as_the_constructor_checks() -> None:
    with pytest.raises(ValueError, match="queries is 0, expected at least 1"):
        PLACEConfig().replace(queries=0)


def test_dict_is_a_copy() -> None:
    config = PLACEConfig(image_kwargs={"depth": 2})
    config.to_dict()["image_kwargs"]["depth"] = 99
    assert config.image_kwargs == {"depth": 2}


def test_config_cannot_change_after_a_model_was_built_with_it() -> None:
    with pytest.raises(FrozenInstanceError):
        PLACEConfig().queries = 8  # type: ignore[misc]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param({"image_size": 0}, "image_size is 0, expected at least 1", id="image size"),
        pytest.param({"vocab_size": -1}, "vocab_size is -1, expected at least 1", id="vocabulary"),
        pytest.param({"max_tokens": 0}, "max_tokens is 0, expected at least 1", id="tokens"),
        pytest.param({"joint_dim": 0}, "joint_dim is 0, expected at least 1", id="joint features"),
        pytest.param({"extractor_depth": -1}, "extractor_depth is -1, expected", id="negative depth"),
        pytest.param({"stem": "mlp"}, r"stem is 'mlp', expected one of \('patch', 'conv'\)", id="stem"),
        pytest.param({"report_pool": "max"}, r"report_pool is 'max', expected one of \('cls', 'mean'\)", id="pool"),
        pytest.param(
            {"correlation_target": "edges"}, "correlation_target is 'edges', expected one of .*'pixels'", id="target"
        ),
        pytest.param({"correlation_mask_ratio": 1.0}, "correlation_mask_ratio is 1.0, expected", id="all masked"),
        pytest.param({"correlation_mask_ratio": -0.1}, "correlation_mask_ratio is -0.1", id="negative ratio"),
        pytest.param(
            {"correlation_level": -2},
            "correlation_level is -2, expected at least -1",
            id="no such level",
        ),
        pytest.param({"temperature": 0.0}, "temperature is 0.0, expected 0.01 to 1", id="zero temperature"),
        pytest.param({"temperature": 2.0}, "temperature is 2.0, expected 0.01 to 1", id="clamped temperature"),
        pytest.param({"temperature": float("nan")}, "temperature is nan", id="no temperature"),
        pytest.param({"attention_temperature": 0.0}, "attention_temperature is 0.0, expected", id="zero sharpness"),
    ],
)
def test_value_out_of_range_raises(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PLACEConfig(**values)
