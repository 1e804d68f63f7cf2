from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from monai_place.engines import StudyDataset, build_adamw, study_loader
from monai_place.engines.labeled import (
    PrepareLabeledBatch,
    build_layer_decay_adamw,
    distribute_classifier,
    layer_decay_groups,
    predict_studies,
)
from monai_place.networks.feature_encoders import PLACEFeatureEncoder
from monai_place.networks.image_classifier import ImageClassifier
from tests.networks.models import small_model
from tests.support.processes import in_group, run_ranks


class Numbers(nn.Module):
    """Takes an image of one pixel and says how large it is, twice."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        assert not self.training
        return (image.flatten(1) * self.scale).repeat(1, 2)


def loader(studies: int = 7) -> Any:
    data = [{"id": str(i), "image": torch.full((1, 1, 1), float(i)), "label": [1, None]} for i in range(studies)]
    return study_loader(StudyDataset(data), 2)


def test_a_batch_is_the_input_and_the_labels() -> None:
    image, label = PrepareLabeledBatch("image")(next(iter(loader())), "cpu")
    assert image.shape == (2, 1, 1, 1)
    assert label[:, 0].tolist() == [1, 1]
    assert label[:, 1].isnan().all()


def test_predictions_stand_in_the_order_of_the_data_and_the_mode_comes_back() -> None:
    network = Numbers().train()
    logits = predict_studies(network, loader())
    assert logits.tolist() == [[float(i)] * 2 for i in range(7)]
    assert network.training


@pytest.mark.dist
def test_predictions_of_two_ranks_are_whole_and_in_order_on_both(tmp_path: Path) -> None:
    run_ranks(predict, tmp_path)
    for rank in (0, 1):
        logits = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert logits.tolist() == [[float(i)] * 2 for i in range(7)]


def predict(rank: int, folder: Path) -> None:
    with in_group(rank, folder):
        network = distribute_classifier(Numbers(), device="cpu")
        torch.save(predict_studies(network, loader()), folder / f"{rank}.pt")


@pytest.fixture
def classifier() -> ImageClassifier:
    return ImageClassifier(PLACEFeatureEncoder(small_model(), ["observations"]), kind="observations", classes=2)


def test_the_rate_falls_from_the_head_to_the_image(classifier: ImageClassifier) -> None:
    groups = layer_decay_groups(classifier, lr=0.1, weight_decay=0.05, layer_decay=0.5)
    rates = {group["name"].partition(".")[0]: group["lr"] for group in groups}
    # Two blocks: embedding, block, block, extractor and norm, head.
    assert rates == pytest.approx({f"layer_0{depth}": 0.1 * 0.5 ** (4 - depth) for depth in range(5)})
    members = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(members) == sorted(id(p) for p in classifier.parameters()), "each in exactly one group"
    assert {group["weight_decay"] for group in groups if group["name"].endswith("no_decay")} == {0.0}


def test_without_decay_it_is_the_plain_optimizer(classifier: ImageClassifier) -> None:
    flat = build_layer_decay_adamw(classifier, lr=0.1, layer_decay=1.0)
    plain = build_adamw(classifier, lr=0.1)
    settings = [
        {id(p): (group["lr"], group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]}
        for optimizer in (flat, plain)
    ]
    assert settings[0] == settings[1]


def test_a_frozen_encoder_has_no_group() -> None:
    frozen = ImageClassifier(PLACEFeatureEncoder(small_model(), ["global"]), classes=2, frozen=True)
    assert {group["name"] for group in build_layer_decay_adamw(frozen).param_groups} == {
        "layer_04.decay",
        "layer_04.no_decay",
    }


@pytest.mark.parametrize("rate", [0.0, 1.1])
def test_a_rate_out_of_range_is_refused(classifier: ImageClassifier, rate: float) -> None:
    with pytest.raises(ValueError, match=r"layer_decay must be in \(0, 1\]"):
        build_layer_decay_adamw(classifier, layer_decay=rate)


def test_a_network_without_layers_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Linear has no layer_depth\(name\)"):
        build_layer_decay_adamw(nn.Linear(2, 1))
