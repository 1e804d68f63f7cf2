"""Object-CXR (JF Healthcare, MIDL 2020): foreign objects on radiographs, as boxes, ellipses and polygons.

What to download: the set of the challenge "object-CXR"; its page is closed, copies are on Academic Torrents and among
Kaggle's data sets, and the terms stand with them. Unpack the archives; what is expected::

    train/                          8,000 JPEG radiographs
    dev/                            1,000
    train.csv, dev.csv              image_name (or image_path),annotation
    test/, test.csv                 1,000 more, where the copy has them

An archive may be unpacked into a folder of its own (`train/train/`), and all images may lie in one folder `images/`.
Half of the images of each part have objects; an annotation holds shapes with `;` between them::

    0 x1 y1 x2 y2                   a rectangle
    1 x1 y1 x2 y2                   the ellipse in this box
    2 x1 y1 x2 y2 x3 y3 ...         a polygon

Expected counts: 8,000 rows of train.csv, 1,000 of dev.csv, 1,000 of test.csv where it is asked for.

- `id`: the part and the file's name. The set tells no patients: records have no `patient_id`, and splits are by image.
- `label`: 1 with any shape. One class, `Foreign object`.
- `boxes`: one a shape, the smallest that holds it. An image without any has `boxes: []`. Shapes without area, and boxes
  outside their image, are not taken; the rest is cut at the edges.
- `mask`: the shapes filled, ellipses as ellipses, 1 inside. (BenchX fills the boxes of ellipses.)

Options:

- `split`: `published` (default), as MGCA has it: `train_test_split(test_size=0.1, random_state=0)` over the rows of
  train.csv, 7,200/800, tested on the 1,000 of dev.csv. `official`: the three parts as they are, as BenchX has them.
- `polygon_box`: `tight`, or `centred`: the box around the middle of the polygon (the point farthest from the edge of
  the outline widened by 100 pixels) that reaches its farthest ends, so it is larger than tight. It needs shapely, whose
  search for the middle stops within 10 pixels; MGCA's ran an earlier version of it, so boxes agree only about so well.
- `mode`: `clean`, or `mgca` for `polygon_box=centred`.

Format and sizes are from the challenge's page, layout and quirk from MGCA's and BenchX's published preparations.

Reference:
    JF Healthcare: object-CXR, automatic detection of foreign objects on chest X-rays. MIDL, 2020.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_place.data.sources.draft import PrepareReport, SourceDraft
from monai_place.data.sources.masks import Outlines
from monai_place.data.sources.mgca import MODES, check_choice, draw_two_splits
from monai_place.data.sources.tables import check_counts as compare_counts
from monai_place.data.sources.tables import find_file, read_table

__all__ = ["read_object_cxr"]

CLASS = "Foreign object"
EXPECTED = {"train": 8000, "dev": 1000, "test": 1000}
PARTS = {"published": ("train", "dev"), "official": ("train", "dev", "test")}
BOX_CHOICES = ("tight", "centred")
SHARE_THAT_VALIDATES = 0.1
RECTANGLE, ELLIPSE, POLYGON = 0, 1, 2
WIDENED_PIXELS, TOLERANCE_PIXELS = 100, 10  # MGCA's

Box = tuple[float, float, float, float]
Point = tuple[float, float]


@dataclass(frozen=True)
class _Shape:
    kind: int
    points: tuple[Point, ...]

    @property
    def box(self) -> Box:
        """The smallest box that holds the shape."""
        xs, ys = zip(*self.points, strict=True)
        return min(xs), min(ys), max(xs), max(ys)


@dataclass(frozen=True)
class _Row:
    part: str
    name: str
    shapes: tuple[_Shape, ...]


def read_object_cxr(
    source: Path,
    *,
    mode: str = "clean",
    split: str = "published",
    polygon_box: str | None = None,
    check_counts: bool = True,
    report: PrepareReport,
) -> SourceDraft:
    """Read the tables of Object-CXR.

    Args:
        source: the folder with `train.csv` and `dev.csv`.
        mode: `clean` or `mgca`; sets `polygon_box` where that is not given.
        split: `published` or `official`; see the module.
        polygon_box: `tight` or `centred`.
        check_counts: refuse tables of other counts than published.
        report: counts what is left out and why.

    Raises:
        FileNotFoundError: a table is not there.
        ImportError: centred boxes are asked for, and shapely is not installed.
        ValueError: an annotation is not what it must be, counts differ, or an option is unknown.
    """
    check_choice("mode", mode, MODES)
    check_choice("split", split, list(PARTS))
    polygon_box = polygon_box or ("centred" if mode == "mgca" else "tight")
    check_choice("polygon_box", polygon_box, BOX_CHOICES)
    rows = {part: _read_rows(source, part, report) for part in PARTS[split]}
    compare_counts(
        "object-cxr",
        {f"rows of {part}.csv": EXPECTED[part] for part in rows},
        {f"rows of {part}.csv": len(found) for part, found in rows.items()},
        check=check_counts,
    )
    if split == "official":
        rows_of = {"training": rows["train"], "validation": rows["dev"], "test": rows["test"]}
    else:
        training, validation = draw_two_splits(rows["train"], SHARE_THAT_VALIDATES)
        rows_of = {"training": training, "validation": validation, "test": rows["dev"]}
    draft = SourceDraft(
        name="object-cxr",
        version="2020",
        source="Object-CXR, JF Healthcare, MIDL 2020; terms of the copy",
        classes=[CLASS],
        splits={name: [] for name in rows_of},
        extra={"mask_classes": [CLASS], "mode": mode, "split": split, "polygon_box": polygon_box},
    )
    folders = {part: _image_folder(source, part, found) for part, found in rows.items()}
    seen: set[str] = set()
    for name, drawn in rows_of.items():
        for row in drawn:
            record = _record(row, folders[row.part], centred=polygon_box == "centred")
            if record["id"] in seen:
                report.leave_out(record["id"], "listed twice")
                continue
            seen.add(record["id"])
            draft.splits[name].append(record)
            draft.masks[record["id"]] = _outlines(row.shapes)
    return draft


def _read_rows(source: Path, part: str, report: PrepareReport) -> list[_Row]:
    path = find_file(source, f"{part}.csv", what="a table of annotations")
    rows = []
    for number, row in enumerate(read_table(path, ("annotation",)), 1):
        where = f"{path.name}: row {number}"
        if "image_name" not in row and "image_path" not in row:
            raise ValueError(f"{path.name}: columns ['image_name'] are missing (or 'image_path'); found {sorted(row)}")
        name = Path((row.get("image_name") or row.get("image_path") or "").replace("\\", "/")).name
        if not name:
            raise ValueError(f"{where}: image_name is empty")
        shapes = [_parse(text, where) for text in row["annotation"].split(";") if text.strip()]
        solid = tuple(shape for shape in shapes if shape.box[0] < shape.box[2] and shape.box[1] < shape.box[3])
        if flat := len(shapes) - len(solid):
            report.notes["shapes without area, not taken"] += flat
        rows.append(_Row(part, name, solid))
    return rows


def _parse(text: str, where: str) -> _Shape:
    try:
        kind, *numbers = map(float, text.split())
    except ValueError:
        raise ValueError(f"{where}: shape {text.strip()!r:.60} holds something else than numbers") from None
    if kind not in (RECTANGLE, ELLIPSE, POLYGON):
        raise ValueError(f"{where}: shape {text.strip()!r:.60} begins with {kind:g}, expected 0, 1 or 2")
    expected = "pairs of x and y" if kind == POLYGON else "x1 y1 x2 y2"
    right = len(numbers) >= 2 and len(numbers) % 2 == 0 if kind == POLYGON else len(numbers) == 4
    if not right or not all(map(math.isfinite, numbers)):
        raise ValueError(f"{where}: shape {text.strip()!r:.60} has {len(numbers)} numbers, expected {expected}")
    return _Shape(int(kind), tuple(zip(numbers[::2], numbers[1::2], strict=True)))


def _image_folder(source: Path, part: str, rows: Sequence[_Row]) -> str:
    """Return the folder, relative to the source, that has images of a part."""
    folders = (part, f"{part}/{part}", f"images/{part}", "images")
    return next((f for f in folders if any((source / f / row.name).is_file() for row in rows)), part)


def _record(row: _Row, folder: str, *, centred: bool) -> dict[str, Any]:
    boxes = [_centred_box(shape.points) if centred and shape.kind == POLYGON else shape.box for shape in row.shapes]
    return {
        "id": f"{row.part}/{row.name}",
        "image": f"{folder}/{row.name}",
        "label": [int(bool(row.shapes))],
        "boxes": [list(box) for box in boxes],
        "box_classes": [CLASS] * len(boxes),
    }


def _outlines(shapes: Sequence[_Shape]) -> Outlines:
    return Outlines(
        ellipses=tuple(shape.box for shape in shapes if shape.kind == ELLIPSE),
        polygons=tuple(shape.points for shape in shapes if shape.kind == POLYGON),
        boxes=tuple(shape.box for shape in shapes if shape.kind == RECTANGLE),
    )


def _centred_box(points: Sequence[Point]) -> Box:
    """MGCA's box of a polygon: around the pole of the widened outline, as far to either side as the farther end."""
    try:
        from shapely import LineString
        from shapely.ops import polylabel
    except ImportError:
        raise ImportError("polygon_box='centred' needs shapely: pip install 'monai-place[mm]' brings it") from None
    outline = LineString([*points, points[0]])
    middle = polylabel(outline.buffer(WIDENED_PIXELS), tolerance=TOLERANCE_PIXELS)
    x0, y0, x1, y1 = outline.bounds
    x_reach = max(abs(x0 - middle.x), abs(x1 - middle.x))
    y_reach = max(abs(y0 - middle.y), abs(y1 - middle.y))
    return middle.x - x_reach, middle.y - y_reach, middle.x + x_reach, middle.y + y_reach
