from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from monai_place.data.radiograph import RadiographError
from monai_place.data.sources.masks import FilledBoxes, MaskDrawing, MaskFile, Outlines, RunLengths

Pixels = npt.NDArray[np.uint8]


def encode(mask: Pixels) -> str:
    """Run lengths as the competition defines them: column after column, starts relative to the run before."""
    runs, position = [], 0
    padded = np.concatenate(([0], mask.T.ravel(), [0]))
    for begin, end in zip(*(np.flatnonzero(np.diff(padded) == step) for step in (1, -1)), strict=True):
        runs += [begin - position, end - begin]
        position = end
    return " ".join(map(str, runs))


def test_run_lengths_read_back_what_was_encoded() -> None:
    for seed in range(5):
        mask = (np.random.default_rng(seed).random((7, 11)) < 0.4).astype(np.uint8)
        np.testing.assert_array_equal(RunLengths((encode(mask),), 7, 11).draw(7, 11), mask)


def test_run_lengths_go_down_the_columns_from_pixel_0() -> None:
    # 0-2 is the first column of three rows: one pixel is skipped, two are taken, which are rows 1 and 2.
    np.testing.assert_array_equal(RunLengths(("1 2",), 3, 2).draw(3, 2), [[0, 0], [1, 0], [1, 0]])


def test_rows_of_one_image_are_joined_and_minus_one_is_nothing() -> None:
    first, second = np.zeros((2, 4, 5), dtype=np.uint8)
    first[:2, :2] = second[1:3, 1:3] = 1
    drawn = RunLengths((encode(first), "-1", "", encode(second)), 4, 5, value=3).draw(4, 5)
    np.testing.assert_array_equal(drawn, 3 * (first | second))
    assert RunLengths(("-1",)).draw(1024, 1024).max() == 0


def test_run_lengths_are_resized_to_another_image() -> None:
    drawing = RunLengths(("0 2",), 2, 2)
    assert drawing.size == (2, 2)
    np.testing.assert_array_equal(drawing.draw(4, 6), [[1, 1, 1, 0, 0, 0]] * 4)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        pytest.param("0 5", "run lengths reach pixel 5, the picture has 4", id="too long"),
        pytest.param("1 1 99999999999999999999 1", "the picture has 4", id="far beyond"),
        pytest.param("-2 1", "run lengths reach pixel -1", id="negative start"),
        pytest.param("3 -2", "run lengths reach pixel 1", id="negative length"),
        pytest.param("1 2 3", "come in pairs, found 3 numbers", id="odd"),
        pytest.param("1.0 2", "something else than whole numbers", id="fraction"),
        pytest.param("one two", "something else than whole numbers", id="words"),
    ],
)
def test_run_lengths_that_do_not_fit_are_refused(row: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RunLengths((row,), 2, 2).draw(2, 2)


def test_boxes_are_filled_rounded_and_cut_at_the_edges() -> None:
    drawn = FilledBoxes(((-3, -1, 1.4, 2), (2.6, 1, 9, 2.4)), value=2).draw(3, 5)
    np.testing.assert_array_equal(drawn, [[2, 0, 0, 0, 0], [2, 0, 0, 2, 2], [0, 0, 0, 0, 0]])
    for outside in ((9, 9, 12, 12), (-9, -9, -2, -2), (3, 3, 1, 1)):
        assert FilledBoxes((outside,)).draw(3, 5).max() == 0
    assert FilledBoxes(()).draw(2, 2).shape == (2, 2)


def test_boxes_of_a_picture_of_another_size_are_brought_to_the_image() -> None:
    drawn = FilledBoxes(((2, 4, 6, 8),), size=(10, 20)).draw(5, 10)
    np.testing.assert_array_equal(drawn, FilledBoxes(((1, 2, 3, 4),)).draw(5, 10))


def ellipse_by_definition(box: tuple[float, float, float, float], height: int, width: int) -> Pixels:
    """A slow oracle: is the centre of each pixel inside?"""
    x0, y0, x1, y1 = box
    mask = np.zeros((height, width), dtype=np.uint8)
    for row in range(height):
        for column in range(width):
            x, y = column + 0.5 - (x0 + x1) / 2, row + 0.5 - (y0 + y1) / 2
            mask[row, column] = (2 * x / (x1 - x0)) ** 2 + (2 * y / (y1 - y0)) ** 2 <= 1
    return mask


@pytest.mark.parametrize(
    "box",
    [
        pytest.param((2, 3, 12, 9), id="inside"),
        pytest.param((2.3, 3.1, 11.9, 9.7), id="fractions"),
        pytest.param((-6, -4, 5, 6), id="over the upper left corner"),
        pytest.param((10, 7, 30, 25), id="over the lower right corner"),
        pytest.param((4, 4, 5, 5), id="one pixel"),
        pytest.param((4, 4, 4.2, 9), id="a sliver without centres"),
        pytest.param((40, 40, 50, 50), id="outside"),
        pytest.param((-50, 2, -40, 9), id="left of it"),
    ],
)
def test_an_ellipse_holds_the_pixels_whose_centre_it_holds(box: tuple[float, float, float, float]) -> None:
    drawn = Outlines(ellipses=(box,)).draw(11, 16)
    np.testing.assert_array_equal(drawn, ellipse_by_definition(box, 11, 16))


def test_an_ellipse_without_area_is_nothing() -> None:
    assert Outlines(ellipses=((2, 2, 2, 5), (3, 3, 1, 1))).draw(6, 6).max() == 0


def test_a_polygon_is_filled_with_its_outline_and_cut_at_the_edges() -> None:
    drawn = Outlines(polygons=(((1, 1), (3, 1), (3, 2.2), (1, 2)),)).draw(5, 6)
    expected = np.zeros((5, 6))
    expected[1:3, 1:4] = 1
    np.testing.assert_array_equal(drawn, expected)
    assert Outlines(polygons=(((-9, -9), (20, -9), (20, 20), (-9, 20)),)).draw(5, 6).all()
    assert Outlines(polygons=(((1, 1), (4, 4)),)).draw(5, 6).sum() == 4  # a line stays one


def test_outlines_of_every_kind_are_joined_under_one_value() -> None:
    parts: list[dict[str, Any]] = [
        {"ellipses": ((0, 0, 8, 8),)},
        {"polygons": (((10, 10), (18, 10), (10, 18)),)},
        {"boxes": ((5, 5, 12, 12),)},
    ]
    whole = Outlines(**{key: value for part in parts for key, value in part.items()}, value=4).draw(20, 20)
    joined = np.maximum.reduce([Outlines(**part).draw(20, 20) for part in parts])
    np.testing.assert_array_equal(whole, 4 * joined)
    assert whole.dtype == np.uint8
    assert whole.flags.writeable


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1e12])
def test_coordinates_that_are_of_no_picture_are_refused(value: float) -> None:
    for drawing in (
        FilledBoxes(((0, 0, value, 2),)),
        Outlines(ellipses=((0, 0, 2, value),)),
        Outlines(polygons=(((0, 0), (value, 2), (3, 3)),)),
    ):
        with pytest.raises(ValueError, match="are not of a picture"):
            drawing.draw(4, 4)


def test_a_polygon_of_one_corner_is_refused() -> None:
    with pytest.raises(ValueError, match="a polygon has several corners, this one 1"):
        Outlines(polygons=(((1, 1),),)).draw(4, 4)


def test_a_mask_file_is_what_is_brighter_than_half(tmp_path: Path) -> None:
    path = tmp_path / "mask.png"
    Image.fromarray(np.array([[0, 90, 255], [128, 127, 200]], dtype=np.uint8)).save(path)
    drawing = MaskFile(str(path), value=2)
    assert drawing.size == (2, 3)
    np.testing.assert_array_equal(drawing.draw(2, 3), [[0, 0, 2], [2, 0, 2]])
    assert drawing.draw(4, 6).shape == (4, 6)


@pytest.mark.parametrize(
    "pixels", [np.zeros((3, 3), np.uint8), np.eye(3, dtype=np.uint8), np.eye(3, dtype=np.uint16) * 999]
)
def test_a_mask_file_of_any_depth_and_an_empty_one(tmp_path: Path, pixels: Any) -> None:
    Image.fromarray(pixels).save(tmp_path / "mask.png")
    np.testing.assert_array_equal(MaskFile(str(tmp_path / "mask.png")).draw(3, 3), pixels > 0)


def test_a_mask_file_that_is_missing_or_damaged_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    for name in ("broken.png", "missing.png"):
        with pytest.raises(RadiographError, match=name):
            MaskFile(str(tmp_path / name)).draw(3, 3)


@pytest.mark.parametrize("drawing", [RunLengths(("0 1",)), FilledBoxes(((0, 0, 1, 1),)), Outlines(), MaskFile("a.png")])
def test_drawings_travel_to_workers(drawing: MaskDrawing) -> None:
    assert pickle.loads(pickle.dumps(drawing)) == drawing
