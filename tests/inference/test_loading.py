"""From a folder to a model: what counts as one, and that its parts belong together."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
import torch
from transformers import BertConfig, BertModel

from monai_place.inference import find_model_folder, load_place
from monai_place.preprocess import PreprocessSpec
from monai_place.weights import WeightsError, save_model_folder
from tests.support.models import CLASSES, save_tiny_place, tiny_place, tiny_tokenizer

IMAGE = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(3))


def test_the_loaded_model_is_the_saved_one(loaded):
    model = tiny_place()
    assert loaded.classes == CLASSES
    assert loaded.preprocess == PreprocessSpec(image_size=64)
    assert loaded.tokenizer.fingerprint == tiny_tokenizer().fingerprint
    assert not loaded.model.training
    with torch.no_grad():
        expected, found = model.encode_image(IMAGE), loaded.model.encode_image(IMAGE)
    assert torch.equal(found.global_embedding, expected.global_embedding)
    assert torch.equal(found.observations, expected.observations)


@pytest.mark.slow
def test_another_process_gets_the_same_embeddings(model_folder, loaded):
    program = f"""
import torch
from monai_place.inference import load_place
loaded = load_place({str(model_folder)!r})
image = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(3))
with torch.no_grad():
    print(loaded.model.encode_image(image).global_embedding.double().tolist())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd="/", check=True)
    with torch.no_grad():
        expected = loaded.model.encode_image(IMAGE).global_embedding.double()
    assert json.loads(done.stdout) == expected.tolist()


@pytest.mark.parametrize("inside", ["", "model", "models", "models/place", "best", "last"])
def test_a_model_is_found_in_a_folder_a_run_and_a_bundle(tmp_path, inside):
    (tmp_path / inside).mkdir(parents=True, exist_ok=True)
    (tmp_path / inside / "place.json").write_text("{}")
    assert find_model_folder(tmp_path) == tmp_path / inside
    assert find_model_folder(tmp_path / inside / "place.json") == tmp_path / inside


def test_the_best_model_of_a_run_comes_before_the_last(tmp_path):
    for inside in ("best", "last"):
        (tmp_path / inside).mkdir()
        (tmp_path / inside / "place.json").write_text("{}")
    assert find_model_folder(tmp_path).name == "best"


def test_a_folder_without_a_model_says_where_it_looked(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"looked for place\.json, model/place\.json, models/place\.json"):
        find_model_folder(tmp_path)


def test_a_folder_that_is_not_there_is_no_empty_one(tmp_path):
    with pytest.raises(FileNotFoundError, match="'nowhere' does not exist"):
        find_model_folder(tmp_path / "nowhere")


@pytest.fixture
def copy(model_folder, tmp_path):
    return shutil.copytree(model_folder, tmp_path / "copy")


def test_another_tokenizer_is_refused(copy):
    from monai_place.data.tokens import ReportTokenizer

    shutil.rmtree(copy / "tokenizer")
    ReportTokenizer.train(["quite other words"], vocab_size=100, max_tokens=48, min_frequency=1).save(
        copy / "tokenizer"
    )
    with pytest.raises(WeightsError, match="tokenizer is not the one"):
        load_place(copy)


def test_weights_of_another_config_are_refused_with_the_keys(copy):
    content = json.loads((copy / "place.json").read_text())
    content["model"]["queries"] = 7
    (copy / "place.json").write_text(json.dumps(content))
    with pytest.raises(WeightsError, match=r"copy/model\.pt: .*extractor\.queries \(5, 48\), expected \(7, 48\)"):
        load_place(copy)


def test_a_config_that_builds_nothing_is_refused(copy):
    content = json.loads((copy / "place.json").read_text())
    content["model"]["image_arch"] = "resnet18"
    (copy / "place.json").write_text(json.dumps(content))
    with pytest.raises(WeightsError, match=r"place\.json: no model can be built from it: .*resnet18"):
        load_place(copy)


@pytest.mark.parametrize("part", ["model.pt", "tokenizer"])
def test_a_missing_part_is_named(copy, part):
    shutil.rmtree(copy / part) if (copy / part).is_dir() else (copy / part).unlink()
    with pytest.raises(FileNotFoundError, match=part.split(".")[0]):
        load_place(copy)


def test_a_damaged_state_dict_names_the_file(copy):
    (copy / "model.pt").write_bytes((copy / "model.pt").read_bytes()[:5000])
    with pytest.raises(WeightsError, match=r"model\.pt"):
        load_place(copy)


def test_a_report_encoder_from_elsewhere_is_rebuilt_without_it(tmp_path):
    vocabulary = tiny_tokenizer().vocab_size
    sizes = {"hidden_size": 36, "num_hidden_layers": 2, "num_attention_heads": 3, "intermediate_size": 40}
    BertModel(BertConfig(vocab_size=vocabulary, **sizes)).save_pretrained(tmp_path / "bert")
    model = tiny_place(report_name=str(tmp_path / "bert"))
    spec = PreprocessSpec(image_size=64)
    save_model_folder(tmp_path / "model", model, preprocess=spec, tokenizer=tiny_tokenizer(), classes=CLASSES)
    shutil.rmtree(tmp_path / "bert")
    again = load_place(tmp_path / "model").model
    ids, mask, owner = torch.tensor([[2, 9, 8, 3]]), torch.ones(1, 4).bool(), torch.tensor([[-1, 0, 0, -1]])
    with torch.no_grad():
        expected, found = model.encode_report(ids, mask, owner), again.encode_report(ids, mask, owner)
    assert torch.equal(found.sentence_embeddings, expected.sentence_embeddings)
    assert again.config.report_name == "bert"


def test_the_temperatures_of_training_come_with_the_model(tmp_path, loaded):
    assert (loaded.local_temperature, loaded.pick_temperature) == (0.1, 0.1)
    extra = {"loss": {"temperature": 0.2, "pick_temperature": 0.05}}
    spec, tokenizer = PreprocessSpec(image_size=64), tiny_tokenizer()
    save_model_folder(tmp_path, tiny_place(), preprocess=spec, tokenizer=tokenizer, classes=CLASSES, extra=extra)
    again = load_place(tmp_path)
    assert (again.local_temperature, again.pick_temperature) == (0.2, 0.05)


def test_a_model_of_another_image_pool_gives_the_same_after_loading(tmp_path):
    model = save_tiny_place(tmp_path, image_pool="mean", local_keys=True, value_level=1, slot_competition=True)
    again = load_place(tmp_path).model
    with torch.no_grad():
        assert torch.equal(again.encode_image(IMAGE).observations, model.encode_image(IMAGE).observations)
