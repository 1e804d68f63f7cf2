"""A decode head of MMSegmentation's kind that the published protocol needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmcv.cnn import ConvModule
from mmengine.registry import MODELS as ROOT_MODELS
from mmseg.models.decode_heads import SETRUPHead
from mmseg.models.utils import Upsample
from torch import nn

from monai_place.registry import MODELS

__all__ = ["TaperedPUPHead"]


@ROOT_MODELS.register_module()
@MODELS.register_module()
class TaperedPUPHead(SETRUPHead):
    """SETR's progressive upsampling with a number of channels of its own at each step.

    MMSegmentation's SETRUPHead has the same everywhere; the published protocol has 512, 256, 128 and 64.

    Args:
        widths: channels behind each convolution, as many as there are steps.
        up_scale: of each step.
        kernel_size: of the convolutions, 1 or 3.
        kwargs: `in_channels`, `num_classes`, `loss_decode`, ... of MMSegmentation's decode heads; not `channels`, which
            are the last of the widths.

    Raises:
        ValueError: there is no width.

    Shape:
        A map (B, E, h, w); returns (B, num_classes or out_channels, h * up_scale ** steps, w * up_scale ** steps).

    Reference:
        Zheng et al., Rethinking semantic segmentation from a sequence-to-sequence perspective with transformers,
        CVPR 2021.
    """

    def __init__(
        self, widths: Sequence[int] = (512, 256, 128, 64), *, up_scale: int = 2, kernel_size: int = 3, **kwargs: Any
    ) -> None:
        if not widths:
            raise ValueError("widths is empty, expected the number of channels of each step")
        super().__init__(num_convs=0, kernel_size=kernel_size, channels=widths[-1], **kwargs)
        width = self.in_channels
        for following in widths:
            convolution = ConvModule(
                width,
                following,
                kernel_size,
                padding=kernel_size // 2,
                norm_cfg=self.norm_cfg,
                act_cfg=self.act_cfg,
            )
            upsample = Upsample(scale_factor=up_scale, mode="bilinear", align_corners=self.align_corners)
            self.up_convs.append(nn.Sequential(convolution, upsample))
            width = following
