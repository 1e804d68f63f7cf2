"""What the engines need from torch.distributed; everything works without a process group too."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.distributed as dist
from torch import nn

__all__ = ["any_rank", "current_rank", "gather_bytes", "run_on_first_rank", "total_ranks", "unwrap_network"]


def current_rank() -> int:
    """Return this process's rank, 0 without a process group."""
    return dist.get_rank() if _in_group() else 0


def total_ranks() -> int:
    """Return the number of ranks, 1 without a process group."""
    return dist.get_world_size() if _in_group() else 1


def any_rank(flag: object, /) -> bool:
    """Return whether `flag` is true on any rank; every rank has to call it."""
    if total_ranks() == 1:
        return bool(flag)
    value = torch.tensor([int(bool(flag))], device=_device())
    dist.all_reduce(value, op=dist.ReduceOp.MAX)
    return bool(value.item())


def gather_bytes(data: bytes) -> list[bytes]:
    """Return every rank's `data`, in order of rank; sent as tensors, so that nothing is unpickled."""
    if total_ranks() == 1:
        return [data]
    own = torch.from_numpy(np.frombuffer(data, dtype=np.uint8).copy()).to(_device())
    sizes = [torch.zeros(1, dtype=torch.int64, device=_device()) for _ in range(total_ranks())]
    dist.all_gather(sizes, torch.tensor([own.numel()], device=_device()))
    counts = [int(size) for size in sizes]
    padded = torch.zeros(max(counts), dtype=torch.uint8, device=_device())
    padded[: own.numel()] = own
    parts = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(parts, padded)
    return [part[:count].cpu().numpy().tobytes() for part, count in zip(parts, counts, strict=True)]


def run_on_first_rank(action: Callable[[], object]) -> None:
    """Run `action` on rank 0 while the others wait; an error there is an error everywhere, not a hang.

    Raises:
        RuntimeError: on the other ranks, when rank 0 failed. Rank 0 raises its own error.
    """
    error: Exception | None = None
    if current_rank() == 0:
        try:
            action()
        except Exception as caught:
            error = caught
    failed = any_rank(error is not None)
    if error is not None:
        raise error
    if failed:
        raise RuntimeError("rank 0 failed in a step that all ranks wait for; its log has the reason")


def unwrap_network(network: nn.Module) -> nn.Module:
    """Return the network itself, out of DistributedDataParallel and torch.compile, so that its keys stay the same.

    Example:
        >>> linear = nn.Linear(2, 1)
        >>> unwrap_network(nn.DataParallel(linear)) is linear
        True
    """
    while True:
        inner = getattr(network, "_orig_mod", None)
        if inner is None and isinstance(network, (nn.parallel.DistributedDataParallel, nn.DataParallel)):
            inner = network.module
        if not isinstance(inner, nn.Module):
            return network
        network = inner


def _in_group() -> bool:
    return dist.is_available() and dist.is_initialized()


def _device() -> torch.device:
    """Collectives of NCCL need tensors on the GPU, those of gloo take the CPU's."""
    return torch.device("cuda", torch.cuda.current_device()) if dist.get_backend() == "nccl" else torch.device("cpu")
