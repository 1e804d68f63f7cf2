from __future__ import annotations

import json

import pytest
import torch

from monai_place.data.tokens import ReportTokenizer
from monai_place.preprocess import PreprocessSpec
from monai_place.weights import WeightsError
from monai_place.weights.generator_folder import read_generator_json, save_generator_folder
from tests.support.generators import save_tiny_generator, tiny_generator
from tests.support.models import tiny_tokenizer


def arguments(**changes):
    tokenizer = tiny_tokenizer()
    given = {
        "decoder": {},
        "preprocess": PreprocessSpec(image_size=64),
        "tokenizer": tokenizer,
        "place_tokenizer": tokenizer,
        "report_format": {},
        "classes": (),
    }
    return {**given, **changes}


def test_folder_holds_plain_weights_and_a_description(tmp_path):
    folder = save_tiny_generator(tmp_path / "generator")
    assert {path.name for path in folder.iterdir()} == {"model.pt", "tokenizer", "generator.json"}
    state = torch.load(folder / "model.pt", weights_only=True)
    assert state.keys() == tiny_generator().state_dict().keys()
    description = read_generator_json(folder / "generator.json")
    assert description.extra["seed"] == 0
    assert description.report_format["sections"] == ["impression"]
    assert description.preprocess.image_size == 64


def test_a_tokenizer_of_its_own_is_kept_beside(tmp_path):
    other = ReportTokenizer.train(["other words"] * 2, vocab_size=60)
    save_generator_folder(tmp_path, tiny_generator(), **arguments(tokenizer=other))
    assert (tmp_path / "place_tokenizer" / "tokenizer.json").is_file()
    prints = read_generator_json(tmp_path / "generator.json").fingerprints
    assert prints["tokenizer"] == other.fingerprint != prints["place_tokenizer"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"preprocess": PreprocessSpec(image_size=32)}, "image_size is 32, the model's is 64", id="size"),
        pytest.param({"extra": {"value": float("nan")}}, "JSON compliant", id="not JSON"),
    ],
)
def test_what_does_not_fit_leaves_nothing(tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        save_generator_folder(tmp_path / "out", tiny_generator(), **arguments(**changes))
    assert not (tmp_path / "out").exists()


def test_damaged_and_later_descriptions_are_named(tmp_path):
    path = save_tiny_generator(tmp_path / "generator") / "generator.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "format_version": 99}))
    with pytest.raises(WeightsError, match="format 99 is newer"):
        read_generator_json(path)
    path.write_text(json.dumps({key: value for key, value in content.items() if key != "fingerprints"}))
    with pytest.raises(WeightsError, match="not the description of a report generator: KeyError"):
        read_generator_json(path)
    with pytest.raises(FileNotFoundError, match="does not exist in folder"):
        read_generator_json(tmp_path / "generator.json")
