"""The embedded prompts of a zero-shot classifier, as buffers that travel with the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

__all__ = ["PromptBank"]


class PromptBank(nn.Module):
    """Compares an image with the positive and the negative prompts of each finding.

    An instance made from sizes is empty; its state dict brings the rest. It can be scripted.

    Args:
        classes: C, number of findings.
        positive_prompts: room for prompts per finding, P.
        negative_prompts: the same for the negative ones.
        joint_dim: D.

    Example:
        >>> bank = PromptBank(2, positive_prompts=3, negative_prompts=1, joint_dim=4)
        >>> bank.global_scores(torch.ones(5, 4)).shape
        torch.Size([5, 2])
    """

    if TYPE_CHECKING:  # TorchScript does not read annotations that are text
        positive_reports: torch.Tensor
        positive_sentences: torch.Tensor
        positive_mask: torch.Tensor
        negative_reports: torch.Tensor
        negative_sentences: torch.Tensor
        negative_mask: torch.Tensor
        global_temperature: torch.Tensor
        local_temperature: torch.Tensor
        pick_temperature: torch.Tensor

    def __init__(self, classes: int, *, positive_prompts: int, negative_prompts: int, joint_dim: int) -> None:
        super().__init__()
        for kind, count in (("positive", positive_prompts), ("negative", negative_prompts)):
            shape = (classes, count, joint_dim)
            self.register_buffer(f"{kind}_reports", torch.zeros(shape))
            self.register_buffer(f"{kind}_sentences", torch.zeros(shape))
            self.register_buffer(f"{kind}_mask", torch.zeros(shape[:2], dtype=torch.bool))
        for name in ("global_temperature", "local_temperature", "pick_temperature"):
            self.register_buffer(name, torch.tensor(1.0))

    @torch.jit.export
    def global_scores(self, embedding: torch.Tensor) -> torch.Tensor:
        """Compare global embeddings (B, D) with the bank -> (B, C)."""
        positive = self._averaged(self._global(embedding, self.positive_reports), self.positive_mask)
        negative = self._averaged(self._global(embedding, self.negative_reports), self.negative_mask)
        return (positive - negative) / self.global_temperature

    @torch.jit.export
    def local_scores(self, observations: torch.Tensor) -> torch.Tensor:
        """Compare observations (B, K, D) with the bank -> (B, C)."""
        positive = self._averaged(self._local(observations, self.positive_sentences), self.positive_mask)
        negative = self._averaged(self._local(observations, self.negative_sentences), self.negative_mask)
        return (positive - negative) / self.local_temperature

    def _global(self, embedding: torch.Tensor, prompts: torch.Tensor) -> torch.Tensor:
        """Cosine of each image (B, D) with each prompt (C, P, D) -> (B, C, P)."""
        return torch.einsum("bd,cpd->bcp", embedding, prompts)

    def _local(self, observations: torch.Tensor, prompts: torch.Tensor) -> torch.Tensor:
        """Picked cosine of each image's observations (B, K, D) with each prompt (C, P, D) -> (B, C, P).

        The formula is that of `monai_place.losses.observation_scores`, written so that it can be scripted.
        """
        similarity = torch.einsum("bkd,cpd->bcpk", observations, prompts)
        return ((similarity / self.pick_temperature).softmax(dim=-1) * similarity).sum(dim=-1)

    def _averaged(self, cosines: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Mean over the prompts that are there: (B, C, P) and (C, P) -> (B, C)."""
        weight = mask.to(cosines.dtype)
        return (cosines * weight).sum(dim=-1) / weight.sum(dim=-1).clamp(min=1.0)
