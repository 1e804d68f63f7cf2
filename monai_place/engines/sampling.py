"""Which study comes when: a function of seed, epoch, rank and position, so that a run can be taken up anywhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sized
from typing import Any

import torch
from torch.utils.data import DistributedSampler

from monai_place.engines.random_state import derive_seed
from monai_place.engines.ranks import current_rank, total_ranks

__all__ = ["StudySampler"]


class StudySampler(DistributedSampler[Any]):
    """Yields `(epoch, index)`, so that a worker process needs no state to know what to draw.

    Rank r of W takes every W-th study of the epoch's order, beginning with the r-th: the ranks' batches of one step
    together are the batch that a single process with the W-fold batch size would see. It is a `DistributedSampler`
    only for MONAI's sake, whose engines call `set_epoch` of such samplers at each epoch's start.

    Args:
        dataset: what is sampled, or its length.
        seed: of the order.
        shuffle: a new order each epoch; False keeps the data's own.
        drop_last: True leaves out the last `length % W` studies of the epoch's order, so that all ranks have equally
            many (training). False gives each study to exactly one rank, and nobody a study twice (evaluation).
        rank: of this process; by default from torch.distributed.
        world_size: number of ranks W; by default from torch.distributed.

    Raises:
        ValueError: an argument is out of its range.

    Example:
        >>> sampler = StudySampler(5, seed=3)
        >>> sampler.set_epoch(2)
        >>> [index for _, index in sampler] == [index for _, index in sampler]
        True
    """

    def __init__(
        self,
        dataset: Sized | int,
        *,
        seed: int = 0,
        shuffle: bool = True,
        drop_last: bool = False,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        length = dataset if isinstance(dataset, int) else len(dataset)
        rank = current_rank() if rank is None else rank
        world_size = total_ranks() if world_size is None else world_size
        if length < 1:
            raise ValueError("dataset is empty: a sampler needs at least one study")
        if seed < 0:
            raise ValueError(f"seed must be at least 0, got {seed}")
        if not 0 <= rank < world_size:
            raise ValueError(f"rank must be at least 0 and below world_size {world_size}, got {rank}")
        # The parent wants something with a length; an integer's range has one.
        super().__init__(
            range(length),  # type: ignore[arg-type]
            num_replicas=world_size,
            rank=rank,
            shuffle=shuffle,
            seed=seed,
            drop_last=drop_last,
        )
        self.length = length
        self.epoch = 1  # MONAI's and ignite's epochs begin at 1
        self.position = 0

    def __len__(self) -> int:
        """Studies of this rank in a whole epoch, wherever the position is: an epoch's length does not change."""
        whole, rest = divmod(self.length, self.num_replicas)
        return whole + (0 if self.drop_last else int(self.rank < rest))

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield the studies of this epoch from the position on."""
        order = self._order()[self.rank :: self.num_replicas][: len(self)]
        # The position counts what was consumed; an iterator that reads ahead must not move it.
        for index in order[self.position :]:
            yield self.epoch, index

    def set_epoch(self, epoch: int) -> None:
        """Go to the start of `epoch`; within the same epoch the position stays."""
        if epoch < 0:
            raise ValueError(f"epoch must be at least 0, got {epoch}")
        if epoch != self.epoch:
            self.epoch, self.position = epoch, 0

    def consume(self, count: int) -> None:
        """Tell that this rank's training has used `count` more studies."""
        if count < 0:
            raise ValueError(f"count must be at least 0, got {count}")
        self.position = min(self.position + count, len(self))

    def state_dict(self) -> dict[str, Any]:
        """Return the position, and all that the order depends on; equal on all ranks."""
        return {"epoch": self.epoch, "position": self.position, **self._identity()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to the position of `state_dict`'s result.

        Raises:
            ValueError: the order would be another one; the message names what differs.
        """
        own = self._identity()
        if different := [f"{key} was {state[key]}, is {own[key]}" for key in own if state[key] != own[key]]:
            raise ValueError(f"the order of studies cannot be taken up: {'; '.join(different)}")
        self.epoch, self.position = int(state["epoch"]), int(state["position"])

    def _identity(self) -> dict[str, Any]:
        return {
            "seed": self.seed,
            "length": self.length,
            "shuffle": self.shuffle,
            "drop_last": self.drop_last,
            "world_size": self.num_replicas,
        }

    def _order(self) -> list[int]:
        if not self.shuffle:
            return list(range(self.length))
        generator = torch.Generator().manual_seed(derive_seed(self.seed, self.epoch))
        order: list[int] = torch.randperm(self.length, generator=generator).tolist()
        return order
