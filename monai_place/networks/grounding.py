"""Where in the image a sentence finds its support."""

from __future__ import annotations

import torch

__all__ = ["grounding_maps"]


def grounding_maps(
    sentences: torch.Tensor,
    observations: torch.Tensor,
    attention: torch.Tensor,
    patch_values: torch.Tensor,
    *,
    pick_temperature: float = 0.1,
) -> torch.Tensor:
    """Share of each patch in the score of each sentence, for one image.

    An observation is the attention's mean of patch values, normalized, and a sentence's score is the mean similarity
    of the observations that it picks. Both are linear in the patch values, so the score is exactly the sum over the
    patches of what is returned here: positive where a patch speaks for the sentence, negative where against it.

    Args:
        sentences: T-PORs (S, D), unit norm.
        observations: V-PORs (K, D) of the image, unit norm.
        attention: (K, N).
        patch_values: (N, D).
        pick_temperature: that of training.

    Returns:
        (S, N); the sum over N is the sentence's score.

    Example:
        >>> values = torch.eye(4)[:3]
        >>> attention = torch.tensor([[0.8, 0.1, 0.1]])
        >>> observation = torch.nn.functional.normalize(attention @ values, dim=-1)
        >>> grounding_maps(values[:1], observation, attention, values).argmax().item()
        0

    Reference:
        This project's (docs/method.md); the attention maps of the observation extractor are those of arXiv:2506.10573.
    """
    similarity = sentences @ observations.t()  # (S, K)
    pick = (similarity / pick_temperature).softmax(dim=1)
    length = (attention @ patch_values).norm(dim=1).clamp(min=1e-12)  # (K,)
    weight = (pick / length) @ attention  # (S, N)
    return weight * (sentences @ patch_values.t())
