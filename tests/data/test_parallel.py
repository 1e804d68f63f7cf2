from __future__ import annotations

import math
import operator
import os
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import count

import pytest

from monai_place.data.parallel import WAITING_PER_WORKER, map_ordered

# The functions are Python's own: a process that is started anew must be able to import them.


class Taken:
    """Endless tasks that count how many were asked for."""

    def __init__(self, tasks: Iterator[float]) -> None:
        self.tasks = tasks
        self.number = 0

    def __iter__(self) -> Iterator[float]:
        return self

    def __next__(self) -> float:
        self.number += 1
        return next(self.tasks)


def test_without_workers_tasks_are_done_one_by_one_as_they_are_asked_for() -> None:
    tasks = Taken(count(1))
    results = map_ordered(math.sqrt, tasks)
    assert tasks.number == 0
    assert [next(results) for _ in range(3)] == [1, math.sqrt(2), math.sqrt(3)]
    assert tasks.number == 3


@pytest.mark.dist
@pytest.mark.parametrize("workers", [1, 2])
def test_results_come_in_order_whatever_takes_longest(workers: int) -> None:
    naps = [0.2, 0.0, 0.1, 0.0, 0.0]
    assert list(map_ordered(time.sleep, naps, workers=workers)) == [None] * 5
    numbers = list(range(30))
    assert list(map_ordered(math.factorial, numbers, workers=workers)) == [math.factorial(n) for n in numbers]


@pytest.mark.dist
def test_workers_are_other_processes() -> None:
    (parent,) = set(map_ordered(operator.call, [os.getppid] * 4, workers=1))
    assert parent == os.getpid()


@pytest.mark.dist
def test_only_a_few_endless_tasks_wait_and_closing_ends_it() -> None:
    tasks = Taken(map(float, count()))
    with closing(map_ordered(math.sqrt, tasks, workers=1)) as results:
        assert [next(results) for _ in range(5)] == [math.sqrt(n) for n in range(5)]
        assert tasks.number <= WAITING_PER_WORKER + 5


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.dist)])
def test_an_error_of_a_task_is_raised_in_its_turn_and_ends_it(workers: int) -> None:
    results = map_ordered(math.sqrt, [4.0, -1.0, 9.0], workers=workers)
    assert next(results) == 2
    with pytest.raises(ValueError, match=r"math domain error|nonnegative"):
        next(results)
    assert list(results) == []


@pytest.mark.dist
def test_an_error_of_the_tasks_themselves_is_raised() -> None:
    def tasks() -> Iterator[float]:
        yield 4.0
        raise OSError("the list ended early")

    with pytest.raises(OSError, match="the list ended early"):
        list(map_ordered(math.sqrt, tasks(), workers=1))


@pytest.mark.dist
def test_a_worker_that_dies_is_an_error_and_no_endless_wait() -> None:
    with pytest.raises(ChildProcessError, match="a worker process ended without an answer"):
        list(map_ordered(os._exit, [3], workers=1))


@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=pytest.mark.dist)])
def test_no_tasks_give_no_results(workers: int) -> None:
    assert list(map_ordered(math.sqrt, [], workers=workers)) == []
