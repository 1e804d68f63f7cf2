"""Which parameters decay, and which learn at another rate."""

from __future__ import annotations

import pytest
import torch
from monai.bundle import ConfigParser
from torch import nn

from monai_place.engines import build_adamw, parameter_groups
from tests.support.models import tiny_place


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(4, 4)  # a projection: decays, though it is called query
        self.mixer = nn.MultiheadAttention(4, 2)


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cls_token = nn.Parameter(torch.zeros(1, 1, 4))
        self.pos_embed = nn.Parameter(torch.zeros(1, 5, 4))
        self.told = nn.Parameter(torch.zeros(2, 4))
        self.norm = nn.LayerNorm(4)
        self.attention = Attention()

    def no_weight_decay(self) -> set[str]:
        return {"told"}


class Whole(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.position_embeddings = nn.Embedding(6, 4)
        self.word_embeddings = nn.Embedding(20, 4)
        self.queries = nn.Parameter(torch.zeros(3, 4))
        self.log_temperature = nn.Parameter(torch.zeros(1, 1))
        self.frozen = nn.Linear(4, 4).requires_grad_(False)


DECAY = {
    "encoder.attention.query.weight",
    "encoder.attention.mixer.in_proj_weight",
    "encoder.attention.mixer.out_proj.weight",
    "word_embeddings.weight",
}


def names(network: nn.Module, parameters: list[nn.Parameter]) -> set[str]:
    table = {id(parameter): name for name, parameter in network.named_parameters()}
    return {table[id(parameter)] for parameter in parameters}


def test_matrices_decay_and_nothing_else() -> None:
    network = Whole()
    groups = parameter_groups(network, lr=1e-3, weight_decay=0.1)
    found = {group["name"]: names(network, group["params"]) for group in groups}
    assert found["base.decay"] == DECAY
    trainable = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert found["base.no_decay"] == trainable - DECAY
    assert {group["name"]: group["weight_decay"] for group in groups} == {"base.decay": 0.1, "base.no_decay": 0.0}


def test_the_longest_prefix_sets_the_rate_and_each_parameter_is_in_one_group() -> None:
    network = Whole()
    groups = parameter_groups(
        network, lr=1e-3, weight_decay=0.1, lr_multipliers={"encoder": 0.1, "encoder.attention": 0.5}
    )
    rates = {group["name"]: group["lr"] for group in groups}
    assert rates["encoder.attention.decay"] == pytest.approx(5e-4)
    assert rates["encoder.no_decay"] == pytest.approx(1e-4)
    assert rates["base.decay"] == pytest.approx(1e-3)
    parameters = [parameter for group in groups for parameter in group["params"]]
    assert len(parameters) == len({id(parameter) for parameter in parameters})
    assert names(network, parameters) == {n for n, p in network.named_parameters() if p.requires_grad}


def test_a_prefix_is_whole_parts_of_a_name() -> None:
    with pytest.raises(ValueError, match=r"lr_multipliers \['enc'\] fit no parameter; names begin with \['encoder'"):
        parameter_groups(Whole(), lr=1e-3, weight_decay=0.1, lr_multipliers={"enc": 0.1})


def test_weight_decay_moves_the_matrices_only() -> None:
    network = Whole()
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    build_adamw(network, lr=0.1, weight_decay=0.5).step()
    moved = {name for name, parameter in network.named_parameters() if not torch.equal(parameter, before[name])}
    assert moved == DECAY


def test_place_is_sorted_as_its_parts_want() -> None:
    network = tiny_place(correlation_mask_ratio=0.5)
    groups = parameter_groups(network, lr=1e-3, weight_decay=0.1)
    found = {group["name"]: names(network, group["params"]) for group in groups}
    free = {name for name in found["base.no_decay"] if network.get_parameter(name).ndim > 1}
    assert {"extractor.queries", "correlation_head.position", "correlation_head.mask_token"} <= free
    assert "report_encoder.bert.embeddings.position_embeddings.weight" in free or any("position" in n for n in free)
    assert not any(word in name for name in found["base.decay"] for word in ("norm", "bias", "pos_embed", "_token"))
    trainable = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert found["base.decay"] | found["base.no_decay"] == trainable


def test_a_bundle_can_build_it() -> None:
    config = {
        "network": {"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 1},
        "optimizer": {
            "_target_": "monai_place.engines.build_adamw",
            "network": "@network",
            "lr": 0.01,
            "betas": [0.9, 0.95],
        },
        "scheduler": {
            "_target_": "monai_place.engines.build_warmup_cosine",
            "optimizer": "@optimizer",
            "warmup_steps": 2,
            "total_steps": 10,
        },
    }
    scheduler = ConfigParser(config).get_parsed_content("scheduler")
    assert scheduler.get_last_lr() == [0.005, 0.005]
    assert scheduler.optimizer.param_groups[0]["betas"] == (0.9, 0.95)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param({"lr": 0.0, "weight_decay": 0.1}, "lr must be positive", id="lr"),
        pytest.param({"lr": 0.1, "weight_decay": -1.0}, "weight_decay at least 0", id="decay"),
        pytest.param(
            {"lr": 0.1, "weight_decay": 0.1, "lr_multipliers": {"encoder": 0.0}}, "freeze parameters", id="multiplier"
        ),
    ],
)
def test_numbers_out_of_range_are_refused(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parameter_groups(Whole(), **arguments)  # type: ignore[arg-type]


def test_a_frozen_network_has_nothing_to_train() -> None:
    with pytest.raises(ValueError, match="no trainable parameters"):
        build_adamw(nn.Linear(2, 1).requires_grad_(False))
