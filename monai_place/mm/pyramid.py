"""Feature pyramid for a plain ViT: every level is made of the last map alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from mmengine.registry import MODELS as ROOT_MODELS
from timm.layers import LayerNorm2d
from torch import nn

from monai_place.registry import MODELS

__all__ = ["PLACEPyramid"]


@ROOT_MODELS.register_module()
@MODELS.register_module()
class PLACEPyramid(BaseModule):
    """Simple feature pyramid: maps at several strides from the last map of a plain ViT.

    It is the neck of FPN-style heads, and the first of two necks for YOLOv3
    (`neck=[dict(type='PLACEPyramid', ...), dict(type='YOLOV3Neck', ...)]`).

    Args:
        in_channels: E of the backbone.
        out_channels: of every level: one number, or one per stride.
        strides: of the levels in pixels, patch size times a power of two: 4, 8, 16, 32, 64 by choice at patches of 16.
        patch_size: p of the backbone.
        norm_cfg: as in mmcv, such as `dict(type='BN')`; None takes a layer norm over channels, as the source does.
        init_cfg: as in MMEngine.

    Raises:
        ValueError: a stride cannot be reached, the numbers of channels and strides differ, or an image is smaller than
            a stride.

    Shape:
        A tuple of maps, the last of them (B, E, h, w); returns a tuple of (B, out, H / stride, W / stride). A stride of
        32 or 64 rounds down where the grid is odd; padding the image to a multiple avoids it.

    Example:
        >>> neck = PLACEPyramid(8, 4, strides=(8, 16, 32))
        >>> [tuple(level.shape) for level in neck((torch.zeros(1, 8, 6, 4),))]
        [(1, 4, 12, 8), (1, 4, 6, 4), (1, 4, 3, 2)]

    Reference:
        Li et al., Exploring plain vision transformer backbones for object detection, ECCV 2022, section 3.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int | Sequence[int] = 256,
        strides: Sequence[int] = (4, 8, 16, 32),
        patch_size: int = 16,
        norm_cfg: Mapping[str, Any] | None = None,
        init_cfg: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        widths = [out_channels] * len(strides) if isinstance(out_channels, int) else list(out_channels)
        if len(widths) != len(strides) or not strides:
            raise ValueError(f"out_channels has {len(widths)} entries for {len(strides)} strides; expected one each")
        self.coarsest = max(1, max(strides) // patch_size)  # in patches
        self.levels = nn.ModuleList(
            _level(in_channels, width, _steps(stride, patch_size), norm_cfg)
            for stride, width in zip(strides, widths, strict=True)
        )

    def forward(self, maps: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Return one map per stride.

        Raises:
            ValueError: the last map is smaller than the largest stride.
        """
        rows, columns = maps[-1].shape[2:]
        if min(rows, columns) < self.coarsest:
            raise ValueError(
                f"the last map has {rows} x {columns} patches, and the largest of the strides spans {self.coarsest}; "
                "expected a larger image (pad_size_divisor of the data preprocessor), or smaller strides"
            )
        return tuple(level(maps[-1]) for level in self.levels)


def _steps(stride: int, patch_size: int) -> int:
    """Return how often to double the resolution; negative: to halve it."""
    steps = math.log2(patch_size / stride) if stride > 0 else math.nan
    if not steps.is_integer():
        raise ValueError(f"strides has {stride}, expected patch_size {patch_size} times or by a power of two")
    return int(steps)


def _level(in_channels: int, out_channels: int, steps: int, norm_cfg: Mapping[str, Any] | None) -> nn.Sequential:
    layers: list[nn.Module] = []
    width = in_channels
    for step in range(max(steps, 0)):
        half = max(width // 2, 1)
        layers.append(nn.ConvTranspose2d(width, half, 2, stride=2))
        if step + 1 < steps:
            layers += [_norm(half, norm_cfg), nn.GELU()]
        width = half
    layers += [nn.MaxPool2d(2) for _ in range(-steps)]
    layers += [
        nn.Conv2d(width, out_channels, 1, bias=False),
        _norm(out_channels, norm_cfg),
        nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False),
        _norm(out_channels, norm_cfg),
    ]
    return nn.Sequential(*layers)


def _norm(width: int, norm_cfg: Mapping[str, Any] | None) -> nn.Module:
    if norm_cfg is None:
        return LayerNorm2d(width)
    from mmcv.cnn import build_norm_layer

    return build_norm_layer(dict(norm_cfg), width)[1]
