"""The presets: their names, and that each builds without the network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertModel

from monai_place.networks import PRESETS, PLACEModel, place_preset


@pytest.fixture(scope="module")
def bert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a BERT of two layers, as transformers saves one: it stands for the clinical BERT of place_base."""
    folder = tmp_path_factory.mktemp("bert")
    sizes = BertConfig(vocab_size=50, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96)
    BertModel(sizes).save_pretrained(folder)
    return folder


def test_presets_have_the_promised_names() -> None:
    assert set(PRESETS) == {"place_tiny", "place_small", "place_base"}


def test_override_changes_a_copy() -> None:
    assert place_preset("place_tiny", queries=5).queries == 5
    assert place_preset("place_tiny").queries != 5


def test_unknown_preset_is_named_beside_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"unknown preset 'place_huge'; known: \['place_base', .*'place_tiny'\]"):
        place_preset("place_huge")


def test_unknown_field_is_named() -> None:
    with pytest.raises(ValueError, match=r"unknown keys \['width'\]"):
        place_preset("place_tiny", width=3)


@pytest.mark.parametrize(
    ("name", "width"), [pytest.param("place_small", 384, id="small"), pytest.param("place_base", 768, id="base")]
)
def test_large_preset_builds_offline_around_a_local_bert(name: str, width: int, bert_folder: Path) -> None:
    # As few of the twelve blocks as the read-out needs: what is told apart is the names and sizes, not the depth.
    depth = max(place_preset(name).value_level, 1)
    overrides: dict[str, Any] = {"report_name": str(bert_folder), "image_kwargs": {"depth": depth}}
    model = PLACEModel(place_preset(name, **overrides)).eval()
    with torch.no_grad():
        features = model.encode_image(torch.zeros(1, 1, 224, 224))
    assert features.grid == (14, 14)
    assert features.patch_tokens.shape == (1, 196, width)
    assert features.observations.shape == (1, model.config.queries, model.config.joint_dim)
    assert model.report_encoder.width == 48


def test_place_base_is_the_recipe_of_the_field() -> None:
    config = place_preset("place_base")
    assert (config.image_arch, config.image_size) == ("vit_base_patch16_224", 224)
    assert config.report_name == "emilyalsentzer/Bio_ClinicalBERT"
