from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from monai_place.data.grey_files import GreyFormat, quantize, write_grey, write_index_mask
from monai_place.data.radiograph import read_mask, read_radiograph


def ramp(height: int = 33, width: int = 65) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.linspace(0, 1, height * width, dtype=np.float32).reshape(height, width)


@pytest.mark.parametrize(("depth", "mode"), [(8, "L"), (16, "I;16")])
def test_a_png_comes_back_to_within_half_a_level(depth: int, mode: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.png"
    write_grey(path, ramp(), depth=depth)
    with Image.open(path) as image:
        assert (image.format, image.mode, image.size) == ("PNG", mode, (65, 33))
    assert np.abs(read_radiograph(path)[0] - ramp()).max() <= 0.5001 / (2**depth - 1)


def test_what_was_stored_is_stored_the_same_again(tmp_path: Path) -> None:
    stored = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    write_grey(tmp_path / "a.png", stored.astype(np.float32) / np.float32(65535), depth=16)
    with Image.open(tmp_path / "a.png") as image:
        assert np.array_equal(np.asarray(image), stored)


def test_a_jpeg_is_grey_and_close(tmp_path: Path) -> None:
    write_grey(tmp_path / "a.jpg", ramp(), file_format="jpeg")
    with Image.open(tmp_path / "a.jpg") as image:
        assert (image.format, image.mode) == ("JPEG", "L")
    assert np.abs(read_radiograph(tmp_path / "a.jpg")[0] - ramp()).max() < 0.02


def test_beyond_the_range_is_clipped_and_not_wrapped() -> None:
    assert quantize(np.array([[-0.2, 1.2]])).tolist() == [[0, 255]]
    assert quantize(np.array([[-0.2, 1.2]]), 16).tolist() == [[0, 65535]]


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        pytest.param(np.zeros((2, 2), dtype=np.uint8), "floating point in .0, 1., got uint8", id="integers"),
        pytest.param(np.zeros((1, 2, 2)), r"shape \(H, W\), got \(1, 2, 2\)", id="channels"),
        pytest.param(np.zeros((0, 2)), "got .0, 2.", id="empty"),
        pytest.param(np.array([[np.nan]]), "NaN", id="nan"),
    ],
)
def test_what_is_no_grey_picture_is_refused_and_nothing_written(pixels: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        write_grey(tmp_path / "a.png", pixels)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"depth": 12}, "depth must be one of"),
        ({"file_format": "gif"}, "file_format must be one of"),
        ({"file_format": "jpeg", "depth": 16}, "8 bits a pixel"),
        ({"quality": 0}, "quality must be 1 to 100"),
    ],
)
def test_an_impossible_format_is_refused(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GreyFormat(**settings)


def test_a_mask_keeps_its_integers(tmp_path: Path) -> None:
    mask = np.array([[0, 1, 2], [255, 0, 3]])
    write_index_mask(tmp_path / "m.png", mask)
    assert np.array_equal(read_mask(tmp_path / "m.png"), mask)
    with pytest.raises(ValueError, match="0 to 255"):
        write_index_mask(tmp_path / "n.png", mask - 1)
