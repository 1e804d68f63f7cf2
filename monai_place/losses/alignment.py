"""Instance alignment (ITA): an image and its report against all other pairs of the global batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from monai_place.losses.gather import gather_across_ranks
from monai_place.losses.precision import at_least_float32

__all__ = ["GlobalAlignmentLoss"]


class GlobalAlignmentLoss(nn.Module):
    """Symmetric InfoNCE of global embeddings over the global batch.

    A pair whose report is empty takes no part, neither as a positive nor as a negative.

    Example:
        >>> loss = GlobalAlignmentLoss()
        >>> float(loss(torch.eye(2), torch.eye(2), 0.1)) < 1e-3
        True

    Reference:
        Zhang et al., Contrastive learning of medical visual representations from paired images and text (ConVIRT);
        the instance alignment of arXiv:2506.10573.
    """

    def forward(
        self,
        image: torch.Tensor,
        report: torch.Tensor,
        temperature: torch.Tensor | float,
        *,
        has_text: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the loss, a scalar in at least float32.

        Args:
            image: (B, D), unit norm; the rank's part of the global batch.
            report: (B, D), unit norm.
            temperature: tau, positive.
            has_text: (B,) bool, false for empty reports; None takes all.

        Raises:
            ValueError: the shapes differ, or the temperature is a number that is not positive.
        """
        if image.shape != report.shape or image.dim() != 2:
            raise ValueError(f"image {tuple(image.shape)} and report {tuple(report.shape)} must both be (B, D)")
        if not isinstance(temperature, torch.Tensor) and not temperature > 0:
            raise ValueError(f"temperature is {temperature}, expected a positive number")
        with torch.autocast(image.device.type, enabled=False):
            image, report = at_least_float32(image), at_least_float32(report)
            image, report = gather_across_ranks(image), gather_across_ranks(report)
            if has_text is not None:
                keep = gather_across_ranks(has_text.long()).bool()
                image, report = image[keep], report[keep]
            if image.shape[0] == 0:
                # Zero, but connected: every parameter must get a gradient on every rank.
                return (image.sum() + report.sum() + temperature) * 0.0
            logits = image @ report.t() / temperature
            target = torch.arange(len(logits), device=logits.device)
            return (F.cross_entropy(logits, target) + F.cross_entropy(logits.t(), target)) / 2
