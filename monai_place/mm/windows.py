"""Windowed attention for large images: tokens are cut into windows, and the same blocks run within each.

The letters: B images, E features, P prefix tokens (class token, registers), h w patches, s side of a window.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

__all__ = ["WindowGrid", "default_global_blocks"]


@dataclass(frozen=True)
class WindowGrid:
    """How a grid of patches is cut into windows.

    Every window gets a copy of the prefix tokens; at the end of a windowed stretch the copies are averaged. So one
    window that covers the image is attention over the whole image, exactly.

    Args:
        rows: h.
        columns: w.
        side: s, in patches.
        prefix: P.

    Reference:
        Li et al., Exploring plain vision transformer backbones for object detection, ECCV 2022, section 3. There the
        prefix tokens are dropped and padding takes part in the attention; here neither.
    """

    rows: int
    columns: int
    side: int
    prefix: int

    @property
    def windows(self) -> tuple[int, int]:
        """Rows and columns of windows."""
        return -(-self.rows // self.side), -(-self.columns // self.side)

    @property
    def padding(self) -> tuple[int, int]:
        """Rows and columns of patches to add, at the bottom and to the right."""
        down, across = self.windows
        return down * self.side - self.rows, across * self.side - self.columns

    def split(self, tokens: torch.Tensor) -> torch.Tensor:
        """Cut (B, P + h w, E) into (B windows, P + s s, E)."""
        batch, _, width = tokens.shape
        prefix, patches = tokens[:, : self.prefix], tokens[:, self.prefix :]
        (down, across), (below, right) = self.windows, self.padding
        grid = F.pad(patches.reshape(batch, self.rows, self.columns, width), (0, 0, 0, right, 0, below))
        grid = grid.reshape(batch, down, self.side, across, self.side, width).transpose(2, 3)
        cut = grid.reshape(batch * down * across, self.side**2, width)  # (B windows, s s, E)
        copies = prefix.repeat_interleave(down * across, dim=0)  # (B windows, P, E)
        return torch.cat([copies, cut], dim=1)

    def join(self, tokens: torch.Tensor) -> torch.Tensor:
        """Undo `split`: the padding is cut off, the copies of the prefix tokens are averaged."""
        down, across = self.windows
        batch, width = tokens.shape[0] // (down * across), tokens.shape[2]
        prefix = tokens[:, : self.prefix].reshape(batch, down * across, self.prefix, width).mean(dim=1)
        grid = tokens[:, self.prefix :].reshape(batch, down, across, self.side, self.side, width).transpose(2, 3)
        grid = grid.reshape(batch, down * self.side, across * self.side, width)[:, : self.rows, : self.columns]
        return torch.cat([prefix, grid.reshape(batch, self.rows * self.columns, width)], dim=1)

    def mask(self, batch: int, device: torch.device) -> torch.Tensor | None:
        """Return which tokens of a window are real, (B windows, 1, 1, P + s s); None where nothing is padded."""
        if self.padding == (0, 0):
            return None
        patches = torch.ones(1, self.rows * self.columns, 1, device=device)
        prefix = torch.ones(1, self.prefix, 1, device=device)
        real = self.split(torch.cat([prefix, patches], dim=1))[..., 0] > 0  # (windows, P + s s)
        return real.repeat(batch, 1)[:, None, None]


def default_global_blocks(depth: int) -> tuple[int, ...]:
    """Return the last block of each of four equal parts (ViTDet); of half as many parts as blocks in a shallow encoder.

    Example:
        >>> default_global_blocks(12)
        (2, 5, 8, 11)
    """
    parts = min(4, max(depth // 2, 1))
    return tuple((part + 1) * depth // parts - 1 for part in range(parts))
