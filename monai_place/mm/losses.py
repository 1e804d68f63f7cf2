"""The segmentation loss of the published protocols: 10 x focal - log soft Dice."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from mmengine.registry import MODELS as ROOT_MODELS
from torch import nn

from monai_place.losses.precision import at_least_float32
from monai_place.registry import MODELS

__all__ = ["FocalLogDiceLoss"]


@ROOT_MODELS.register_module()
@MODELS.register_module()
class FocalLogDiceLoss(nn.Module):
    """`focal_weight` x focal loss - log(soft Dice), for MMSegmentation's decode heads.

    With probabilities p and targets t of the pixels that count, over the whole batch and for each channel c::

        Dice_c = (2 sum(p t) + smooth) / (sum(p) + sum(t) + smooth)
        loss = focal_weight * mean((1 - p_t)^gamma * cross entropy) - mean over c of log(Dice_c)

    A head of one logit (`num_classes=2, out_channels=1`) tells foreground, label 1, from background; with C logits each
    is a class of its own by `use_sigmoid`, or all share a softmax. Computed in float32 at least, also under autocast.

    Args:
        gamma: how little the pixels count that are right already; 0 makes the focal loss a cross entropy.
        focal_weight: of the focal loss against the Dice.
        smooth: added to the numerator and the denominator of the Dice, above 0: a batch without foreground is finite.
        use_sigmoid: each channel on its own; one logit must have it.
        loss_weight: of the whole.
        loss_name: in the log; it must begin with `loss_` to be part of the gradient.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> target = torch.tensor([[[0, 1], [1, 255]]])
        >>> loss = FocalLogDiceLoss()(torch.tensor([[[[-99.0, 99.0], [99.0, 0.0]]]]), target)
        >>> round(loss.item(), 4)
        0.0

    Reference:
        Lin et al.: Focal Loss for Dense Object Detection, ICCV 2017; Milletari et al.: V-Net, 3DV 2016.
    """

    def __init__(
        self,
        gamma: float = 2.0,
        focal_weight: float = 10.0,
        *,
        smooth: float = 1.0,
        use_sigmoid: bool = True,
        loss_weight: float = 1.0,
        loss_name: str = "loss_focal_dice",
    ) -> None:
        super().__init__()
        if gamma < 0 or focal_weight < 0:
            raise ValueError(f"gamma and focal_weight must be at least 0, got {gamma} and {focal_weight}")
        if not smooth > 0:
            raise ValueError(f"smooth must be above 0, got {smooth}")
        self.gamma = gamma
        self.focal_weight = focal_weight
        self.smooth = smooth
        self.use_sigmoid = use_sigmoid
        self.loss_weight = loss_weight
        self._loss_name = loss_name

    @property
    def loss_name(self) -> str:
        """The name in the log."""
        return self._loss_name

    def forward(
        self,
        pred: torch.Tensor,
        target: torch.Tensor,
        weight: torch.Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
        *,
        ignore_index: int | None = 255,
    ) -> torch.Tensor:
        """Return one number for the batch.

        Args:
            pred: (B, 1 or C, H, W) logits.
            target: (B, H, W) labels.
            weight: (B, H, W) of each pixel, in both parts.
            avg_factor: what the sum of the focal loss is divided by, in place of the number of pixels that count.
            reduction_override: `mean` or None; a Dice over the batch has no value a pixel.
            ignore_index: the label of pixels that do not count.

        Raises:
            ValueError: shapes do not fit, a label has no channel, or the reduction is not `mean`.
        """
        if reduction_override not in (None, "mean"):
            raise ValueError(f"reduction_override must be None or 'mean', got {reduction_override!r}")
        if pred.ndim != 4 or target.shape != (pred.shape[0], *pred.shape[2:]):
            raise ValueError(f"pred is {tuple(pred.shape)}, target {tuple(target.shape)}, expected BCHW and BHW")
        if pred.shape[1] == 1 and not self.use_sigmoid:
            raise ValueError("a softmax over one logit is always 1: use_sigmoid must be true")
        counted = torch.ones_like(target, dtype=torch.bool) if ignore_index is None else target != ignore_index
        target = target.where(counted, 0)
        if not torch.compiler.is_compiling():
            _check_labels(target, pred.shape[1])
        with torch.autocast(pred.device.type, enabled=False):
            logits = at_least_float32(pred)
            pixels = counted.to(logits.dtype)[:, None]  # (B, 1, H, W)
            if weight is not None:
                pixels = pixels * weight.to(logits.dtype)[:, None]
            truth = self.targets(target, pred.shape[1]).to(logits.dtype)
            focal = self.focal(logits, truth) * pixels
            if avg_factor is None:
                elements = counted.sum().clamp(min=1) * focal.shape[1]
                focal_loss = focal.sum() / elements
            else:
                focal_loss = focal.sum() / avg_factor
            log_dice = self.dice(logits, truth, pixels).log().mean()
            return self.loss_weight * (self.focal_weight * focal_loss - log_dice)

    @staticmethod
    def targets(target: torch.Tensor, channels: int) -> torch.Tensor:
        """Turn labels (B, H, W) into (B, C, H, W), true in the channel of the label; one channel is that of label 1."""
        labels = torch.arange(channels, device=target.device) if channels > 1 else target.new_ones(1)
        return target[:, None] == labels[:, None, None]

    def focal(self, logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """Return the focal loss (B, C, H, W) of each channel, or (B, 1, H, W) of a softmax."""
        if self.use_sigmoid:
            signed = logits * (2 * truth - 1)
            return -(F.logsigmoid(-signed) * self.gamma).exp() * F.logsigmoid(signed)
        log_probability = logits.log_softmax(1)
        log_right = (log_probability * truth).sum(1, keepdim=True)
        # 1 - p from the other classes: as a difference it would vanish, and its root have no gradient, where p nears 1.
        log_wrong = log_probability.masked_fill(truth.bool(), -torch.inf).logsumexp(1, keepdim=True)
        return -(log_wrong * self.gamma).exp() * log_right

    def dice(self, logits: torch.Tensor, truth: torch.Tensor, pixels: torch.Tensor) -> torch.Tensor:
        """Return the soft Dice (C,) of each channel over the batch."""
        probability = logits.sigmoid() if self.use_sigmoid else logits.softmax(1)
        both = (probability * truth * pixels).sum((0, 2, 3))
        either = ((probability + truth) * pixels).sum((0, 2, 3))
        return (2 * both + self.smooth) / (either + self.smooth)


def _check_labels(target: torch.Tensor, channels: int) -> None:
    classes = max(channels, 2)
    if target.numel() and (target.amin() < 0 or target.amax() >= classes):
        raise ValueError(
            f"labels run from {int(target.amin())} to {int(target.amax())}, but {channels} logits tell 0..{classes - 1}"
        )
