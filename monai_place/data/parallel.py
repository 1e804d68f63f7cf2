"""Many small tasks in several processes, their results in order."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import TypeVar

__all__ = ["map_ordered"]

Task = TypeVar("Task")
Result = TypeVar("Result")

WAITING_PER_WORKER = 4


def map_ordered(
    function: Callable[[Task], Result], tasks: Iterable[Task], *, workers: int = 0
) -> Generator[Result, None, None]:
    """Yield `function(task)` for each task, in order; at most a few tasks wait, and an error cancels the others.

    Close the generator (`contextlib.closing`) when it is left early: tasks that have not begun are then cancelled.

    Args:
        function: of one task; a function of a module, and its tasks and results picklable, where there are workers.
        tasks: may be endless: they are taken as they are needed.
        workers: processes; 0 works in this one.

    Raises:
        ChildProcessError: a worker is gone without an answer.

    Example:
        >>> list(map_ordered(abs, [-1, 2, -3]))
        [1, 2, 3]
    """
    if workers == 0:
        yield from map(function, tasks)
        return
    # spawn: fork would copy locks held by the parent's threads (torch, BLAS) into children that wait for them forever.
    with ProcessPoolExecutor(max_workers=workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting, pending = iter(tasks), []
        try:
            pending = [pool.submit(function, task) for task in islice(waiting, WAITING_PER_WORKER * workers)]
            while pending:
                yield pending.pop(0).result()
                pending += [pool.submit(function, task) for task in islice(waiting, 1)]
        except BrokenProcessPool:
            raise ChildProcessError("a worker process ended without an answer: killed, or out of memory?") from None
        finally:
            for future in pending:
                future.cancel()
