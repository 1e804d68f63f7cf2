"""Hashes of how a picture looks, and the search for pictures that look the same, among hundreds of thousands.

A picture is shrunk to 32 x 32 pixels and its discrete cosine transform taken (`scipy.fft`). Two hashes say which of the
lowest frequencies are above their median: 64 bits (a block of 8 x 8 frequencies, without the mean) and 256 bits (16 x
16). Encoding, size, noise, and any rising change of contrast move few of them; a flip or a turn moves half.

Radiographs of the chest look alike: among 25,000 pairs of different images of covid19-cxr the 64 bits differ in as few
as 8, and a copy that lost 1 % at each edge differs in up to 6. So the 64 bits only find candidates, and the 256 decide:
there the nearest different images differ in 52 (26 in the phantom), a copy that was encoded, resized, windowed or made
noisy in at most 22, one that lost 1 % at each edge in at most 28, half of the time in 12.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

__all__ = ["COARSE_DISTANCE", "FINE_DISTANCE", "HASH_WORDS", "near_pairs", "perceptual_hash"]

COARSE_DISTANCE = 6  # of 64 bits
FINE_DISTANCE = 24  # of 256
HASH_WORDS = 5  # of 64 bits each: the coarse hash, then the fine one

SIDE = 32
BANDS, BAND_BITS = 4, 16
FLIPS = (0, *(1 << bit for bit in range(BAND_BITS)))
CANDIDATES_AT_ONCE = 1 << 21  # 100 MB
PLAIN = 1e-4  # standard deviation below which there is nothing to see

Words = npt.NDArray[np.uint64]


def perceptual_hash(pixels: npt.NDArray[np.floating]) -> Words | None:
    """Return the hash of a picture.

    Args:
        pixels: (H, W) in [0, 1].

    Returns:
        (5,) words of 64 bits: the coarse hash and the fine one; None for a picture without contrast, which would look
        like every other of its kind.

    Example:
        >>> pixels = np.random.default_rng(0).random((60, 80), dtype=np.float32)
        >>> int(np.bitwise_count(perceptual_hash(pixels) ^ perceptual_hash(0.2 + pixels / 2)).sum())
        0
    """
    from PIL import Image
    from scipy.fft import dctn

    picture = Image.fromarray(np.asarray(pixels, dtype=np.float32))
    small = np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS), dtype=np.float64)
    if small.std() < PLAIN:
        return None
    frequencies = dctn(small, norm="ortho")
    bits = np.concatenate([_above_median(frequencies, 8), _above_median(frequencies, 16)])
    return np.packbits(bits).view(">u8").astype(np.uint64)


def near_pairs(
    left: Words, right: Words, *, coarse: int = COARSE_DISTANCE, fine: int = FINE_DISTANCE
) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """Find every pair of hashes within both distances, without comparing each with each.

    The coarse hash is cut into 4 bands of 16 bits. Of 7 differing bits or fewer, some band holds at most one: whoever
    looks up each band as it is, and with each of its bits flipped, meets every such pair.

    Args:
        left: (n, 5) hashes; the smaller set, since it is the one that looks up.
        right: (m, 5) hashes.
        coarse: bits of the first word that may differ, at most 7.
        fine: bits of the other four that may differ.

    Returns:
        Index into left, index into right, and fine distance of each pair, sorted.

    Raises:
        ValueError: `coarse` is out of its range.
    """
    if not 0 <= coarse < 2 * BANDS:
        raise ValueError(f"coarse must be 0 to {2 * BANDS - 1}, got {coarse}")
    found: list[npt.NDArray[np.intp]] = [np.empty((0, 3), dtype=np.intp)]
    for band in range(BANDS):
        keys = _band(left, band), _band(right, band)
        order = np.argsort(keys[1], kind="stable")
        starts = np.searchsorted(keys[1][order], np.arange((1 << BAND_BITS) + 1))
        for flip in FLIPS:
            probed = keys[0] ^ flip
            for rows, places in _matches(starts[probed], starts[probed + 1]):
                found.append(_within(left, right, rows, order[places], coarse, fine))
    pairs = np.unique(np.concatenate(found), axis=0)
    return pairs[:, 0], pairs[:, 1], pairs[:, 2]


def _above_median(frequencies: npt.NDArray[np.float64], side: int) -> npt.NDArray[np.bool_]:
    # The mean says how bright the picture is; the next frequency of the first column takes its place.
    chosen = np.append(frequencies[:side, :side].ravel()[1:], frequencies[side, 0])
    return chosen > np.median(chosen)


def _band(hashes: Words, band: int) -> npt.NDArray[np.int64]:
    return ((hashes[:, 0] >> np.uint64(BAND_BITS * band)) & np.uint64((1 << BAND_BITS) - 1)).astype(np.int64)


def _matches(
    begin: npt.NDArray[np.intp], end: npt.NDArray[np.intp]
) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]]:
    """Yield (row, place) for every place from begin[row] to end[row], so many at a time as fit into memory."""
    total = np.cumsum(end - begin)
    first, row = 0, 0
    while row < len(begin):
        last = max(row + 1, int(np.searchsorted(total, first + CANDIDATES_AT_ONCE, side="right")))
        counts = (end - begin)[row:last]
        rows = np.repeat(np.arange(row, last), counts)
        before = np.cumsum(counts) - counts
        yield rows, np.repeat(begin[row:last] - before, counts) + np.arange(len(rows))
        first, row = int(total[last - 1]), last


def _within(
    left: Words, right: Words, rows: npt.NDArray[np.intp], columns: npt.NDArray[np.intp], coarse: int, fine: int
) -> npt.NDArray[np.intp]:
    near = np.bitwise_count(left[rows, 0] ^ right[columns, 0]) <= coarse
    rows, columns = rows[near], columns[near]
    distance = np.bitwise_count(left[rows, 1:] ^ right[columns, 1:]).sum(axis=1, dtype=np.intp)
    kept = distance <= fine
    return np.stack([rows[kept], columns[kept], distance[kept]], axis=1)
