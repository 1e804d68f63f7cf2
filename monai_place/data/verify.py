"""All faults of a datalist in one pass, so that an archive is mended once and not file by file."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_place.data.datalist import Datalist, parse_datalist, read_report, record_problems
from monai_place.data.paths import PathGuard

__all__ = ["Fault", "verify_datalist"]

logger = logging.getLogger(__name__)

Found = Iterator[tuple[str, str]]  # (key, message)
Size = tuple[int, int]  # height, width


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong with one record.

    Args:
        split: of the record.
        record_id: its id, or `#` and its index where it has none.
        key: of the record that is wrong, such as `mask` or `findings[0].box`.
        message: what is wrong, with the value and what was expected.
    """

    split: str
    record_id: str
    key: str
    message: str


@dataclass
class _Seen:
    """What is known of the records before: the first split of each id, patient and image file."""

    ids: dict[str, str] = field(default_factory=dict)
    patients: dict[str, str] = field(default_factory=dict)
    images: dict[str, str] = field(default_factory=dict)
    shared_images: set[str] = field(default_factory=set)


def verify_datalist(
    path: str | os.PathLike[str],
    *,
    images: bool = True,
    progress: Callable[[int, int], None] | None = None,
) -> list[Fault]:
    """Check every record of a datalist and every file that it names.

    Found are: a breach of the schema, a path outside the root, a missing or unreadable file (pictures are decoded as in
    training), a duplicate id, a patient in two splits, an empty report, a mask of another size than its picture, a box
    that is degenerate or outside its picture, a list of another length than it must have, a label that is not 0, 1 or
    null.

    Args:
        path: the datalist.
        images: decode pictures and masks; without it files are only looked for, and sizes are not compared.
        progress: called with (records done, all records) after each record.

    Returns:
        The faults in the order of the file; none for a sound datalist.

    Raises:
        DatalistError: the file is not JSON, or its head is no datalist's.
    """
    datalist = parse_datalist(path)
    guards, seen = (PathGuard(datalist.root), PathGuard(datalist.mask_root)), _Seen()
    total = sum(map(len, datalist.splits.values()))
    faults: list[Fault] = []
    for done, (split, index, record) in enumerate(datalist.records(), 1):
        name = str(record["id"]) if isinstance(record, dict) and record.get("id") else f"#{index}"
        faults += [
            Fault(split, name, key, message)
            for key, message in _record_faults(record, split, datalist, guards, seen, images=images)
        ]
        if progress is not None:
            progress(done, total)
    if seen.shared_images:
        logger.warning("%s: %d image files are used in two splits", Path(path).name, len(seen.shared_images))
    return faults


def _record_faults(
    record: Any, split: str, datalist: Datalist, guards: tuple[PathGuard, PathGuard], seen: _Seen, *, images: bool
) -> Found:
    guard, masks = guards
    problems = list(record_problems(record))
    yield from problems
    if not isinstance(record, dict):
        return
    # A value of the wrong kind is named once, and not looked into.
    sound = {key: value for key, value in record.items() if value is not None and key not in dict(problems)}
    yield from _identity_faults(sound, split, seen)
    yield from _report_faults(sound, guard)
    yield from _label_faults(sound, len(datalist.classes))
    size: Size | None = None
    if "image" in sound:
        if seen.images.setdefault(sound["image"], split) != split:
            seen.shared_images.add(sound["image"])
        size, message = _look(guard, sound["image"], _image_size if images else None)
        if message:
            yield "image", message
    if "mask" in sound:
        yield from _mask_faults(masks, sound["mask"], "mask", size if images else None, decode=images)
    yield from _box_faults(sound, size, len(datalist.classes))
    for index, finding in enumerate(sound.get("findings", ())):
        yield from _finding_faults(finding, f"findings[{index}]", masks, size, decode=images)


def _identity_faults(record: dict[str, Any], split: str, seen: _Seen) -> Found:
    if "id" in record:
        if record["id"] in seen.ids:
            yield "id", f"duplicate id, first used in split {seen.ids[record['id']]!r}"
        seen.ids.setdefault(record["id"], split)
    if "patient_id" in record:
        first = seen.patients.setdefault(str(record["patient_id"]), split)
        if first != split:
            yield "patient_id", f"the patient is also in split {first!r}"


def _report_faults(record: dict[str, Any], guard: PathGuard) -> Found:
    if "report" in record and not _has_text(record["report"]):
        yield "report", "the report is empty"
    if "report_path" in record:
        text, message = _look(guard, record["report_path"], read_report)
        if message:
            yield "report_path", message
        elif not _has_text(text):
            yield "report_path", "the report is empty"


def _has_text(text: str) -> bool:
    return any(character.isalnum() for character in text)


def _label_faults(record: dict[str, Any], classes: int) -> Found:
    if "label" not in record:
        return
    label = record["label"]
    if len(label) != classes:
        yield "label", f"has {len(label)} entries, the datalist has {classes} classes"
    for index, value in enumerate(label):
        if value is not None and (isinstance(value, bool) or value not in (0, 1)):
            yield "label", f"entry {index} is {value!r:.40}, expected 0, 1 or null"


def _mask_faults(guard: PathGuard, relative: str, key: str, size: Size | None, *, decode: bool) -> Found:
    mask_size, message = _look(guard, relative, _mask_size if decode else None)
    if message:
        yield key, message
    elif size is not None and mask_size is not None and mask_size != size:
        yield key, f"the mask has {_by(mask_size)} pixels, its image {_by(size)}"


def _box_faults(record: dict[str, Any], size: Size | None, classes: int) -> Found:
    boxes = record.get("boxes", [])
    for index, box in enumerate(boxes):
        if message := _box_fault(box, size):
            yield "boxes", f"box {index} {message}"
    if "box_classes" not in record:
        return
    names = record["box_classes"]
    if len(names) != len(boxes):
        yield "box_classes", f"has {len(names)} entries for {len(boxes)} boxes"
    for index, name in enumerate(names):
        if isinstance(name, bool) or not isinstance(name, (str, int)):
            yield "box_classes", f"entry {index} is {name!r:.40}, expected a name or the index of a class"
        elif isinstance(name, int) and not 0 <= name < classes:
            yield "box_classes", f"entry {index} is {name}, the datalist has {classes} classes"


def _finding_faults(finding: dict[str, Any], key: str, guard: PathGuard, size: Size | None, *, decode: bool) -> Found:
    mask = finding.get("mask")
    if isinstance(mask, str):
        yield from _mask_faults(guard, mask, f"{key}.mask", size, decode=decode)
    elif mask is not None:
        yield f"{key}.mask", f"must be str or null, got {type(mask).__name__}"
    if finding.get("box") is not None and (message := _box_fault(finding["box"], size)):
        yield f"{key}.box", f"the box {message}"


def _box_fault(box: Any, size: Size | None) -> str | None:
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        return f"is {box!r:.60}, expected [x0, y0, x1, y1]"
    x0, y0, x1, y1 = box
    if x1 <= x0 or y1 <= y0:
        return f"{box} is degenerate, expected x0 < x1 and y0 < y1"
    if x0 < 0 or y0 < 0 or (size is not None and (x1 > size[1] or y1 > size[0])):
        return f"{box} lies outside its image" + (f" of {_by(size)} pixels" if size else "")
    return None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _by(size: Size) -> str:
    return f"{size[0]} x {size[1]}"


def _look(guard: PathGuard, relative: str, read: Callable[[Path], Any] | None) -> tuple[Any, str | None]:
    """Return (what `read` makes of the file, None), or (None, why it cannot be used)."""
    try:
        path = guard.resolve(relative)
        if not os.path.isfile(path):  # noqa: PTH113  (a Path object a record would take half of the time)
            return None, f"file {Path(path).name!r} does not exist"
        return (read(Path(path)) if read else None), None
    except ValueError as error:  # RadiographError among them
        return None, str(error)
    except OSError as error:
        return None, f"cannot read the file: {error.strerror or type(error).__name__}"


def _image_size(path: Path) -> Size:
    from monai_place.data.radiograph import read_radiograph

    height, width = read_radiograph(path)[0].shape
    return height, width


def _mask_size(path: Path) -> Size:
    from monai_place.data.radiograph import read_mask

    height, width = read_mask(path).shape
    return height, width
