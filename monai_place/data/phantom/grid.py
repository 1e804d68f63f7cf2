"""Small building blocks of the phantom: random streams, cached pixel grids, smooth noise, soft edges.

Everything here is elementwise numpy in float32: no BLAS call, so that the bits do not depend on its number of threads.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["FloatMap", "bump", "edge", "noise_field", "pixel_grid", "ridge", "stream"]

FloatMap: TypeAlias = npt.NDArray[np.float32]

# One independent random stream for each purpose: a change in how reports are worded must not move a rib.
STREAMS = ("patient", "acquisition", "findings", "texture", "report", "noise", "file", "pairing")


def stream(seed: int, index: int, purpose: str) -> np.random.Generator:
    """Random generator of one purpose of one study, a function of its arguments alone.

    Args:
        seed: seed of the data set, 0 or more.
        index: number of the study (or of the patient), 0 or more.
        purpose: one of `STREAMS`.

    Example:
        >>> bool(stream(1, 2, "noise").random() == stream(1, 2, "noise").random())
        True
    """
    sequence = np.random.SeedSequence(entropy=seed, spawn_key=(STREAMS.index(purpose), index))
    return np.random.Generator(np.random.PCG64(sequence))


@lru_cache(maxsize=8)
def pixel_grid(size: int) -> tuple[FloatMap, FloatMap]:
    """Centers of the pixels in image coordinates: x (1, W) to the right and y (H, 1) down, both from -1 to 1."""
    axis = ((np.arange(size, dtype=np.float32) + 0.5) * np.float32(2.0 / size) - 1).astype(np.float32)
    x, y = axis[None, :].copy(), axis[:, None].copy()
    x.setflags(write=False)
    y.setflags(write=False)
    return x, y


def edge(distance: FloatMap, softness: float) -> FloatMap:
    """Step from 0 (distance below -softness) to 1 (above +softness), smooth between and exact outside."""
    t = np.clip(distance * np.float32(0.5 / softness) + np.float32(0.5), 0, 1)
    return t * t * (3 - 2 * t)


def bump(distance: FloatMap, width: float) -> FloatMap:
    """Gaussian of standard deviation `width` around distance 0."""
    scaled = distance * np.float32(1 / width)
    return np.exp(scaled * scaled * np.float32(-0.5))


def ridge(distance: FloatMap, width: float) -> FloatMap:
    """Compact bump: 1 at distance 0, exactly 0 beyond `width`; cheaper than `bump`."""
    t = np.clip(1 - np.abs(distance) * np.float32(1 / width), 0, 1)
    return t * t * (3 - 2 * t)


@lru_cache(maxsize=32)
def _spline_taps(cells: int, size: int) -> tuple[tuple[npt.NDArray[np.intp], FloatMap], ...]:
    """Four taps (index, weight) of the cubic B-spline that stretches cells + 3 knots to `size` pixels."""
    position = (np.arange(size) + 0.5) * cells / size
    base = np.floor(position).astype(np.intp)
    t = position - base
    weights = ((1 - t) ** 3, 3 * t**3 - 6 * t**2 + 4, -3 * t**3 + 3 * t**2 + 3 * t + 1, t**3)
    return tuple((base + tap, (weight / 6).astype(np.float32)) for tap, weight in enumerate(weights))


def noise_field(rng: np.random.Generator, cells: int, size: int) -> FloatMap:
    """Smooth random field (size, size) of about zero mean and unit spread, with `cells` cells along a side.

    The field is the same picture at every `size`: only its sampling changes.
    """
    knots = rng.standard_normal((cells + 3, cells + 3)).astype(np.float32) * np.float32(2.0)
    taps = _spline_taps(cells, size)
    rows = np.zeros((size, cells + 3), dtype=np.float32)
    for index, weight in taps:
        rows += knots[index, :] * weight[:, None]
    field = np.zeros((size, size), dtype=np.float32)
    for index, weight in taps:
        field += rows[:, index] * weight[None, :]
    return field
