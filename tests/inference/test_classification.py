from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, roc_auc_score
from torch import nn

from monai_place.engines import StudyDataset, save_training_state, study_loader
from monai_place.inference.classification import (
    SplitScores,
    build_image_classifier,
    build_probe_head,
    finish_classification,
    measure_splits,
    read_scores,
)
from monai_place.inference.encoders import load_encoder
from monai_place.transforms import StudyCollate

CLASSES = ["edema", "nodule"]


def split(studies: int, seed: int) -> list[dict[str, Any]]:
    generator = np.random.default_rng(seed)
    features = generator.normal(size=(studies, 4))
    labels = (features[:, :2] + generator.normal(size=(studies, 2)) > 0).astype(int).tolist()
    labels[0][1] = None
    return [
        {"id": f"{seed}-{i}", "features": torch.tensor(features[i], dtype=torch.float32), "label": labels[i]}
        for i in range(studies)
    ]


def loader(data: list[dict[str, Any]]) -> Any:
    return study_loader(StudyDataset(data), 8, collate_fn=StudyCollate(stack_keys=["features"]))


@pytest.fixture
def network(tmp_path: Path) -> nn.Linear:
    """Return a network whose best weights are another's, which rank well."""
    best = nn.Linear(4, 2)
    with torch.no_grad():
        best.weight.copy_(torch.eye(2, 4))
        best.bias.copy_(torch.tensor([0.5, -2.0]))
    save_training_state(tmp_path / "best.pt", best.state_dict())
    return nn.Linear(4, 2)


def finish(network: nn.Module, folder: Path, **options: Any) -> dict[str, Any]:
    arguments: dict[str, Any] = {"validation": loader(split(40, 0)), "test": loader(split(30, 1)), "bootstrap": 20}
    finish_classification(
        network, folder / "best.pt", classes=CLASSES, output_dir=folder, key="features", **{**arguments, **options}
    )
    values: dict[str, Any] = json.loads((folder / "metrics.json").read_text())
    return values


def test_a_run_leaves_scores_and_measures_of_its_best_weights(network: nn.Linear, tmp_path: Path) -> None:
    values = finish(network, tmp_path, about={"kind": "linear_probe"})
    assert values["kind"] == "linear_probe"
    assert "Not a medical device" in values["note"]
    scores = read_scores(tmp_path)
    test = split(30, 1)
    assert scores["test"].ids == tuple(record["id"] for record in test)
    logits = torch.stack([record["features"] for record in test])[:, :2] + torch.tensor([0.5, -2.0])
    assert np.allclose(scores["test"].probabilities, logits.sigmoid().numpy(), atol=1e-6)
    assert np.isnan(scores["test"].labels[0, 1])
    for column, name in enumerate(CLASSES):
        known = ~np.isnan(scores["test"].labels[:, column])
        truth, found = scores["test"].labels[known, column], scores["test"].probabilities[known, column]
        assert values["test"]["per_class"][name]["auroc"]["value"] == pytest.approx(roc_auc_score(truth, found))
        threshold = values["test"]["thresholds"]["best_f1"][column]
        assert values["test"]["per_class"][name]["f1"]["value"] == pytest.approx(f1_score(truth, found >= threshold))


def test_thresholds_come_from_validation_and_never_from_the_test(network: nn.Linear, tmp_path: Path) -> None:
    values = finish(network, tmp_path)
    other = finish(network, tmp_path, test=loader(split(25, 5)))
    assert values["test"]["thresholds"] == values["validation"]["thresholds"] == other["test"]["thresholds"]
    changed = finish(network, tmp_path, validation=loader(split(40, 7)))
    assert changed["test"]["thresholds"] != values["test"]["thresholds"]
    scores = read_scores(tmp_path)
    alone = measure_splits({"test": scores["test"]}, bootstrap=5)
    assert alone["test"]["thresholds"] is None
    assert alone["test"]["macro"]["f1"]["value"] is None


def test_without_a_test_split_the_validation_is_measured(network: nn.Linear, tmp_path: Path) -> None:
    values = finish(network, tmp_path, test=None)
    assert "test" not in values
    assert values["validation"]["studies"] == 40


def test_a_run_without_a_finite_validation_has_no_result(network: nn.Linear, tmp_path: Path) -> None:
    (tmp_path / "best.pt").unlink()
    with pytest.raises(FileNotFoundError, match="no validation of this run gave a finite metric"):
        finish(network, tmp_path)
    assert not (tmp_path / "metrics.json").exists()


def test_scores_of_a_split_go_through_json() -> None:
    scores = SplitScores(("a",), np.array([[0.25, 1.0]]), np.array([[np.nan, 1.0]]), ("x", "y"))
    assert json.loads(json.dumps(scores.to_dict(), allow_nan=False))["labels"] == [[None, 1]]


def test_the_head_of_a_probe_standardizes_its_training_features(model_folder: Path) -> None:
    encoder = load_encoder(model_folder)
    data = [{"features": torch.full((48,), float(i)) + torch.arange(48)} for i in range(4)]
    head = build_probe_head(encoder, data, classes=3)
    assert head.mean.tolist() == pytest.approx([1.5 + i for i in range(48)])
    assert head(data[0]["features"][None]).shape == (1, 3)
    plain = build_probe_head(encoder, data, classes=3, standardize=False)
    assert plain.std.tolist() == [1.0] * 48
    assert build_probe_head(encoder, [{"features": torch.rand(5, 24)}], kind="observations", classes=2).attention


def test_a_classifier_of_images_is_the_encoder_with_a_head(model_folder: Path) -> None:
    encoder = load_encoder(model_folder, kinds=["observations"])
    network = build_image_classifier(encoder, kind="observations", classes=4, frozen=True)
    assert network(torch.zeros(1, 1, 64, 64)).shape == (1, 4)
    assert network.frozen
