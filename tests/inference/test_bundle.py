"""From a model folder to a bundle: the prompts in its weights, its description, its evaluation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

from monai_place.inference import build_classifier, load_place
from monai_place.inference.bundle import (
    add_prompt_bank,
    bundle_classifier,
    complete_bundle,
    evaluate_bundle,
    load_classifier_weights,
)
from monai_place.inference.classifier import PLACEFindingClassifier
from monai_place.preprocess import PreprocessSpec
from monai_place.weights import WeightsError, read_state_dict, save_model_folder
from tests.support.models import CLASSES, save_tiny_place, tiny_place, tiny_tokenizer


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Return a fresh model folder, which tests may change."""
    save_tiny_place(tmp_path / "run" / "models")
    return tmp_path / "run" / "models"


def test_prompts_join_the_weights_and_nothing_else_changes(models: Path) -> None:
    before = read_state_dict(models / "model.pt")
    add_prompt_bank(models)
    after = read_state_dict(models / "model.pt")
    assert set(after) - set(before) == {key for key in after if key.startswith("prompt_bank.")}
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert load_place(models).classes == CLASSES


def test_second_bank_replaces_the_first(models: Path) -> None:
    add_prompt_bank(models)
    add_prompt_bank(models, ["edema"])
    assert bundle_classifier(models).classes == ["edema"]


def test_classifier_of_the_folder_is_that_of_the_model(models: Path) -> None:
    add_prompt_bank(models)
    image = torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = build_classifier(load_place(models))(image)
        assert torch.allclose(bundle_classifier(models)(image), expected, atol=1e-6)


def test_folder_without_prompts_says_what_to_do(models: Path) -> None:
    with pytest.raises(WeightsError, match="add_prompt_bank"):
        bundle_classifier(models)


def test_weights_of_another_network_or_preprocessing_are_refused(models: Path) -> None:
    add_prompt_bank(models)
    good = bundle_classifier(models)
    other = PLACEFindingClassifier(**{**good.arguments(), "positive_prompts": 1})
    with pytest.raises(WeightsError, match="'positive_prompts'"):
        load_classifier_weights(other, models)
    with pytest.raises(WeightsError, match="the weights were trained with"):
        load_classifier_weights(good, models, preprocess=PreprocessSpec(image_size=64, mean=0.1))
    with pytest.raises(FileNotFoundError, match="holds no weights"):
        load_classifier_weights(good, models.parent)


def test_completed_run_is_a_bundle_that_tells_what_it_is(models: Path) -> None:
    assert complete_bundle(models.parent)
    content = json.loads((models.parent / "configs" / "metadata.json").read_text(encoding="utf-8"))
    image = content["network_data_format"]["inputs"]["image"]
    pred = content["network_data_format"]["outputs"]["pred"]
    assert image["spatial_shape"] == [64, 64]
    assert list(pred["channel_def"].values()) == list(CLASSES)
    assert (models.parent / "configs" / "inference.json").is_file()


def test_run_without_a_model_is_not_complete_and_nothing_is_written(tmp_path: Path) -> None:
    assert not complete_bundle(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_numbers_of_a_split_are_written_as_they_are_returned(models: Path, phantom: Path, tmp_path: Path) -> None:
    values = evaluate_bundle(models, phantom, output=tmp_path / "metrics.json", limit=6, bootstrap=20)
    assert values["studies"] == 6
    assert json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8")) == values


def test_names_of_findings_are_never_evaluated_and_come_back_with_the_weights(models: Path, tmp_path: Path) -> None:
    # Class names come with the data, and MONAI evaluates what looks like an expression, wherever it stands.
    marker = tmp_path / "evaluated"
    findings = [f"$open({str(marker)!r}, 'w')", "@device", "%configs/train.json", "edema: left", "nodule"]
    assert complete_bundle(models.parent, findings=findings)
    configs = models.parent / "configs"
    parser = ConfigParser()
    parser.read_config(str(configs / "inference.json"))
    parser.read_meta(str(configs / "metadata.json"))
    network = parser.get_parsed_content("network_def")
    assert not marker.exists()
    assert network.classes[1:] == ["_device", "_configs/train.json", "edema_ left", "nodule"]
    load_classifier_weights(network, models)
    assert network.classes == findings


def test_model_without_classes_waits_for_findings_to_be_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    spec, tokenizer = PreprocessSpec(image_size=64), tiny_tokenizer()
    save_model_folder(tmp_path / "models", tiny_place(), preprocess=spec, tokenizer=tokenizer, classes=())
    assert not complete_bundle(tmp_path)
    assert "name the findings" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["models"]
    assert complete_bundle(tmp_path, findings=["nodule"])
    assert bundle_classifier(tmp_path / "models").classes == ["nodule"]


def test_model_elsewhere_gets_its_prompts_and_no_bundle_around_it(models: Path, tmp_path: Path) -> None:
    assert not complete_bundle(tmp_path / "output", model_dir=models)
    assert bundle_classifier(models).classes == list(CLASSES)
    assert not (tmp_path / "output").exists()
