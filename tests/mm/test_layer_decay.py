"""Layer-wise decay of the learning rate: by real optimizers over a whole segmentor."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from monai_place.mm import PLACEViT


class Segmentor(nn.Module):
    """A backbone with something on top."""

    def __init__(self, **options: Any) -> None:
        super().__init__()
        kwargs = {"embed_dim": 24, "depth": 2, "num_heads": 2}
        self.backbone: nn.Module = PLACEViT("place_tiny", img_size=32, arch_kwargs=kwargs, **options)
        self.head = nn.Conv2d(24, 2, 1)


def build(model: nn.Module, **paramwise: Any) -> torch.optim.Optimizer:
    config = {
        "optimizer": {"type": "AdamW", "lr": 1.0, "weight_decay": 0.05},
        "constructor": "monai_place.PLACELayerDecayConstructor",
        "paramwise_cfg": paramwise,
    }
    return build_optim_wrapper(model, config).optimizer


def test_rates_decay_from_the_head_to_the_image() -> None:
    model = Segmentor()
    by_parameter = {
        id(parameter): (group["lr"], group["weight_decay"])
        for group in build(model, layer_decay_rate=0.5).param_groups
        for parameter in group["params"]
    }
    vit = model.backbone.vit
    found = [
        by_parameter[id(parameter)]
        for parameter in (
            vit.pos_embed,
            vit.patch_embed.proj.layers[0].weight,
            vit.blocks[0].attn.qkv.weight,
            vit.blocks[0].attn.qkv.bias,
            vit.blocks[1].mlp.fc1.weight,
            vit.norm.weight,
            model.head.weight,
        )
    ]
    # two blocks: layers 0 to 3, the head in the last; embeddings, norms and biases take no weight decay
    assert found == [(0.125, 0), (0.125, 0.05), (0.25, 0.05), (0.25, 0), (0.5, 0.05), (1, 0), (1, 0.05)]
    assert len(by_parameter) == len(list(model.parameters()))


def test_frozen_parameters_are_left_out() -> None:
    model = Segmentor(frozen_stages=2)
    groups = build(model, layer_decay_rate=0.5).param_groups
    assert sum(len(group["params"]) for group in groups) == len(list(model.head.parameters()))


@pytest.mark.parametrize(
    "paramwise", [{"layer_decay_rate": 0}, {"layer_decay_rate": 1.5}, {"decay": 0.5}, {"layer_decay_rate": 0.5, "x": 1}]
)
def test_bad_options_raise(paramwise: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"expected dict\(layer_decay_rate=...\)"):
        build(Segmentor(), **paramwise)


def test_optimizer_without_a_rate_is_told() -> None:
    config = {
        "optimizer": {"type": "AdamW"},
        "constructor": "monai_place.PLACELayerDecayConstructor",
        "paramwise_cfg": {"layer_decay_rate": 0.5},
    }
    with pytest.raises(ValueError, match="optimizer has lr None, expected the rate of the last layer"):
        build_optim_wrapper(Segmentor(), config)


def test_backbone_that_does_not_tell_its_depths_is_named() -> None:
    model = Segmentor()
    model.backbone = nn.Conv2d(1, 1, 1)
    with pytest.raises(TypeError, match=r"Segmentor\.backbone is Conv2d, without get_layer_depth"):
        build(model, layer_decay_rate=0.5)
