"""The backbone file: what it tells, and that damage is found."""

from __future__ import annotations

import json
from dataclasses import fields

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from monai_place.networks import RadiographEncoder
from monai_place.preprocess import PreprocessSpec
from monai_place.weights import BackboneMetadata, WeightsError, load_weights, read_backbone, write_backbone
from tests.support.models import tiny_place

METADATA = BackboneMetadata(
    arch="vit_tiny_patch16_224",
    image_size=64,
    patch_size=16,
    in_channels=1,
    mean=0.5,
    std=0.25,
    resize_rule="crop",
    package_version="0.1.0",
    config_hash="0" * 64,
    stem="conv",
    image_kwargs={"depth": 1},
)


def test_the_encoder_built_from_the_file_alone_gives_the_model_s_features(model_folder):
    state, metadata = read_backbone(model_folder / "backbone.safetensors")
    encoder = RadiographEncoder(
        metadata.arch,
        image_size=metadata.image_size,
        in_channels=metadata.in_channels,
        stem=metadata.stem,
        kwargs=metadata.image_kwargs,
    ).eval()
    load_weights(encoder.vit, state)
    image = torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, _ = tiny_place().image_encoder(image)
        found, _ = encoder(image)
    assert torch.equal(found, expected)


def test_keys_have_no_prefix_and_metadata_say_what_the_design_asks_for(model_folder):
    with safe_open(model_folder / "backbone.safetensors", framework="pt") as file:
        header, keys = file.metadata(), set(file.keys())
    assert {"cls_token", "pos_embed", "blocks.0.norm1.weight", "patch_embed.proj.layers.0.weight"} <= keys
    asked = {"arch", "image_size", "patch_size", "in_channels", "mean", "std", "resize_rule", "package_version"}
    assert asked | {"config_hash", "stem", "image_kwargs", "tensors_sha256"} <= set(header)
    assert (header["arch"], header["image_size"], header["resize_rule"]) == ("vit_tiny_patch16_224", "64", "pad")


def test_metadata_survive_the_file(tmp_path):
    write_backbone(tmp_path / "b.safetensors", {"a": torch.ones(2)}, METADATA)
    state, metadata = read_backbone(tmp_path / "b.safetensors")
    assert metadata == METADATA
    assert metadata.preprocess == PreprocessSpec(image_size=64, mean=0.5, std=0.25, resize_rule="crop")
    assert state["a"].tolist() == [1, 1]


def test_tensors_in_another_order_of_memory_are_written_as_their_values(tmp_path):
    image = torch.rand(2, 3, 4, 4).to(memory_format=torch.channels_last)
    write_backbone(tmp_path / "b.safetensors", {"a": image, "b": image[:1]}, METADATA)
    assert torch.equal(load_file(tmp_path / "b.safetensors")["a"], image)


def test_a_flipped_bit_in_the_tensors_is_found(tmp_path):
    file = tmp_path / "b.safetensors"
    write_backbone(file, {"a": torch.rand(100)}, METADATA)
    data = bytearray(file.read_bytes())
    data[-17] ^= 4
    file.write_bytes(data)
    with pytest.raises(WeightsError, match=r"b\.safetensors: corrupt"):
        read_backbone(file)


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"a": torch.ones(2, 3), "b": torch.zeros(2, 3)}, id="swapped"),
        pytest.param({"a": torch.zeros(2, 3), "c": torch.ones(2, 3)}, id="renamed"),
        pytest.param({"a": torch.zeros(3, 2), "b": torch.ones(2, 3)}, id="reshaped"),
        pytest.param({"a": torch.zeros(2, 3, dtype=torch.int32), "b": torch.ones(2, 3)}, id="retyped"),
        pytest.param({"a": torch.zeros(2, 3)}, id="dropped"),
    ],
)
def test_tensors_other_than_those_written_are_found(tmp_path, changed):
    file = tmp_path / "b.safetensors"
    write_backbone(file, {"a": torch.zeros(2, 3), "b": torch.ones(2, 3)}, METADATA)
    with safe_open(file, framework="pt") as opened:
        header = opened.metadata()
    save_file(changed, file, metadata=header)
    with pytest.raises(WeightsError, match="corrupt"):
        read_backbone(file)


def test_weights_of_another_project_are_refused_with_what_they_lack(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "other.safetensors", metadata={"format": "pt"})
    with pytest.raises(WeightsError, match=r"other\.safetensors.*lacks.*arch"):
        read_backbone(tmp_path / "other.safetensors")


@pytest.mark.parametrize("value", ["sixty-four", '"64"', "[64]", "null"])
def test_a_size_that_is_no_number_is_refused(value):
    with pytest.raises(WeightsError, match=r"image_size.*expected"):
        BackboneMetadata.from_header(METADATA.to_header() | {"image_size": value})


def test_unknown_metadata_of_a_later_version_are_left_alone():
    assert BackboneMetadata.from_header(METADATA.to_header() | {"later": "1"}) == METADATA


def test_every_field_is_text_in_the_header():
    header = METADATA.to_header()
    assert set(header) == {entry.name for entry in fields(BackboneMetadata)}
    assert all(isinstance(value, str) for value in header.values())
    assert json.loads(header["image_kwargs"]) == {"depth": 1}
