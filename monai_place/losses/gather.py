"""Gathering across ranks, with gradient: the one place where a loss meets the process group."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F

__all__ = ["gather_across_ranks", "local_offset"]


def gather_across_ranks(tensor: torch.Tensor) -> torch.Tensor:
    """Concatenate `tensor` of all ranks along its first axis, in order of rank.

    The ranks may hold different numbers of rows. Gradient flows to every rank's rows: each rank is expected to compute
    the same loss from the result, and the gradients of all ranks are summed here, so that after the averaging of
    DistributedDataParallel a parameter has the gradient of a single process on the whole batch.

    Args:
        tensor: (B, ...); the other axes are equal on all ranks.

    Returns:
        (sum of B, ...). Without a process group, or with one rank, `tensor` itself.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return tensor
    counts = _row_counts(tensor)
    padded = F.pad(tensor, [0, 0] * (tensor.dim() - 1) + [0, max(counts) - tensor.shape[0]])
    stacked = _AllGather.apply(padded.contiguous())  # (W, longest, ...)
    return torch.cat([part[:count] for part, count in zip(stacked, counts, strict=True)])


def local_offset(tensor: torch.Tensor) -> int:
    """Return the row at which this rank's rows begin in `gather_across_ranks(tensor)`."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return 0
    return sum(_row_counts(tensor)[: dist.get_rank()])


def _row_counts(tensor: torch.Tensor) -> list[int]:
    own = torch.tensor([tensor.shape[0]], device=tensor.device)
    counts = [torch.zeros_like(own) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, own)
    return [int(count) for count in counts]


class _AllGather(torch.autograd.Function):
    @staticmethod
    def forward(context: Any, tensor: torch.Tensor) -> torch.Tensor:
        parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, tensor)
        return torch.stack(parts)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:
        gradient = gradient.contiguous()
        dist.all_reduce(gradient)
        return gradient[dist.get_rank()]
