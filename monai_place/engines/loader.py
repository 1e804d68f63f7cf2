"""The data loader of studies, made so that the order and the random numbers can be replayed."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from monai_place.engines.sampling import StudySampler
from monai_place.transforms.collate import collate_studies

__all__ = ["study_loader"]

TELLS_SENDERS = hasattr(signal, "sigwaitinfo")  # not on macOS and Windows


def study_loader(
    dataset: Dataset[Any],
    batch_size: int,
    *,
    shuffle: bool = False,
    drop_last: bool | None = None,
    seed: int = 0,
    num_workers: int = 0,
    persistent_workers: bool = False,
    prefetch_factor: int | None = None,
    pin_memory: bool = False,
    timeout_s: float = 0,
    collate_fn: Callable[[list[Any]], Any] = collate_studies,
    rank: int | None = None,
    world_size: int | None = None,
) -> DataLoader[Any]:
    """Return a loader whose batches are a function of the seed, the epoch and the position.

    Args:
        dataset: a `StudyDataset`, or one that takes `(epoch, index)`.
        batch_size: studies per batch and rank.
        shuffle: True for training.
        drop_last: leave out the last, smaller batch; by default what `shuffle` is: contrastive losses change with the
            batch's size, and evaluation counts every study.
        seed: of the order.
        num_workers: worker processes; 0 prepares the studies in this one. The batches are the same.
        persistent_workers: keep the workers from epoch to epoch. Starting them anew takes a moment each epoch; kept
            ones make torch wait 5 seconds for each when a trainer is thrown away (its references form a circle, in
            which the workers' queues are closed first).
        prefetch_factor: batches that each worker prepares ahead; torch's default is 2.
        pin_memory: for faster copies to a GPU.
        timeout_s: how long to wait for a batch of a worker before it is an error; 0 waits without end.
        collate_fn: makes a batch of a list of studies.
        rank: see `StudySampler`.
        world_size: see `StudySampler`.

    Raises:
        ValueError: not even one batch would come out.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")
    drop_last = shuffle if drop_last is None else drop_last
    sampler = StudySampler(
        dataset,  # type: ignore[arg-type]  # map-style datasets have a length; torch's base class does not say so
        seed=seed,
        shuffle=shuffle,
        drop_last=drop_last,
        rank=rank,
        world_size=world_size,
    )
    if len(sampler) < (batch_size if drop_last else 1):
        cure = f"; set batch_size to at most {len(sampler)}" if len(sampler) else ""
        raise ValueError(
            f"batch_size {batch_size} leaves no batch of {len(sampler)} studies per rank ({sampler.length} studies, "
            f"world size {sampler.num_replicas}, drop_last={drop_last}){cure}"
        )
    return _SignalSafeLoader(
        dataset,
        batch_size=batch_size,
        sampler=sampler,
        drop_last=drop_last,
        num_workers=num_workers,
        persistent_workers=persistent_workers,
        prefetch_factor=prefetch_factor,
        pin_memory=pin_memory,
        timeout=timeout_s,
        collate_fn=collate_fn,
        worker_init_fn=_leave_signals_to_parent,
        # A loader draws a seed for its workers each epoch. From its own generator, so that the global one (dropout)
        # does not depend on how often the loader was started.
        generator=torch.Generator().manual_seed(seed),
    )


class _SignalSafeLoader(DataLoader[Any]):
    """Its workers outlive the signal that asks their whole process group to stop.

    Schedulers and terminals send SIGTERM and SIGINT to every process. If the workers died of it, torch would raise in
    the middle of the step which `PreemptionHandler` wants to finish. The parent's own SIGTERM still ends a worker.
    """

    def __iter__(self) -> Any:
        if self.num_workers == 0 or not TELLS_SENDERS or multiprocessing.get_start_method() != "fork":
            return super().__iter__()
        # Forked with the signals blocked, a worker cannot get one before it is ready for it.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
        try:
            return super().__iter__()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _leave_signals_to_parent(_worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not TELLS_SENDERS:
        return
    # The handler may be the parent's, inherited by fork; blocked signals reach only the thread that waits for them.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()  # not os.getppid(): with a fork server that is the server
    while True:
        sender = signal.sigwaitinfo({signal.SIGTERM}).si_pid
        if parent is None or sender == parent.pid or not parent.is_alive():
            os._exit(0)
