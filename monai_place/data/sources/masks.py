"""Masks of public data sets: run lengths, boxes and outlines drawn as index masks, and masks that are files already."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from monai_place.data.radiograph import read_mask
from monai_place.data.sizes import radiograph_size

__all__ = ["FilledBoxes", "IndexMaskFile", "MaskDrawing", "MaskFile", "Outlines", "RunLengths"]

IndexMask = npt.NDArray[np.uint8]

LARGEST_COORDINATE = 1e6  # of no picture; Pillow's integers overflow not far beyond


class MaskDrawing(Protocol):
    """Draws the mask of one image; picklable, since workers draw."""

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) that the mask was stored in; None where it is drawn at any size."""

    def draw(self, height: int, width: int) -> IndexMask:
        """Return the mask (H, W) uint8: 0 is background, 1 to C the classes.

        Args:
            height: of the image in pixels.
            width: of the image in pixels.

        Raises:
            ValueError: what the publisher stored does not fit the image.
        """


@dataclass(frozen=True)
class RunLengths:
    """Run lengths as Kaggle's SIIM-ACR stores them: in columns, each start relative to the end of the run before.

    Args:
        rows: the text of each row of the table; `-1` is "nothing". Several rows of an image are joined.
        height: of the picture that the runs are counted on.
        width: of it.
        value: that the mask has there.

    Example:
        >>> RunLengths(("1 2 2 1",), 3, 2).draw(3, 2).T.tolist()
        [[0, 1, 1], [0, 0, 1]]
    """

    rows: tuple[str, ...]
    height: int = 1024
    width: int = 1024
    value: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the picture that the runs are counted on."""
        return self.height, self.width

    def runs(self) -> list[tuple[int, int]]:
        """Return the first pixel of each run and the one behind its last, counted down the columns.

        Raises:
            ValueError: the rows hold no run lengths, or those of a larger picture.
        """
        found, pixels = [], self.height * self.width
        for row in self.rows:
            position = 0
            for start, length in _pairs(row):
                begin = position + start
                position = begin + length
                if start < 0 or length < 0 or position > pixels:
                    raise ValueError(f"run lengths reach pixel {position}, the picture has {pixels}")
                found.append((begin, position))
        return found

    def draw(self, height: int, width: int) -> IndexMask:
        """Draw the union of all rows; resized to the image, nearest, where that has another size."""
        flat = np.zeros(self.height * self.width, dtype=np.uint8)
        for begin, end in self.runs():
            flat[begin:end] = self.value
        return _fit(flat.reshape(self.width, self.height).T, height, width)


@dataclass(frozen=True)
class FilledBoxes:
    """Boxes filled, as MGCA makes segmentation masks of RSNA's boxes.

    Args:
        boxes: (x0, y0, x1, y1) in pixels of the image, or of a picture of another `size`.
        value: that the mask has there.
        size: (height, width) of the picture that the boxes were drawn on; None where that is the image.

    Example:
        >>> FilledBoxes(((1, 0, 3, 2),)).draw(3, 4).tolist()
        [[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    """

    boxes: tuple[tuple[float, float, float, float], ...]
    value: int = 1
    size: tuple[int, int] | None = None

    def draw(self, height: int, width: int) -> IndexMask:
        """Fill each box, its edges rounded to whole pixels; what lies outside the image is cut."""
        mask = np.zeros((height, width), dtype=np.uint8)
        drawn_height, drawn_width = self.size or (height, width)
        scale = (width / drawn_width, height / drawn_height) * 2
        for box in self.boxes:
            _check_coordinates(box)
            x0, y0, x1, y1 = (max(0, round(value * by)) for value, by in zip(box, scale, strict=True))
            mask[y0:y1, x0:x1] = self.value
        return mask


@dataclass(frozen=True)
class Outlines:
    """Ellipses in boxes, and polygons, filled.

    Args:
        ellipses: (x0, y0, x1, y1) of the box that each touches.
        polygons: corners (x, y) of each.
        boxes: (x0, y0, x1, y1) of rectangles.
        value: that the mask has there.
    """

    ellipses: tuple[tuple[float, float, float, float], ...] = ()
    polygons: tuple[tuple[tuple[float, float], ...], ...] = ()
    boxes: tuple[tuple[float, float, float, float], ...] = ()
    value: int = 1
    size: None = None

    def draw(self, height: int, width: int) -> IndexMask:
        """Fill each outline; what lies outside the image is cut.

        A pixel belongs to an ellipse that holds its centre, and to a polygon that it lies in or on the edge of.
        """
        mask = FilledBoxes(self.boxes, self.value).draw(height, width)
        for box in self.ellipses:
            _fill_ellipse(mask, box, self.value)
        return _fill_polygons(mask, self.polygons, self.value) if self.polygons else mask


@dataclass(frozen=True)
class MaskFile:
    """A mask that the publisher drew: what is brighter than half its maximum is the class.

    Args:
        path: a PNG file.
        value: that the mask has there.
    """

    path: str
    value: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the file."""
        return radiograph_size(self.path)

    def draw(self, height: int, width: int) -> IndexMask:
        """Read the file; resized to the image, nearest, where that has another size."""
        pixels = read_mask(Path(self.path))
        return _fit((pixels > pixels.max() / 2).astype(np.uint8) * np.uint8(self.value), height, width)


@dataclass(frozen=True)
class IndexMaskFile:
    """A mask that is an index mask already: 0 is background, 1 to C the classes.

    Args:
        path: a PNG file.
        classes: C, the largest value that it may hold.
    """

    path: str
    classes: int

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the file."""
        return radiograph_size(self.path)

    def draw(self, height: int, width: int) -> IndexMask:
        """Read the file; resized to the image, nearest, where that has another size."""
        pixels = read_mask(Path(self.path))
        if pixels.max() > self.classes:
            raise ValueError(f"the mask holds {pixels.max()}, there are {self.classes} classes")
        return _fit(pixels.astype(np.uint8), height, width)


def _fill_ellipse(mask: IndexMask, box: tuple[float, float, float, float], value: int) -> None:
    _check_coordinates(box)
    x0, y0, x1, y1 = box
    if x0 >= x1 or y0 >= y1:
        return
    height, width = mask.shape
    left, right = (min(max(0, edge), width) for edge in (math.floor(x0), math.ceil(x1)))
    top, bottom = (min(max(0, edge), height) for edge in (math.floor(y0), math.ceil(y1)))
    x = (np.arange(left, right) + 0.5 - (x0 + x1) / 2) * 2 / (x1 - x0)
    y = (np.arange(top, bottom) + 0.5 - (y0 + y1) / 2) * 2 / (y1 - y0)
    mask[top:bottom, left:right][x**2 + y[:, None] ** 2 <= 1] = value


def _fill_polygons(mask: IndexMask, polygons: Sequence[Sequence[tuple[float, float]]], value: int) -> IndexMask:
    from PIL import Image, ImageDraw

    picture = Image.fromarray(mask)
    pen = ImageDraw.Draw(picture)
    for polygon in polygons:
        _check_coordinates([value for corner in polygon for value in corner])
        if len(polygon) < 2:
            raise ValueError(f"a polygon has several corners, this one {len(polygon)}")
        pen.polygon([(round(x), round(y)) for x, y in polygon], fill=value)
    return np.asarray(picture).copy()


def _check_coordinates(values: Sequence[float]) -> None:
    if not all(-LARGEST_COORDINATE <= value <= LARGEST_COORDINATE for value in values):  # neither is NaN
        raise ValueError(f"coordinates {list(values)!r:.80} are not of a picture")


def _pairs(row: str) -> Sequence[tuple[int, int]]:
    try:
        numbers = [int(number) for number in row.split()]
    except ValueError:
        raise ValueError("run lengths hold something else than whole numbers") from None
    if numbers == [-1]:
        return []
    if len(numbers) % 2:
        raise ValueError(f"run lengths come in pairs, found {len(numbers)} numbers")
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _fit(mask: npt.NDArray[np.uint8], height: int, width: int) -> IndexMask:
    if mask.shape == (height, width):
        return np.ascontiguousarray(mask)
    from PIL import Image

    resized = Image.fromarray(np.ascontiguousarray(mask)).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(resized).copy()
