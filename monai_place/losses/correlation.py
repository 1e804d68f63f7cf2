"""Correlation exploration (CCE): how much of an image's own patch correlations is not explained."""

from __future__ import annotations

import torch
from torch import nn

from monai_place.losses.gather import gather_across_ranks
from monai_place.losses.precision import at_least_float32

__all__ = ["PatchCorrelationLoss"]


class PatchCorrelationLoss(nn.Module):
    """Unexplained share of the image-specific variance of patch correlations.

    The mean matrix over the global batch is taken out of the target, since it is the same for every report; what
    remains is compared off the diagonal and divided by its own variance, so that 1 is what a constant prediction of
    zero gets and 0 is perfect, at any size and any target.

    Example:
        >>> target = torch.rand(4, 9, 9)
        >>> float(PatchCorrelationLoss()(torch.zeros(4, 9, 9), target).round(decimals=2))
        1.0

    Reference:
        arXiv:2506.10573 (cross-modal correlation exploration); the target and its scale are this project's.
    """

    def forward(
        self, prediction: torch.Tensor, target: torch.Tensor, *, has_text: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the loss, a scalar in at least float32.

        Args:
            prediction: (B, N, N), deviation from the mean matrix.
            target: (B, N, N), without gradient.
            has_text: (B,) bool, false for empty reports, which take no part; None takes all.

        Raises:
            ValueError: the shapes differ.
        """
        if prediction.shape != target.shape or prediction.dim() != 3:
            raise ValueError(
                f"prediction {tuple(prediction.shape)}, target {tuple(target.shape)}: both must be (B, N, N)"
            )
        with torch.autocast(prediction.device.type, enabled=False):
            prediction, target = at_least_float32(prediction), at_least_float32(target.detach())
            keep = torch.ones(len(target), device=target.device) if has_text is None else has_text.float()
            rows = keep.view(-1, 1, 1)
            # Sums travel, not matrices: (1, N, N) and two numbers a rank.
            total = gather_across_ranks((target * rows).sum(dim=0, keepdim=True)).sum(dim=0)  # (N, N)
            number = gather_across_ranks(keep.sum().reshape(1)).sum()
            mean = total / number.clamp(min=1)
            off = 1.0 - torch.eye(target.shape[1], device=target.device)
            error = ((prediction - (target - mean)).square() * off * rows).sum()
            variance = ((target - mean).square() * off * rows).sum()
            error = gather_across_ranks(error.reshape(1)).sum()
            variance = gather_across_ranks(variance.reshape(1)).sum()
            entries = number * off.sum()
            # A batch of one, or of equal images, has no variance to explain: the floor keeps the loss finite.
            return error / (variance + 1e-4 * entries).clamp(min=1e-8)
