"""Child processes for tests: forked from a clean server, since a process that has trained cannot be forked."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch.distributed as dist

__all__ = ["in_group", "run_ranks", "start"]

_LEFT: list[Any] = []  # groups, until the process ends without tidying up


def start(target: Callable[..., None], *arguments: Any, **keywords: Any) -> BaseProcess:
    """Start `target`, a function of an importable module, in a process of its own.

    The server has the heavy imports done, so that a child starts at once.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.support.training", "monai.bundle", "monai_place.inference"])
    process = context.Process(target=_run, args=(target, *arguments), kwargs=keywords)
    process.start()
    return process


def _run(target: Callable[..., None], *arguments: Any, **keywords: Any) -> None:
    # A child of a fork server would start its own children, such as a loader's workers, with a fork server of theirs.
    multiprocessing.set_start_method("fork", force=True)
    target(*arguments, **keywords)


def run_ranks(
    target: Callable[..., None], folder: Path, *arguments: Any, ranks: int = 2, timeout_s: float = 600
) -> None:
    """Run `target(rank, folder, ...)` in as many processes, and fail unless each ends well; its output is shown."""
    processes = [start(target, rank, folder, *arguments) for rank in range(ranks)]
    for process in processes:
        process.join(timeout_s)
    codes = [process.exitcode for process in processes]
    for process in processes:
        process.kill()
    assert codes == [0] * ranks, f"exit codes {codes}; the captured stderr tells why"


@contextmanager
def in_group(rank: int, folder: Path, *, ranks: int = 2) -> Iterator[None]:
    """Be one of the ranks of a gloo group, which meets in a file: no port can be taken already."""
    meeting = f"file://{folder / 'meeting'}"
    dist.init_process_group("gloo", meeting, rank=rank, world_size=ranks, timeout=timedelta(seconds=600))
    try:
        yield
    finally:
        # torch's thread of the group needs the interpreter to drop a collective, and whoever drops the group holds it
        # and waits for the thread: right after a collective both wait for ever. Nobody drops it here.
        _LEFT.append(dist.group.WORLD)
        dist.destroy_process_group()
