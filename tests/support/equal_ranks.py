"""What a bundle's config needs so that one process and several do exactly the same work."""

from __future__ import annotations

from torch import nn

__all__ = ["without_dropout"]


def without_dropout(network: nn.Module) -> nn.Module:
    """Switch dropout off: no two processes draw it alike."""
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return network
