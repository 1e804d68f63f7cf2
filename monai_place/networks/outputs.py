"""What the networks return: frozen dataclasses with named fields.

Letters: B studies, N patches, T tokens, S sentences, K pathology queries, D joint features, E encoder features.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

__all__ = ["CorrelationOutput", "ImageFeatures", "PLACEOutput", "ReportFeatures"]


@dataclass(frozen=True)
class ImageFeatures:
    """What a model sees in a batch of images.

    Args:
        global_embedding: (B, D), unit norm.
        patch_tokens: (B, N, E), last block.
        observations: V-PORs (B, K, D), unit norm.
        attention: (B, K, N), rows sum to 1: where each observation comes from.
        patch_values: (B, N, D): an observation is the attention's mean of these, normalized; so the part that each
            patch has in a score can be told exactly.
        grid: rows and columns of the patches, N = rows * columns.
    """

    global_embedding: torch.Tensor
    patch_tokens: torch.Tensor
    observations: torch.Tensor
    attention: torch.Tensor
    patch_values: torch.Tensor
    grid: tuple[int, int]


@dataclass(frozen=True)
class ReportFeatures:
    """What a model reads in a batch of reports.

    Args:
        global_embedding: (B, D), unit norm.
        sentence_embeddings: T-PORs (B, S, D), unit norm; zero rows where a report has fewer sentences.
        sentence_mask: (B, S), true where there is a sentence.
        token_states: (B, T, E).
        attention_mask: (B, T), true where there is a token.
    """

    global_embedding: torch.Tensor
    sentence_embeddings: torch.Tensor
    sentence_mask: torch.Tensor
    token_states: torch.Tensor
    attention_mask: torch.Tensor

    @property
    def has_text(self) -> torch.Tensor:
        """(B,) true where a report has at least one sentence; the others take no part in the text losses."""
        return self.sentence_mask.any(dim=1)


@dataclass(frozen=True)
class CorrelationOutput:
    """Predicted and true correlations among the patches of each image.

    Args:
        prediction: (B, N, N), symmetric: the deviation from the mean matrix over the images.
        target: (B, N, N), no gradient: the correlations themselves.
    """

    prediction: torch.Tensor
    target: torch.Tensor


@dataclass(frozen=True)
class PLACEOutput:
    """All that the losses need from one forward pass.

    Args:
        image: features of the images.
        report: features of the reports.
        sentence_keys: (B, S) int64; equal numbers mean equal sentences, -1 where there is none.
        temperature: tau of the global alignment, a scalar.
        correlation: None where the model has no correlation head.
        image_correlation: predicted by the image's tokens alone; None where the model has no such head.
    """

    image: ImageFeatures
    report: ReportFeatures
    sentence_keys: torch.Tensor
    temperature: torch.Tensor
    correlation: CorrelationOutput | None
    image_correlation: CorrelationOutput | None = None
