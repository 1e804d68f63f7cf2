from __future__ import annotations

import json
import shutil

import pytest
import torch

from monai_place.inference.generator_loading import find_generator_folder, load_generator
from monai_place.weights import WeightsError
from tests.support.generators import save_tiny_decoder, save_tiny_generator, tiny_generator


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_tiny_generator(tmp_path_factory.mktemp("run") / "generator")


@pytest.fixture
def copied(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def test_loaded_model_is_the_one_that_was_saved(folder):
    loaded = load_generator(folder)
    batch = {"image": torch.rand(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))}
    ours, theirs = (model.generate(batch) for model in (tiny_generator(), loaded.model))
    assert [row.tolist() for row in ours] == [row.tolist() for row in theirs]
    assert not loaded.model.training
    assert loaded.pick_temperature == 0.2
    assert loaded.report_format.sections == ("impression",)
    assert loaded.tokenizer.max_tokens == 24
    assert loaded.place_tokenizer.max_tokens == 48


def test_generator_is_found_in_a_run(folder):
    assert find_generator_folder(folder.parent) == find_generator_folder(folder) == folder
    with pytest.raises(FileNotFoundError, match=r"holds no report generator; looked for generator\.json"):
        find_generator_folder(folder / "tokenizer")
    with pytest.raises(FileNotFoundError, match="does not exist"):
        find_generator_folder(folder / "nowhere")


def test_pretrained_decoder_needs_its_name_no_more(tmp_path):
    name = save_tiny_decoder(tmp_path / "decoder", "gpt2")
    folder = save_tiny_generator(tmp_path / "generator", decoder_name=str(name))
    shutil.rmtree(name)
    assert str(tmp_path) not in (folder / "generator.json").read_text()
    assert type(load_generator(folder).model.decoder).__name__ == "GPT2LMHeadModel"


def edit(folder, **changes):
    path = folder / "generator.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_another_tokenizer_is_refused(copied):
    edit(copied, fingerprints={"tokenizer": "0" * 64, "place_tokenizer": "0" * 64})
    with pytest.raises(WeightsError, match="tokenizer is not the one that the model was trained with"):
        load_generator(copied)


def test_weights_that_do_not_fit_are_refused(copied):
    state = torch.load(copied / "model.pt", weights_only=True)
    del state["slot_tokens"]
    torch.save(state, copied / "model.pt")
    with pytest.raises(WeightsError, match=r"model\.pt: weights do not fit ReportGenerator: 1 missing: slot_tokens"):
        load_generator(copied)


def test_descriptions_that_make_no_sense_are_refused(copied):
    edit(copied, report_format={"sections": ["other"]})
    with pytest.raises(WeightsError, match="report_format: sections must be"):
        load_generator(copied)
    edit(copied, report_format={"sections": ["impression"], "max_tokens": 24, "max_prompt_tokens": 8}, decoder={})
    with pytest.raises(WeightsError, match="no model can be built"):
        load_generator(copied)
