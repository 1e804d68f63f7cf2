"""Random numbers that can be replayed: seeds from coordinates, and the generators' states as plain values."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

__all__ = ["capture_random_state", "derive_seed", "isolated_random", "restore_random_state"]


def derive_seed(*coordinates: int) -> int:
    """Return a seed in [0, 2**32) which is a function of the coordinates alone, well mixed.

    Args:
        coordinates: non-negative integers, such as seed, epoch and index. Adding them up would give epoch 1 of seed 0
            the numbers of epoch 0 of seed 1; this does not.

    Example:
        >>> derive_seed(0, 1) == derive_seed(0, 1), derive_seed(0, 1) == derive_seed(1, 0)
        (True, False)
    """
    return int(np.random.SeedSequence(coordinates).generate_state(1)[0])


@contextmanager
def isolated_random(seed: int) -> Iterator[None]:
    """Seed python, numpy and torch (CPU) for a block of code, and give them their old states back after it.

    A transform which draws from a global generator then depends on `seed` alone, and the training's own generators do
    not notice whether samples are made in this process or in a worker.

    Args:
        seed: in [0, 2**32).
    """
    before = (random.getstate(), np.random.get_state(), torch.get_rng_state())
    random.seed(seed)
    np.random.seed(seed)
    # Not torch.manual_seed: that would reseed every GPU too.
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


def capture_random_state() -> dict[str, Any]:
    """Return the states of python, numpy, torch and this process's GPU as tensors, numbers, strings and lists."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    state: dict[str, Any] = {
        "python": [version, list(words), gauss],
        "numpy": {
            "name": str(name),
            "keys": torch.from_numpy(np.asarray(keys).astype(np.int64)),
            "position": int(position),
            "has_gauss": int(has_gauss),
            "cached": float(cached),
        },
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        state["cuda"] = torch.cuda.get_rng_state()
    return state


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Set the generators to what `capture_random_state` returned.

    Args:
        state: a state of this process's rank. A GPU's part is left aside where there is no GPU.
    """
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    numpy_state = state["numpy"]
    keys = numpy_state["keys"].numpy().astype(np.uint32)
    np.random.set_state(
        (numpy_state["name"], keys, numpy_state["position"], numpy_state["has_gauss"], numpy_state["cached"])
    )
    torch.set_rng_state(state["torch"].cpu())
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"].cpu())
