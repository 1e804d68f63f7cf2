"""Where weights come from: bundles, runs, files, names of the hub; and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from monai_place.mm.source import backbone_file, read_backbone_weights, resolve_shape
from monai_place.networks import PRESETS
from monai_place.weights import WeightsError
from tests.support.models import save_tiny_place


@pytest.mark.parametrize("name", list(PRESETS))
def test_presets_stand_for_their_encoder(name: str) -> None:
    shape, preset = resolve_shape(name), PRESETS[name]
    assert (shape.arch, shape.image_size, shape.stem) == (preset.image_arch, preset.image_size, preset.stem)
    assert shape.kwargs == preset.image_kwargs


def test_parts_of_a_preset_can_be_changed_and_the_preset_stays() -> None:
    shape = resolve_shape("place_tiny", stem="patch", kwargs={"depth": 2})
    assert (shape.stem, shape.kwargs["depth"], shape.kwargs["embed_dim"]) == ("patch", 2, 192)
    assert PRESETS["place_tiny"].image_kwargs["depth"] == 4


def test_name_of_timm_is_taken_as_it_is() -> None:
    assert resolve_shape("vit_base_patch16_224").image_size == 224


@pytest.mark.parametrize("inside", ["models", "."])
def test_bundle_and_model_folder_hold_the_backbone(tmp_path: Path, inside: str) -> None:
    save_tiny_place(tmp_path / inside)
    assert backbone_file(str(tmp_path)) == tmp_path / inside / "backbone.safetensors"


def test_bundle_without_weights_tells_how_to_get_them(tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    with pytest.raises(FileNotFoundError, match=r"holds no models/backbone.safetensors: pretrain it"):
        backbone_file(str(tmp_path))


def test_no_folder_is_told_without_its_path(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="bundle 'nowhere' is no folder") as caught:
        backbone_file(str(tmp_path / "nowhere"))
    assert str(tmp_path) not in str(caught.value)


def test_safetensors_of_somebody_else_are_read_too(tmp_path: Path) -> None:
    save_file({"blocks.0.norm1.weight": torch.ones(2)}, tmp_path / "other.safetensors")
    state, metadata = read_backbone_weights(str(tmp_path / "other.safetensors"))
    assert list(state) == ["blocks.0.norm1.weight"]
    assert metadata is None


@pytest.mark.parametrize("prefix", [None, "encoder."])
def test_prefix_is_found_or_given(tmp_path: Path, prefix: str | None) -> None:
    name = prefix or "image_encoder.vit."
    torch.save({f"{name}blocks.0.norm1.weight": torch.ones(2), "else": torch.ones(1)}, tmp_path / "a.pt")
    state, _ = read_backbone_weights(str(tmp_path / "a.pt"), prefix)
    assert list(state) == ["blocks.0.norm1.weight"]


@pytest.mark.parametrize("prefix", ["backbone", "backbone.", "backbone.vit", "backbone.vit."])
def test_prefix_may_lack_the_dot_and_name_the_backbone_as_in_mmengine(tmp_path: Path, prefix: str) -> None:
    torch.save({"backbone.vit.blocks.0.a": torch.ones(2), "ema.vit.blocks.0.a": torch.zeros(2)}, tmp_path / "a.pth")
    assert read_backbone_weights(str(tmp_path / "a.pth"), prefix)[0]["blocks.0.a"].tolist() == [1, 1]


@pytest.mark.parametrize("prefix", [None, "encoder."])
def test_file_without_a_block_is_refused_with_some_of_its_keys(tmp_path: Path, prefix: str | None) -> None:
    torch.save({"layer1.weight": torch.ones(2)}, tmp_path / "resnet.pth")
    with pytest.raises(WeightsError, match=r"resnet.pth: no ViT block in it.* begin like \['layer1.weight'\]"):
        read_backbone_weights(str(tmp_path / "resnet.pth"), prefix)


def test_prefix_is_what_stands_before_the_first_block(tmp_path: Path) -> None:
    keys = ["module.backbone.vit.blocks.0.a", "module.backbone.vit.blocks.10.a", "module.head.a"]
    torch.save({"state_dict": dict.fromkeys(keys, torch.ones(2))}, tmp_path / "a.pth")
    assert list(read_backbone_weights(str(tmp_path / "a.pth"))[0]) == ["blocks.0.a", "blocks.10.a"]


def test_prefix_must_be_given_where_blocks_are_in_several_unknown_places(tmp_path: Path) -> None:
    state = {"student.blocks.0.a": torch.ones(2), "teacher.blocks.0.a": torch.zeros(2)}
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(
        WeightsError, match=r"a.pth: blocks in it under \['student.', 'teacher.'\], and prefix does not"
    ):
        read_backbone_weights(str(tmp_path / "a.pth"))
    assert read_backbone_weights(str(tmp_path / "a.pth"), "teacher.")[0]["blocks.0.a"].tolist() == [0, 0]
    torch.save({**state, "backbone.vit.blocks.0.a": torch.full((2,), 3.0)}, tmp_path / "a.pth")
    assert read_backbone_weights(str(tmp_path / "a.pth"))[0]["blocks.0.a"].tolist() == [3, 3]


def test_one_file_is_no_bundle_and_is_sent_to_init_cfg(tmp_path: Path) -> None:
    save_tiny_place(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"'backbone.safetensors' is a file; .* goes into init_cfg=dict\("):
        backbone_file(tmp_path / "backbone.safetensors")


def test_damaged_backbone_file_is_an_error_and_not_somebody_elses(tmp_path: Path) -> None:
    save_tiny_place(tmp_path)
    file = tmp_path / "backbone.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(WeightsError, match="corrupt"):
        read_backbone_weights(str(file))


def test_address_is_refused() -> None:
    with pytest.raises(WeightsError, match=r"checkpoint https://... is an address"):
        read_backbone_weights("https://example.org/weights.pth")


@pytest.mark.parametrize("name", ["hf-hub:owner", "hf-hub:owner/", "hf-hub:"])
def test_name_that_is_no_repository_is_refused(name: str) -> None:
    with pytest.raises(WeightsError, match="names no repository"):
        backbone_file(name)


@pytest.mark.parametrize("name", ["hf-hub:clinic/nothing/a.pt@v1", "hf-hub:clinic/no such name/a.pt"])
def test_name_of_the_hub_that_cannot_be_had_is_told(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match=rf"'{name}': a.pt is not in the hub's cache .* could not be fetched"):
        read_backbone_weights(name)


def test_name_of_the_hub_is_found_in_its_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = "0" * 40
    cached = tmp_path / "models--clinic--place"
    save_tiny_place(cached / "snapshots" / commit)
    (cached / "refs").mkdir()
    (cached / "refs" / "main").write_text(commit, encoding="utf-8")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert backbone_file("hf-hub:clinic/place").name == "backbone.safetensors"
    assert read_backbone_weights("hf-hub:clinic/place@main")[1] is not None
    assert (
        read_backbone_weights("hf-hub:clinic/place/model.pt")[0].keys()
        == read_backbone_weights(str(cached / "snapshots" / commit / "model.pt"))[0].keys()
    )
