"""What the datasets of both toolboxes read of a datalist: the records of a split, label fractions, classes and paths.

Nothing here imports a toolbox.
"""

from __future__ import annotations

import colorsys
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

from monai_place.data.datalist import SPLITS, Datalist, has_value
from monai_place.data.id_lists import read_ids
from monai_place.data.paths import PathGuard
from monai_place.data.splits import draw_fraction

__all__ = [
    "Box",
    "Ids",
    "Missing",
    "RecordChoice",
    "box_class_names",
    "join_root",
    "labelled_boxes",
    "mask_class_names",
    "number_classes",
    "overlay_palette",
    "resolve_file",
]

logger = logging.getLogger(__name__)

Missing: TypeAlias = Literal["error", "skip"]
Ids: TypeAlias = str | os.PathLike[str] | Sequence[str]
Box: TypeAlias = tuple[float, float, float, float]  # x0, y0, x1, y1 in pixels of the image file

MERGED_CLASS = "finding"  # the name of what several classes are merged into, or of boxes that have none
GOLDEN_ANGLE = 0.381966  # of the color circle: neighbors differ most, however many there are


@dataclass(frozen=True)
class RecordChoice:
    """Which records of a datalist a dataset holds.

    Args:
        split: `training`, `validation` or `test`.
        missing: what to do with records that lack the annotation (the key, or it is null or blank): raise, or leave
            them out and log how many.
        ids: the ids of the records to use, or a file of them (one a line, or a JSON list). All must be in the split.
        fraction: the share of the annotated records (of `ids`, where given) to use, drawn by id: 0.01 lies inside 0.1.
        seed: of that draw.

    Raises:
        ValueError: an argument is out of range.
    """

    split: str
    missing: Missing = "error"
    ids: Ids | None = None
    fraction: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise ValueError(f"split must be one of {SPLITS}, got {self.split!r}")
        if self.missing not in get_args(Missing):
            raise ValueError(f"missing must be one of {get_args(Missing)}, got {self.missing!r}")
        if self.fraction is not None:
            draw_fraction((), self.fraction)  # checks its range

    def records(self, datalist: Datalist, name: str, key: str) -> list[tuple[int, dict[str, Any]]]:
        """Return the chosen records in the order of the datalist, each with its index in the split.

        Args:
            datalist: where they come from.
            name: of the datalist's file, for messages.
            key: the annotation that each must have.

        Raises:
            ValueError: ids are not in the split, records lack the annotation, or none is left.
        """
        records = list(enumerate(datalist.splits[self.split]))
        if self.ids is not None:
            wanted = _read_ids(self.ids)
            if unknown := sorted(wanted - {record["id"] for _, record in records}):
                few = f"{len(unknown)} of {len(wanted)} ids"
                raise ValueError(f"{name}: {few} are not in split {self.split!r}, such as {unknown[:3]}")
            records = [(index, record) for index, record in records if record["id"] in wanted]
        having = [(index, record) for index, record in records if has_value(record.get(key))]
        if lacking := len(records) - len(having):
            message = f"{name}: {lacking} of {len(records)} records of split {self.split!r} lack {key!r}"
            if self.missing == "error":
                raise ValueError(f"{message}, which this task needs; missing='skip' leaves them out")
            logger.info("%s: left out", message)
        if self.fraction is not None:
            drawn = draw_fraction((record["id"] for _, record in having), self.fraction, seed=self.seed)
            having = [(index, record) for index, record in having if record["id"] in drawn]
        if not having:
            raise ValueError(f"{name}: split {self.split!r} has no record with {key!r} left to use")
        return having


def mask_class_names(datalist: Datalist) -> list[str]:
    """Return the classes of the values 1, 2, ... of the datalist's masks."""
    return list(datalist.extra.get("mask_classes") or datalist.classes)


def box_class_names(datalist: Datalist) -> list[str]:
    """Return the classes of the datalist's boxes, the same for each split.

    They are `classes` of the datalist where all boxes are of those, or else all names that boxes have, sorted. Boxes
    without any name are of one class, `finding`.
    """
    names: set[str] = set()
    boxed = False
    for _, _, record in datalist.records():
        boxed = boxed or bool(record.get("boxes"))
        names.update(_box_name(name, datalist.classes, record) for name in record.get("box_classes") or ())
    if boxed and not names:
        return [MERGED_CLASS]
    return list(datalist.classes) if names <= set(datalist.classes) else sorted(names)


def number_classes(
    known: Sequence[str], chosen: Sequence[str] | None, *, merge: bool | str
) -> tuple[tuple[str, ...], dict[str, int]]:
    """Number the classes of a dataset.

    Args:
        known: the classes of the annotation.
        chosen: which of them to use, in this order; None uses all.
        merge: make one class of them: its name, or True for the class's own where it is one, and else `finding`.

    Returns:
        The names of the dataset's classes, and the label of each known class that is used.

    Raises:
        ValueError: a class is unknown or named twice, or there is none.

    Example:
        >>> number_classes(["edema", "nodule"], ["nodule"], merge=False)
        (('nodule',), {'nodule': 0})
        >>> number_classes(["edema", "nodule"], None, merge="opacity")
        (('opacity',), {'edema': 0, 'nodule': 0})
    """
    if isinstance(chosen, str):
        raise ValueError(f"classes must be a list of names, got the text {chosen!r}")
    names = list(known if chosen is None else chosen)
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f"classes {unknown} are not annotated; the annotated ones are {list(known)}")
    if not names or len(set(names)) < len(names):
        raise ValueError(f"classes must be different names, at least one, got {names}")
    if merge is False:
        return tuple(names), {name: label for label, name in enumerate(names)}
    single = names[0] if len(names) == 1 else MERGED_CLASS
    return (merge if isinstance(merge, str) else single,), dict.fromkeys(names, 0)


def labelled_boxes(
    record: Mapping[str, Any], classes: Sequence[str], labels: Mapping[str, int], *, known: Sequence[str] | None = None
) -> list[tuple[str, int, Box]]:
    """Return (class, label, box) for each box of a record whose class is used.

    Args:
        record: of the datalist.
        classes: of the datalist; a box may name its class by its index there.
        labels: the label of each class that is used.
        known: all classes of the annotation, used or not; None means those of `labels`. A box without a class is of the
            only one, and an error where there are several.

    Raises:
        ValueError: a box or its class is not what a datalist may hold.
    """
    boxes, names = record["boxes"], record.get("box_classes")
    if names is None:
        only = list(labels if known is None else known)
        if boxes and len(only) != 1:
            raise ValueError(f"record {record['id']!r:.80}: key 'box_classes' is missing, the classes are {only}")
        names = only * len(boxes)
    if len(names) != len(boxes):
        raise ValueError(f"record {record['id']!r:.80}: {len(names)} box_classes for {len(boxes)} boxes")
    labelled = []
    for place, (box, name) in enumerate(zip(boxes, names, strict=True)):
        if not isinstance(box, Sequence) or len(box) != 4 or not all(isinstance(value, int | float) for value in box):
            raise ValueError(f"record {record['id']!r:.80}: box {place} is {box!r:.60}, expected [x0, y0, x1, y1]")
        x0, y0, x1, y1 = map(float, box)
        if not (x0 < x1 and y0 < y1):
            raise ValueError(
                f"record {record['id']!r:.80}: box {place} is {box!r:.60}, expected x0 below x1 and y0 below y1"
            )
        class_name = _box_name(name, classes, record)
        if class_name in labels:
            labelled.append((class_name, labels[class_name], (x0, y0, x1, y1)))
    return labelled


def join_root(path: Any, root: str | os.PathLike[str] | None) -> Any:
    """Return a relative path under `root`, as OpenMMLab's `data_root` has it; what is no path is returned as it is."""
    return Path(root) / path if root is not None and isinstance(path, str | os.PathLike) else path


def overlay_palette(count: int) -> list[tuple[int, int, int]]:
    """Return as many well-told-apart colors, the same each time."""
    colors = (colorsys.hsv_to_rgb((0.97 + GOLDEN_ANGLE * index) % 1, 0.75, 1.0) for index in range(count))
    return [(round(255 * red), round(255 * green), round(255 * blue)) for red, green, blue in colors]


def resolve_file(guard: PathGuard, record: Mapping[str, Any], key: str) -> str:
    """Return the absolute path under a key of a record.

    Raises:
        ValueError: it leaves the root, or is no path; the record and the key are named.
    """
    value = record[key]
    if not isinstance(value, str):
        raise ValueError(f"record {record['id']!r:.80}: key {key!r} must be str, got {type(value).__name__}")
    try:
        return guard.resolve(value)
    except ValueError as error:
        raise ValueError(f"record {record['id']!r:.80}: key {key!r}: {error}") from None


def _box_name(name: Any, classes: Sequence[str], record: Mapping[str, Any]) -> str:
    if isinstance(name, str):
        return name
    if isinstance(name, int) and not isinstance(name, bool) and 0 <= name < len(classes):
        return classes[name]
    expected = f"expected a name or an index of the {len(classes)} classes"
    raise ValueError(f"record {record['id']!r:.80}: a box class is {name!r:.40}, {expected}")


def _read_ids(ids: Ids) -> set[str]:
    if not isinstance(ids, str | os.PathLike):
        listed = [str(record_id) for record_id in ids]
        source = "ids"
    else:
        source = Path(ids).name
        listed = read_ids(ids)
    if not listed:
        raise ValueError(f"{source}: no id is listed")
    if len(set(listed)) < len(listed):
        twice = sorted({record_id for record_id in listed if listed.count(record_id) > 1})
        raise ValueError(f"{source}: ids are listed twice, such as {twice[:3]}")
    return set(listed)
