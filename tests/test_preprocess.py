"""The preprocessing spec: its ranges, and its way into JSON and back."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from monai_place.preprocess import PreprocessSpec


def test_spec_survives_json() -> None:
    spec = PreprocessSpec(image_size=384, mean=0.4, std=0.3, resize_rule="crop")
    assert PreprocessSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_missing_keys_take_the_defaults() -> None:
    assert PreprocessSpec.from_dict({}) == PreprocessSpec(image_size=224, mean=0.5, std=0.25, resize_rule="pad")


def test_unknown_key_is_named_beside_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown preprocessing keys \['sigma'\]; known: .*'std'"):
        PreprocessSpec.from_dict({"sigma": 1.0})


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param({"image_size": 0}, "image_size must be at least 1 pixel, got 0", id="no pixel"),
        pytest.param({"std": 0.0}, "std must be positive, got 0.0", id="zero std"),
        pytest.param({"std": -1.0}, "std must be positive, got -1.0", id="negative std"),
        pytest.param({"std": float("nan")}, "std must be positive, got nan", id="std is no number"),
        pytest.param({"resize_rule": "fit"}, "resize_rule must be one of .*stretch.*, got 'fit'", id="unknown rule"),
    ],
)
def test_value_out_of_range_raises(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PreprocessSpec(**values)


def test_spec_cannot_change_after_the_weights_were_saved_with_it() -> None:
    with pytest.raises(FrozenInstanceError):
        PreprocessSpec().std = 1.0  # type: ignore[misc]
