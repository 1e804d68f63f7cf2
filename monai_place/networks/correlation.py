"""Correlation exploration (CCE): predict the correlations among an image's patches, given the report."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

__all__ = ["CorrelationHead", "TokenCorrelationHead", "feature_correlation", "pixel_correlation"]


def pixel_correlation(image: torch.Tensor, patch_size: int, *, eps: float = 1e-4) -> torch.Tensor:
    """Correlation of the pixels of each pair of patches, in float32, without gradient.

    Args:
        image: (B, C, H, W); H and W are multiples of `patch_size`.
        patch_size: p, in pixels.
        eps: added to the variance; a constant patch (padding) correlates with nothing, itself included.

    Returns:
        (B, N, N) with values in [-1, 1].
    """
    with torch.no_grad():
        patches = F.unfold(image.detach().float(), patch_size, stride=patch_size).transpose(1, 2)  # (B, N, C*p*p)
        return _correlation(patches, eps)


def feature_correlation(tokens: torch.Tensor, *, eps: float = 1e-6) -> torch.Tensor:
    """Correlation of the features of each pair of patch tokens (B, N, E) -> (B, N, N), float32, without gradient."""
    with torch.no_grad():
        return _correlation(tokens.detach().float(), eps)


def _correlation(rows: torch.Tensor, eps: float) -> torch.Tensor:
    with torch.autocast(rows.device.type, enabled=False):  # a product of float32 is cast down under autocast
        return _standard_products(rows, eps)


def _standard_products(rows: torch.Tensor, eps: float) -> torch.Tensor:
    centered = rows - rows.mean(dim=2, keepdim=True)
    standard = centered * torch.rsqrt(centered.square().mean(dim=2, keepdim=True) + eps)
    return standard @ standard.transpose(1, 2) / rows.shape[2]


class CorrelationHead(nn.Module):
    """Patch tokens read the report by cross-attention and predict how the patches correlate.

    What is predicted is the deviation from the mean correlation matrix, since the mean is the same for every image
    and every report.

    Args:
        token_dim: features E of the patch tokens.
        report_dim: features of the report's token states.
        dim: width of the head.
        patches: N, for the position embedding of hidden patches.
        depth: decoder layers.
        heads: attention heads.
        mask_ratio: share of the patch tokens that are hidden, so that the report has something to add: at random in
            training, always the same ones in evaluation, where what is measured must be what was trained.

    Raises:
        ValueError: the heads do not share out the width.

    Shape:
        - tokens: (B, N, E), token_states: (B, T, R), attention_mask: (B, T)
        - result: (B, N, N), symmetric

    Example:
        >>> head = CorrelationHead(32, 24, dim=16, patches=9, heads=2)
        >>> head(torch.rand(2, 9, 32), torch.rand(2, 5, 24), torch.ones(2, 5, dtype=torch.bool)).shape
        torch.Size([2, 9, 9])

    Reference:
        Wang et al., arXiv:2506.10573: cross-modal correlation exploration. The target and the head are this project's
        (docs/method.md).
    """

    def __init__(
        self,
        token_dim: int,
        report_dim: int,
        *,
        dim: int = 128,
        patches: int,
        depth: int = 1,
        heads: int = 4,
        mask_ratio: float = 0.0,
    ) -> None:
        super().__init__()
        if dim % heads:
            raise ValueError(f"heads is {heads}, expected a divisor of the width ({dim})")
        self.mask_ratio = mask_ratio
        self.from_patch = nn.Sequential(nn.LayerNorm(token_dim), nn.Linear(token_dim, dim))
        self.from_report = nn.Sequential(nn.LayerNorm(report_dim), nn.Linear(report_dim, dim))
        self.position = nn.Parameter(torch.randn(1, patches, dim) * 0.02)
        # The mask token gets no gradient where nothing is masked, so it exists only where something is.
        self.mask_token = nn.Parameter(torch.zeros(1, 1, dim)) if mask_ratio > 0 else None
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(
                dim, heads, 2 * dim, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
            )
            for _ in range(depth)
        )
        self.norm = nn.LayerNorm(dim)
        self.left = nn.Linear(dim, dim)
        self.right = nn.Linear(dim, dim)

    def forward(self, tokens: torch.Tensor, token_states: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Return the predicted deviation from the mean correlation; shapes as in the class."""
        patch = self.from_patch(tokens)
        if self.mask_token is not None:
            hidden = self._hidden(patch) < self.mask_ratio  # (B, N)
            patch = torch.where(hidden.unsqueeze(-1), self.mask_token.to(patch.dtype), patch)
        patch = patch + self.position
        memory = self.from_report(token_states)
        for layer in self.layers:
            patch = layer(patch, memory, memory_key_padding_mask=~attention_mask)
        patch = self.norm(patch)
        return _symmetric_products(self.left(patch), self.right(patch))

    def _hidden(self, patch: torch.Tensor) -> torch.Tensor:
        """Draw a number in [0, 1) for each patch (B, N)."""
        if self.training:
            return torch.rand(patch.shape[:2], device=patch.device)
        # One draw for all studies: what is measured of a study must not depend on its place in the batch.
        fixed = torch.Generator().manual_seed(0)
        return torch.rand(patch.shape[1], generator=fixed).to(patch.device).expand(patch.shape[:2])


class TokenCorrelationHead(nn.Module):
    """Patch tokens alone predict how the patches correlate: no report, no layer, nothing hidden.

    `CorrelationHead` sees next to nothing of the image, so that it reads the report; it teaches the blocks of the image
    encoder nothing. This head teaches them: the last block's tokens have to keep what tells one patch from another.

    Args:
        token_dim: features E of the patch tokens.
        dim: width of the head.

    Shape:
        - tokens: (B, N, E)
        - result: (B, N, N), symmetric

    Reference:
        This project's (docs/method.md, trial P).
    """

    def __init__(self, token_dim: int, *, dim: int = 128) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(token_dim)
        self.left = nn.Linear(token_dim, dim)
        self.right = nn.Linear(token_dim, dim)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Return the predicted deviation from the mean correlation."""
        tokens = self.norm(tokens)
        return _symmetric_products(self.left(tokens), self.right(tokens))


def _symmetric_products(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return the mean product of features of each pair, in float32: (B, N, D), (B, N, D) -> (B, N, N)."""
    with torch.autocast(left.device.type, enabled=False):
        product = left.float() @ right.float().transpose(1, 2) / left.shape[2]
    return (product + product.transpose(1, 2)) / 2
