from __future__ import annotations

import pytest
import torch

import monai_place.mm  # noqa: F401

pytest.importorskip("mmseg")

from mmengine.registry import MODELS as ROOT_MODELS
from torch import nn

from monai_place.mm.segmentation import TaperedPUPHead
from monai_place.registry import MODELS

CONFIG = {
    "in_channels": 24,
    "num_classes": 2,
    "out_channels": 1,
    "threshold": 0.5,
    "norm_cfg": {"type": "BN"},
    "loss_decode": {"type": "monai_place.FocalLogDiceLoss"},
}


def test_each_step_doubles_the_map_and_has_its_own_width() -> None:
    head = TaperedPUPHead(widths=(16, 8, 4), **CONFIG).eval()
    with torch.no_grad():
        logits = head([torch.randn(2, 24, 3, 5)])
    assert logits.shape == (2, 1, 24, 40)
    widths = [module.out_channels for module in head.up_convs.modules() if isinstance(module, nn.Conv2d)]
    assert widths == [16, 8, 4]


def test_the_protocols_widths_are_the_default() -> None:
    head = TaperedPUPHead(**CONFIG)
    assert [module.out_channels for module in head.up_convs.modules() if isinstance(module, nn.Conv2d)] == [
        512,
        256,
        128,
        64,
    ]
    assert head.conv_seg.in_channels == 64


@pytest.mark.parametrize("registry", [MODELS, ROOT_MODELS])
def test_a_config_finds_the_head(registry: object) -> None:
    assert isinstance(registry.build({"type": "TaperedPUPHead", "widths": (4,), **CONFIG}), TaperedPUPHead)


def test_a_head_without_a_step_is_refused() -> None:
    with pytest.raises(ValueError, match="widths is empty"):
        TaperedPUPHead(widths=(), **CONFIG)
