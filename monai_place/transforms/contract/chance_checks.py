"""Whether a transform does the same again: by its seed, from its log, in another process; and how fast it is."""

from __future__ import annotations

import json
import multiprocessing
import random
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import torch
from monai.data import MetaTensor

from monai_place.transforms.contract.report import CheckFailedError, NotApplicableError, describe_error
from monai_place.transforms.contract.sample import SIZES, Sample, same
from monai_place.transforms.contract.subject import Subject
from monai_place.transforms.replay import ReplayableTransform

__all__ = ["calls_per_second", "check_replay", "check_seed", "check_speed", "check_worker", "in_worker"]

SEEDS = range(5)
SPEED_SIZE = (512, 512)
SPEED_S = 0.5
LONGEST_S = 600  # a worker imports everything, on a machine that may be busy


def check_seed(subject: Subject) -> str:
    """The same seed gives the same record; what has no seed gives the same each time, however often it is called."""
    results = [[_plain(subject.run(seed=seed)) for seed in SEEDS] for _ in range(2)]
    if not same(*results):
        if not subject.is_random:
            raise CheckFailedError(
                "gives different records for the same one",
                "derive it from monai.transforms.RandomizableTransform and draw from self.R",
            )
        raise CheckFailedError(
            "gives different records for the same seed", "draw from self.R, never from numpy.random, random or torch"
        )
    if not same(results[0], _one_after_another(subject)):
        raise CheckFailedError(
            "gives another record when it has been called before",
            "keep no state from record to record: a worker's share of them is chance",
        )
    if not subject.is_random:
        return "not random, the same each time"
    if all(same(results[0][0], result) for result in results[0][1:]):
        raise CheckFailedError(f"gives the same record for {len(SEEDS)} different seeds", "draw from self.R")
    return "the same seed gives the same record, another seed another one"


def _one_after_another(subject: Subject) -> list[dict[str, Any]]:
    """Run one and the same transform on record after record, with pictures of another shape between."""
    transform, found = subject.make(), []
    for seed in SEEDS:
        found.append(_plain(subject.run(seed=seed, transform=transform)))
        subject.run(Sample(SIZES["portrait"]), seed=seed, transform=transform)
    return found


def check_replay(subject: Subject) -> str:
    """What was drawn can be logged as JSON, and done again without drawing."""
    if not subject.is_random:
        raise NotApplicableError("not random")
    transform = subject.make()
    if not isinstance(transform, ReplayableTransform):
        raise NotApplicableError(
            "offers no replay; by its seed it repeats (monai_place.transforms.ReplayableTransform)"
        )
    for seed in SEEDS:
        drawn = _plain(subject.run(seed=seed, transform=transform))
        parameters = json.loads(json.dumps(transform.parameters()))
        transform.set_random_state(seed=99)  # type: ignore[attr-defined]  # it is random
        if not same(drawn, _plain(transform.replay(subject.record(), parameters))):
            raise CheckFailedError(
                f"the replay of {parameters} gives another record", "draw everything in randomize, and nothing after it"
            )
    return "what was drawn is replayed from JSON, bit for bit"


def check_worker(subject: Subject) -> str:
    """It goes to a worker process that is spawned, and does the same there, whatever the global generators hold."""
    expected = [_plain(subject.run(seed=seed)) for seed in SEEDS]
    for scrambled in in_worker(_work, subject.make(), subject):
        if not same(expected, scrambled):
            raise CheckFailedError(
                "gives another record in a worker process than here",
                "draw from self.R, never from numpy.random, random or torch; keep no state from record to record",
            )
    return "pickled to a spawned worker, it does the same there"


def check_speed(subject: Subject) -> str:
    """Records a second, for information."""
    transform = subject.make()
    record = subject.record(Sample(SPEED_SIZE))
    rate = calls_per_second(lambda: transform(dict(record)))
    what = "the sample file" if subject.sample is not None else f"{SPEED_SIZE[0]} x {SPEED_SIZE[1]} pixels"
    return f"{rate:.0f} records/s of {what} on one core (for information)"


def calls_per_second(call: Callable[[], Any]) -> float:
    """Measure a call on one thread, the first one left out."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        call()
        count, begin = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - begin) < SPEED_S or not count:
            call()
            count += 1
    finally:
        torch.set_num_threads(threads)
    return count / elapsed


def in_worker(work: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function returns in a process that is spawned.

    Raises:
        CheckFailedError: something cannot be pickled, or the process dies or takes too long.
    """
    context = multiprocessing.get_context("spawn")
    try:
        ForkingPickler.dumps((work, arguments))  # before a process is started for nothing
        with ProcessPoolExecutor(1, mp_context=context) as pool:
            return pool.submit(work, *arguments).result(timeout=LONGEST_S)
    except Exception as error:
        raise CheckFailedError(
            f"does not go to a worker process: {type(error).__name__}: {describe_error(error)[:160]}",
            "define it at the top of an installed module; keep no lambda, open file or lock in it",
        ) from None


def _work(transform: Any, subject: Subject) -> list[list[dict[str, Any]]]:
    """Run in the worker: once for each of two states of the global generators."""
    results = []
    for state in (1, 2):
        random.seed(state)
        np.random.seed(state)
        torch.manual_seed(state)
        results.append([_plain(subject.run(seed=seed, transform=transform)) for seed in SEEDS])
    return results


def _plain(record: Any) -> dict[str, Any]:
    """Return the values of a record without what only the process knows."""
    return {
        str(key): value.as_tensor().numpy() if isinstance(value, MetaTensor) else value
        for key, value in dict(record).items()
    }
