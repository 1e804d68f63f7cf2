"""The datalist: which studies there are, where their files lie, and which split each belongs to.

The file is MONAI's decathlon JSON with more keys::

    {"name", "version", "source", "image_root", "classes", "training": [...], "validation": [...], "test": [...]}

A record is a plain dictionary. `id` and `image` are required; every other key is optional and may be null:

| key | value |
|---|---|
| `image`, `mask`, `report_path` | paths relative to `image_root`; `mask` holds 0 for background and 1..C in the order of `mask_classes` (top level) or, without it, of `classes` |
| `patient_id`, `study_id`, `view`, `language` | text; ids are opaque |
| `report`, `sections` | text, or text by section name |
| `label` | 0, 1 or null (unknown) per class |
| `boxes`, `box_classes` | `[x0, y0, x1, y1]` in pixels of the image as it is read, x right, y down, x1 and y1 exclusive |
| `findings`, `sentences` | lists of dictionaries: what is seen where, and which sentence speaks of it |

`image_root` is relative to the folder of the datalist, or absolute. No path of a record leaves it. Masks may have a root
of their own, `mask_root` (top level): those of a public data set are drawn into a folder of ours, while its images stay
where they are. Keys that are not listed here are kept, at the top and in the records.
"""  # noqa: E501  (a table cannot be wrapped)

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_place.atomic import atomic_path
from monai_place.data.datalist_lines import decode_json, read_record_lines
from monai_place.data.encodings import text_encoding
from monai_place.data.paths import PathGuard, resolve_inside

__all__ = [
    "SPLITS",
    "Datalist",
    "DatalistError",
    "has_value",
    "load_records",
    "read_datalist",
    "record_problems",
    "resolve_inside",
    "write_datalist",
]

logger = logging.getLogger(__name__)

SPLITS = ("training", "validation", "test")
HEAD_KEYS = ("name", "version", "source", "image_root")

TEXT = (str, type(None))
# What each known key of a record may hold. Only the kind is checked here, cheaply; `verify_datalist` looks inside.
RECORD_TYPES: dict[str, tuple[type, ...]] = {
    "id": (str,),
    "image": (str,),
    "patient_id": (*TEXT, int),
    "study_id": (*TEXT, int),
    "view": TEXT,
    "report": TEXT,
    "report_path": TEXT,
    "sections": (dict, type(None)),
    "label": (list, type(None)),
    "mask": TEXT,
    "boxes": (list, type(None)),
    "box_classes": (list, type(None)),
    "findings": (list, type(None)),
    "sentences": (list, type(None)),
    "language": TEXT,
}


class DatalistError(ValueError):
    """A datalist cannot be read; the message names the file, the split, the record and the key."""


@dataclass
class Datalist:
    """A datalist in memory: the head of the file, and the records of each split as plain dictionaries.

    Args:
        name: of the data set.
        version: of the data set.
        source: where it comes from, and its license.
        image_root: the folder that the paths of the records start from; relative to `folder`, or absolute.
        classes: names of the entries of `label`.
        splits: the records by split; a split that is not there is empty.
        folder: where the datalist lies.
        extra: top-level keys of the file that this version does not know; they are written back.

    Example:
        >>> datalist = Datalist("demo", "1", "", ".", ["nodule"], {"training": [{"id": "a", "image": "a.png"}]})
        >>> [(split, index, record["id"]) for split, index, record in datalist.records()]
        [('training', 0, 'a')]
    """

    name: str
    version: str
    source: str
    image_root: str
    classes: list[str]
    splits: dict[str, list[dict[str, Any]]]
    folder: Path = field(default_factory=Path)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        """The absolute folder that the paths of the records start from."""
        return Path(os.path.realpath(self.folder / self.image_root))

    @property
    def mask_root(self) -> Path:
        """The absolute folder that the paths of masks start from: `root`, unless the file names another."""
        return Path(os.path.realpath(self.folder / self.extra.get("mask_root", self.image_root)))

    def records(self) -> Iterator[tuple[str, int, dict[str, Any]]]:
        """Iterate over (split, index in the split, record)."""
        for split in SPLITS:
            for index, record in enumerate(self.splits.get(split, ())):
                yield split, index, record


def read_datalist(path: str | os.PathLike[str]) -> Datalist:
    """Read a datalist and check its schema.

    Args:
        path: the JSON file.

    Raises:
        DatalistError: the file is not JSON or not a datalist; the message names the split, the record and the key.
        FileNotFoundError: there is no such file.
    """
    datalist = parse_datalist(path)
    for split in SPLITS:
        check_records(datalist.splits[split], split, Path(path).name)
    return datalist


def write_datalist(datalist: Datalist, path: str | os.PathLike[str]) -> None:
    """Write a datalist, whole or not at all, one record a line.

    Args:
        datalist: what to write; its `folder` is not used, so a relative `image_root` must fit the new place.
        path: the JSON file.

    Raises:
        DatalistError: a record does not fit the schema; nothing is written.
    """
    for split in SPLITS:
        check_records(datalist.splits.get(split, []), split, Path(path).name)
    head = {key: getattr(datalist, key) for key in (*HEAD_KEYS, "classes")} | datalist.extra
    # Line by line: the text of a large archive, held whole, would need several times the memory of its records.
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="\n") as file:
        file.write("{\n" + "".join(f" {json.dumps(key)}: {_to_json(value)},\n" for key, value in head.items()))
        for number, split in enumerate(SPLITS):
            file.write(f' "{split}": [')
            for index, record in enumerate(datalist.splits.get(split, ())):
                file.write(f"{',' if index else ''}\n  {_to_json(record)}")
            file.write(
                ("\n ]" if datalist.splits.get(split) else "]") + (",\n" if number < len(SPLITS) - 1 else "\n}\n")
            )


def load_records(
    path: str | os.PathLike[str],
    split: str,
    *,
    require: Sequence[str] = ("image",),
    limit: int | None = None,
    drop_missing: bool = False,
) -> list[dict[str, Any]]:
    """Return the records of one split, ready for a MONAI dataset.

    Paths become absolute (`image`, `mask`, the masks of `findings`), the text of `report_path` becomes `report`.
    Everything else stays as it is in the file, null included.

    Args:
        path: the datalist.
        split: `training`, `validation` or `test`.
        require: keys that the task needs; null and blank text count as missing, `report_path` counts as `report`.
        limit: look at the first so many records of the split only.
        drop_missing: leave out the records that lack a required key, and log how many, in place of raising.

    Raises:
        ValueError: a record lacks a required key (the message says how many do), a path leaves `image_root`, or the
            split is unknown.
    """
    name = Path(path).name
    if split not in SPLITS:
        raise ValueError(f"split must be one of {SPLITS}, got {split!r}")
    if limit is not None and limit < 0:
        raise ValueError(f"limit must be None or at least 0, got {limit}")
    datalist = parse_datalist(path)
    records = datalist.splits[split]
    check_records(records, split, name)
    guards = PathGuard(datalist.root), PathGuard(datalist.mask_root)
    loaded = [
        _load_record(record, *guards, f"{name}: {split}[{index}]") for index, record in enumerate(records[:limit])
    ]
    for key in (require,) if isinstance(require, str) else require:
        having = [record for record in loaded if has_value(record.get(key))]
        if lacking := len(loaded) - len(having):
            message = f"{name}: {lacking} of {len(loaded)} records of split {split!r} lack {key!r}"
            if not drop_missing:
                raise ValueError(f"{message}, which this task needs")
            logger.warning("%s: left out", message)
        loaded = having
    return loaded


def record_problems(record: Any) -> Iterator[tuple[str, str]]:
    """Yield (key, what is wrong) for each breach of the schema; cheap, since archives hold 400,000 records."""
    if not isinstance(record, dict):
        yield "", f"must be an object, got {type(record).__name__}"
        return
    for key in ("id", "image"):
        if key not in record:
            yield key, "is missing"
        elif record[key] == "":
            yield key, "must not be empty"
    for key, value in record.items():
        kinds = RECORD_TYPES.get(key)
        if kinds is not None and (not isinstance(value, kinds) or isinstance(value, bool)):
            expected = " or ".join("null" if kind is type(None) else kind.__name__ for kind in kinds)
            yield key, f"must be {expected}, got {type(value).__name__}"
        elif key in ("findings", "sentences") and not all(isinstance(item, dict) for item in value or ()):
            yield key, "must be a list of objects"


def check_records(records: Iterable[Any], split: str, name: str) -> None:
    """Raise `DatalistError` for the first breach of the schema in `records`."""
    for index, record in enumerate(records):
        for key, problem in record_problems(record):
            known = f" (id {record['id']!r:.80})" if isinstance(record, dict) and "id" in record else ""
            raise DatalistError(f"{name}: {split}[{index}]{known}: {f'key {key!r} ' if key else 'record '}{problem}")


def parse_datalist(path: str | os.PathLike[str]) -> Datalist:
    """Read the file and check its head, not the records: `verify_datalist` reports those all at once."""
    path = Path(path).absolute()  # the root must not move with the working folder
    content = _read_json(path)
    if not isinstance(content, Mapping):
        raise DatalistError(f"{path.name}: a datalist is a JSON object, got {type(content).__name__}")
    if not any(split in content for split in SPLITS):
        raise DatalistError(f"{path.name}: none of the splits {SPLITS} is there; keys: {sorted(content)[:10]}")
    head = {key: content.get(key, "." if key == "image_root" else "") for key in HEAD_KEYS}
    for key, value in head.items():
        if not isinstance(value, str):
            raise DatalistError(f"{path.name}: key {key!r} must be str, got {type(value).__name__}")
    classes = content.get("classes", [])
    if not isinstance(classes, list) or not all(isinstance(item, str) for item in classes):
        raise DatalistError(f"{path.name}: key 'classes' must be a list of str, got {type(classes).__name__}")
    splits = {split: content.get(split, []) for split in SPLITS}
    for split, records in splits.items():
        if not isinstance(records, list):
            raise DatalistError(f"{path.name}: split {split!r} must be a list, got {type(records).__name__}")
    extra = {key: value for key, value in content.items() if key not in {*HEAD_KEYS, "classes", *SPLITS}}
    if not isinstance(extra.get("mask_root", ""), str):
        raise DatalistError(f"{path.name}: key 'mask_root' must be str, got {type(extra['mask_root']).__name__}")
    return Datalist(**head, classes=classes, splits=splits, folder=path.parent, extra=extra)


def read_report(path: Path) -> str:
    """Read a report's text file, in UTF-8, in UTF-16 with BOM, or else in Windows' Western encoding.

    No byte is refused.
    """
    return decode_report(path.read_bytes())


def decode_report(data: bytes) -> str:
    """Decode a report's bytes as `read_report` does."""
    return data.decode(text_encoding(data), errors="replace")


def _load_record(record: dict[str, Any], guard: PathGuard, masks: PathGuard, where: str) -> dict[str, Any]:
    loaded = dict(record)
    try:
        key = "image"
        loaded["image"] = guard.resolve(record["image"])
        key = "mask"
        if record.get("mask"):
            loaded["mask"] = masks.resolve(record["mask"])
        key = "findings"
        if record.get("findings"):
            loaded["findings"] = [
                {**finding, "mask": masks.resolve(finding["mask"])} if finding.get("mask") else finding
                for finding in record["findings"]
            ]
        key = "report_path"
        if record.get("report_path") and not record.get("report"):
            loaded["report"] = read_report(Path(guard.resolve(record["report_path"])))
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ValueError(f"{where} (id {record['id']!r:.80}): key {key!r}: cannot read the file: {reason}") from None
    except ValueError as error:
        raise ValueError(f"{where} (id {record['id']!r:.80}): key {key!r}: {error}") from None
    return loaded


def has_value(value: Any) -> bool:
    """Tell whether a record's key says anything: null and blank text say nothing."""
    return value is not None and not (isinstance(value, str) and not value.strip())


def _to_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _read_json(path: Path) -> Any:
    try:
        content = read_record_lines(path, SPLITS)
        return decode_json(path.read_text(encoding="utf-8-sig")) if content is None else content
    except json.JSONDecodeError as error:
        raise DatalistError(f"{path.name}: not JSON: {error.msg}, line {error.lineno}, column {error.colno}") from None
    except UnicodeDecodeError as error:
        raise DatalistError(f"{path.name}: not UTF-8 text at byte {error.start}") from None
    except (ValueError, RecursionError) as error:
        raise DatalistError(f"{path.name}: not JSON: {error}") from None
    except OSError as error:  # of its own kind, without the folders above the file, which may tell of somebody
        raise OSError(error.errno, error.strerror, path.name) from None
