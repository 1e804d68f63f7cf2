"""Inputs that several tests of losses share. They are float64, so that an oracle can be met to ten digits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
import torch.nn.functional as F

__all__ = ["Studies", "assert_same", "gradients", "make_studies", "unit_rows"]


def unit_rows(*shape: int, seed: int) -> torch.Tensor:
    """Return random vectors of unit norm, float64, that take a gradient."""
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(shape, generator=generator, dtype=torch.float64), dim=-1).requires_grad_()


def gradients(loss: torch.Tensor, *leaves: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Return the gradient of `loss` for each leaf."""
    return torch.autograd.grad(loss, leaves)


def assert_same(left: Sequence[torch.Tensor], right: Sequence[torch.Tensor], *, atol: float = 1e-10) -> None:
    """Assert that two lists of tensors agree."""
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=atol)


@dataclass(frozen=True)
class Studies:
    """What `ObservationAlignmentLoss` takes, in its order."""

    sentences: torch.Tensor
    mask: torch.Tensor
    keys: torch.Tensor
    observations: torch.Tensor

    @property
    def arguments(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        return self.sentences, self.mask, self.keys, self.observations

    @property
    def leaves(self) -> tuple[torch.Tensor, torch.Tensor]:
        return self.sentences, self.observations

    def take(self, order: Sequence[int]) -> Studies:
        """Return the studies of these places, as leaves of their own."""
        rows = torch.as_tensor(order)
        parts = {entry.name: getattr(self, entry.name).detach()[rows].clone() for entry in fields(self)}
        return Studies(**parts).as_leaves()

    def as_leaves(self) -> Studies:
        return replace(
            self,
            sentences=self.sentences.detach().clone().requires_grad_(),
            observations=self.observations.detach().clone().requires_grad_(),
        )


def make_studies(
    counts: Sequence[int], *, queries: int = 3, width: int = 5, distinct: int = 6, seed: int = 0
) -> Studies:
    """Return studies whose reports have `counts` sentences, out of `distinct` different ones."""
    generator = torch.Generator().manual_seed(seed)
    longest = max(*counts, 1)
    mask = torch.arange(longest) < torch.tensor(counts).unsqueeze(1)
    keys = torch.randint(0, distinct, mask.shape, generator=generator) * 1_000_003
    sentences = unit_rows(len(counts), longest, width, seed=seed + 1).detach() * mask.unsqueeze(-1)
    return Studies(
        sentences=sentences.requires_grad_(),
        mask=mask,
        keys=torch.where(mask, keys, -1),
        observations=unit_rows(len(counts), queries, width, seed=seed + 2),
    )
