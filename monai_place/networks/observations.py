"""Visual Pathology Observation Extractor (VPOE): learnable queries draw observations from image tokens."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["ObservationExtractor"]


class ObservationExtractor(nn.Module):
    """K pathology queries look at the patch tokens and return K observations with their places.

    The queries are refined by decoder layers (self-attention, cross-attention to the patch tokens, feed-forward) and
    then read out once: an observation is the attention's mean of projected patch values, with nothing of the query
    added. So it cannot be a constant of its slot, and its attention is where it comes from.

    Args:
        token_dim: E, features of the patch tokens.
        joint_dim: D.
        queries: K.
        depth: L, decoder layers before the read-out.
        heads: attention heads of these layers.
        slot_competition: the queries first share out each patch among them, as in slot attention.
        attention_temperature: divides the cosines of queries and keys in the read-out.
        local_keys: the read-out's keys come from `values`, not from `tokens`.

    Raises:
        ValueError: the heads do not share out the token features.

    Shape:
        - tokens: (B, N, E), values: (B, N, E)
        - result: observations (B, K, D) with unit norm, attention (B, K, N), patch values (B, N, D)

    Example:
        >>> extractor = ObservationExtractor(32, 16, queries=4, heads=2)
        >>> [tuple(part.shape) for part in extractor(torch.rand(2, 9, 32), torch.rand(2, 9, 32))]
        [(2, 4, 16), (2, 4, 9), (2, 9, 16)]

    Reference:
        Wang et al., arXiv:2506.10573: VPOE. The read-out is this project's (docs/method.md); competition after
        Locatello et al., Object-centric learning with slot attention, NeurIPS 2020.
    """

    def __init__(
        self,
        token_dim: int,
        joint_dim: int,
        *,
        queries: int = 16,
        depth: int = 1,
        heads: int = 4,
        slot_competition: bool = False,
        attention_temperature: float = 0.1,
        local_keys: bool = False,
    ) -> None:
        super().__init__()
        if token_dim % heads:
            raise ValueError(f"heads is {heads}, expected a divisor of the token features ({token_dim})")
        self.slot_competition = slot_competition
        self.local_keys = local_keys
        self.attention_temperature = attention_temperature
        self.queries = nn.Parameter(torch.randn(queries, token_dim) * 0.5)
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(
                token_dim, heads, 4 * token_dim, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(depth)
        )
        self.query_norm = nn.LayerNorm(token_dim)
        self.to_query = nn.Linear(token_dim, token_dim)
        self.to_key = nn.Sequential(nn.LayerNorm(token_dim), nn.Linear(token_dim, token_dim))
        self.to_value = nn.Sequential(
            nn.LayerNorm(token_dim),
            nn.Linear(token_dim, token_dim),
            nn.GELU(),
            nn.Linear(token_dim, joint_dim, bias=False),
        )

    def forward(self, tokens: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Return observations, attention and patch values; shapes as in the class."""
        query = self.queries.unsqueeze(0).expand(tokens.shape[0], -1, -1)  # (K, E) -> (B, K, E)
        for layer in self.layers:
            query = layer(query, tokens)
        query = F.normalize(self.to_query(self.query_norm(query)).float(), dim=-1)
        key = F.normalize(self.to_key(values if self.local_keys else tokens).float(), dim=-1)
        logits = (query @ key.transpose(1, 2)).float() / self.attention_temperature  # (B, K, N)
        if self.slot_competition:
            attention = logits.softmax(dim=1) + 1e-6
            attention = attention / attention.sum(dim=2, keepdim=True)
        else:
            attention = logits.softmax(dim=2)
        patch_values = self.to_value(values).float()  # (B, N, D)
        observations = F.normalize((attention @ patch_values).float(), dim=-1)
        return observations, attention, patch_values
