"""The model folder: what is in it, and that it is whole or refused."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertModel

from monai_place import __version__
from monai_place.networks import PLACEConfig
from monai_place.preprocess import PreprocessSpec
from monai_place.weights import WeightsError, read_backbone, read_place_json, save_model_folder
from tests.support.models import CLASSES, save_tiny_place, tiny_place, tiny_tokenizer

SPEC = PreprocessSpec(image_size=64)


def save(folder, model=None, **changes):
    settings = {"preprocess": SPEC, "tokenizer": tiny_tokenizer(), "classes": CLASSES, **changes}
    return save_model_folder(folder, model or tiny_place(), **settings)


def test_the_folder_holds_the_four_parts_and_nothing_else(model_folder):
    assert {path.name for path in model_folder.iterdir()} == {
        "model.pt",
        "backbone.safetensors",
        "place.json",
        "tokenizer",
    }


def test_the_weights_load_as_monai_loads_them(model_folder):
    state = torch.load(model_folder / "model.pt", weights_only=True)
    expected = tiny_place().state_dict()
    assert list(state) == list(expected)
    assert all(torch.equal(state[key], value) for key, value in expected.items())


def test_the_tokenizer_loads_as_transformers_loads_it(model_folder):
    assert AutoTokenizer.from_pretrained(model_folder / "tokenizer").pad_token == "[PAD]"


def test_the_description_survives_the_file(model_folder):
    description = read_place_json(model_folder / "place.json")
    assert PLACEConfig.from_dict(description.model) == tiny_place().config
    assert description.preprocess == SPEC
    assert description.classes == CLASSES
    assert description.package_version == __version__
    assert description.tokenizer_fingerprint == tiny_tokenizer().fingerprint


def test_the_backbone_s_hash_is_that_of_the_config(model_folder, tmp_path):
    _, metadata = read_backbone(model_folder / "backbone.safetensors")
    save_tiny_place(tmp_path / "other", queries=4)
    _, other = read_backbone(tmp_path / "other" / "backbone.safetensors")
    assert len(metadata.config_hash) == 64
    assert metadata.config_hash != other.config_hash


def test_extra_values_are_kept(tmp_path):
    save(tmp_path / "model", extra={"epoch": 3, "auroc": 0.7})
    assert read_place_json(tmp_path / "model" / "place.json").extra == {"epoch": 3, "auroc": 0.7}


def test_saving_again_replaces_the_older_model(tmp_path):
    save(tmp_path / "model", tiny_place(0))
    save(tmp_path / "model", tiny_place(1))
    state = torch.load(tmp_path / "model" / "model.pt", weights_only=True)
    assert torch.equal(state["extractor.queries"], tiny_place(1).extractor.queries.detach())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"preprocess": PreprocessSpec(image_size=96)}, "image_size is 96, the model's is 64", id="size"),
        pytest.param({"extra": {"loss": float("nan")}}, "Out of range float", id="nan"),
        pytest.param({"model": tiny_place(vocab_size=20)}, "the report encoder knows 20", id="tokenizer"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        save(tmp_path / "model", **changes)
    assert not (tmp_path / "model").exists()


def test_a_save_that_fails_half_way_leaves_the_old_description_and_no_rubbish(tmp_path):
    folder = save(tmp_path / "model")
    before = (folder / "place.json").read_bytes()
    shutil.rmtree(folder / "tokenizer")
    (folder / "tokenizer").write_text("in the way")
    with pytest.raises(FileExistsError):
        save(folder, tiny_place(1))
    assert (folder / "place.json").read_bytes() == before
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_no_path_of_this_machine_gets_into_the_folder(tmp_path):
    bert = tmp_path / "secret place" / "bert"
    vocabulary = tiny_tokenizer().vocab_size
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 40}
    BertModel(BertConfig(vocab_size=vocabulary, **sizes)).save_pretrained(bert)
    save(tmp_path / "model", tiny_place(report_name=str(bert)))
    text = (tmp_path / "model" / "place.json").read_text()
    assert "secret place" not in text
    description = read_place_json(tmp_path / "model" / "place.json")
    assert description.model["report_name"] == "bert"
    assert description.report_encoder["intermediate_size"] == 40


def test_weights_that_the_model_started_from_are_not_asked_for_again(tmp_path):
    save(tmp_path / "first", tiny_place(stem="patch"))
    start = str(tmp_path / "first" / "backbone.safetensors")
    save(tmp_path / "model", tiny_place(1, stem="patch", image_weights=start))
    assert read_place_json(tmp_path / "model" / "place.json").model["image_weights"] is None


def _changed(model_folder, tmp_path, change):
    content = json.loads((model_folder / "place.json").read_text())
    change(content)
    (tmp_path / "place.json").write_text(json.dumps(content))
    return tmp_path / "place.json"


def test_a_folder_of_a_later_format_names_the_version_that_wrote_it(model_folder, tmp_path):
    file = _changed(model_folder, tmp_path, lambda content: content.update(format_version=9, package_version="7.0"))
    with pytest.raises(WeightsError, match=r"format 9 is newer.*7\.0"):
        read_place_json(file)


@pytest.mark.parametrize("key", ["model", "preprocess", "classes", "tokenizer_fingerprint", "format_version"])
def test_a_description_that_lacks_a_key_is_refused_by_name(model_folder, tmp_path, key):
    with pytest.raises(WeightsError, match=key):
        read_place_json(_changed(model_folder, tmp_path, lambda content: content.pop(key)))


@pytest.mark.parametrize("text", ["", "[]", "{", "\x00\x01", '{"format_version": null}'])
def test_a_damaged_description_is_refused(tmp_path, text):
    (tmp_path / "place.json").write_text(text)
    with pytest.raises(WeightsError, match=r"place\.json"):
        read_place_json(tmp_path / "place.json")


def test_a_description_that_is_not_there_names_the_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"place\.json.*does not exist"):
        read_place_json(tmp_path / "place.json")
