from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from monai_place.data import perceptual
from monai_place.data.perceptual import COARSE_DISTANCE, FINE_DISTANCE, near_pairs, perceptual_hash
from monai_place.data.phantom import render_study

Pixels = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def pictures() -> list[Pixels]:
    """Return 30 phantoms with the noise of a detector."""
    random = np.random.default_rng(0)
    rendered = [render_study(0, index, size=192).image for index in range(30)]
    return [np.clip(image + random.normal(0, 0.01, image.shape), 0, 1).astype(np.float32) for image in rendered]


def jpeg(pixels: Pixels, quality: int) -> Pixels:
    buffer = io.BytesIO()
    Image.fromarray((255 * pixels).astype(np.uint8)).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer), dtype=np.float32) / 255


def resized(pixels: Pixels, side: int) -> Pixels:
    return np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BILINEAR))


def cut(pixels: Pixels, share: float) -> Pixels:
    edge = round(share * len(pixels))
    return np.ascontiguousarray(pixels[edge:-edge, edge:-edge])


def distances(one: Pixels, other: Pixels) -> tuple[int, int]:
    words = perceptual_hash(one), perceptual_hash(other)
    assert words[0] is not None
    assert words[1] is not None
    bits = np.bitwise_count(words[0] ^ words[1])
    return int(bits[0]), int(bits[1:].sum())


@pytest.mark.parametrize(
    "copy",
    [
        pytest.param(lambda pixels: jpeg(pixels, 95), id="jpeg"),
        pytest.param(lambda pixels: jpeg(pixels, 50), id="poor jpeg"),
        pytest.param(lambda pixels: resized(pixels, 100), id="smaller"),
        pytest.param(lambda pixels: resized(pixels, 400), id="larger"),
        pytest.param(lambda pixels: pixels**1.2, id="gamma"),
        pytest.param(lambda pixels: np.clip(1.2 * pixels - 0.1, 0, 1), id="window"),
        pytest.param(lambda pixels: cut(pixels, 0.01), id="cut by a hundredth at each edge"),
    ],
)
def test_a_copy_is_near(copy: Any, pictures: list[Pixels]) -> None:
    for pixels in pictures:
        coarse, fine = distances(pixels, copy(pixels))
        assert coarse <= COARSE_DISTANCE
        assert fine <= FINE_DISTANCE


def test_other_pictures_are_farther_than_that(pictures: list[Pixels]) -> None:
    near = [distances(one, other)[1] for index, one in enumerate(pictures) for other in pictures[:index]]
    assert min(near) > FINE_DISTANCE


def test_a_mirrored_picture_is_another(pictures: list[Pixels]) -> None:
    assert distances(pictures[0], np.ascontiguousarray(pictures[0][:, ::-1]))[1] > 2 * FINE_DISTANCE


@pytest.mark.parametrize("pixels", [np.zeros((40, 50)), np.full((1, 1), 0.5), np.full((300, 40), 1.0)])
def test_a_picture_without_contrast_has_no_hash(pixels: Any) -> None:
    assert perceptual_hash(pixels) is None


def by_each_with_each(left: Any, right: Any, coarse: int, fine: int) -> set[tuple[int, int, int]]:
    pairs = set()
    for row, one in enumerate(left):
        for column, other in enumerate(right):
            bits = np.bitwise_count(one ^ other)
            if bits[0] <= coarse and (distance := int(bits[1:].sum())) <= fine:
                pairs.add((row, column, distance))
    return pairs


@pytest.mark.parametrize("coarse", range(8))
@pytest.mark.parametrize("at_once", [7, 1 << 21])
def test_no_pair_within_the_distance_is_missed(coarse: int, at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perceptual, "CANDIDATES_AT_ONCE", at_once)
    random = np.random.default_rng(coarse)
    left = random.integers(0, 1 << 63, (40, 5), dtype=np.uint64)
    right = left[random.integers(0, 40, 90)]
    for words in right:  # flip up to nine bits of the coarse hash, wherever they fall, and a few of the fine one
        for bit in random.choice(64, random.integers(0, 10), replace=False):
            words[0] ^= np.uint64(1) << np.uint64(bit)
        words[1] ^= np.uint64((1 << int(random.integers(0, 20))) - 1)
    found = set(zip(*(column.tolist() for column in near_pairs(left, right, coarse=coarse, fine=12)), strict=True))
    assert found == by_each_with_each(left, right, coarse, 12)
    assert found


def test_every_split_of_seven_bits_over_the_bands_is_found() -> None:
    for counts in ((7, 0, 0, 0), (0, 3, 4, 0), (2, 2, 2, 1), (1, 2, 2, 2), (2, 2, 1, 2), (0, 0, 0, 7)):
        word = sum(((1 << count) - 1) << (16 * band) for band, count in enumerate(counts))
        left, right = np.zeros((1, 5), dtype=np.uint64), np.zeros((1, 5), dtype=np.uint64)
        right[0, 0] = word
        assert len(near_pairs(left, right, coarse=7)[0]) == 1
        assert len(near_pairs(left, right, coarse=6)[0]) == 0


def test_a_distance_that_the_bands_do_not_cover_is_refused() -> None:
    with pytest.raises(ValueError, match="coarse must be 0 to 7, got 8"):
        near_pairs(np.zeros((1, 5), dtype=np.uint64), np.zeros((1, 5), dtype=np.uint64), coarse=8)


def test_nothing_beside_nothing_is_nothing() -> None:
    none = np.zeros((0, 5), dtype=np.uint64)
    assert [len(column) for column in near_pairs(none, none)] == [0, 0, 0]
