"""A datalist with large images, of any format, turned into one with small grey ones."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from monai_place.data.conversion import (
    Conversion,
    ConvertedImage,
    PixelSums,
    convert_image,
    fit_record,
    image_name,
    inline_report,
)
from monai_place.data.datalist import SPLITS, Datalist, read_datalist, write_datalist
from monai_place.data.journal import FileJournal
from monai_place.data.parallel import map_ordered
from monai_place.data.paths import PathGuard
from monai_place.data.radiograph import RadiographError
from monai_place.data.sources.assemble import DATALIST_NAME, JOURNAL_NAME, write_left_out
from monai_place.data.sources.draft import REPORT_UNREADABLE, UNREADABLE, PrepareReport

__all__ = ["convert_datalist"]

logger = logging.getLogger(__name__)

CHUNK = 4  # records; what a kill may cost each process
ROOT_KEYS = ("mask_root", "pixel_mean", "pixel_std")  # of the old datalist, not of the new


@dataclass(frozen=True)
class _Chunk:
    records: tuple[tuple[str, dict[str, Any], ConvertedImage | None], ...]
    root: str
    mask_root: str
    output: str
    conversion: Conversion


@dataclass
class _Result:
    split: str
    entry: str
    record: dict[str, Any] | None = None
    reason: str = ""
    detail: str = ""
    wrong: list[str] = field(default_factory=list)
    converted: ConvertedImage | None = None


def convert_datalist(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    conversion: Conversion | None = None,
    *,
    limit: int | None = None,
    workers: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> PrepareReport:
    """Write the images of a datalist anew, grey and at most so large, and a datalist of them.

    Splits, labels and all other keys stay. Masks and boxes are brought to the size of their image, and the text of
    report files comes into the datalist, so that all it needs lies in `output`. A run that was stopped goes on where it
    was; files of other settings, or whose source has changed, are done again.

    Args:
        path: the datalist.
        output: the folder to write into; made where it is missing.
        conversion: how; by default grey PNG files of 8 bits, 512 pixels at the shorter side.
        limit: take the first so many records of each split, for a first try.
        workers: processes; 0 works in this one.
        progress: called with (records done, all records).

    Returns:
        What was kept and left out, and the statistics of the training split's pixels; `report.datalist` is the file.

    Raises:
        DatalistError: the file is no datalist.
        ValueError: an id is used twice, the output is where the images, masks or datalist lie, or nothing is left.
    """
    conversion = Conversion() if conversion is None else conversion
    path, output = Path(path), Path(output)
    datalist = read_datalist(path)
    _check(datalist, path, output, limit)
    output.mkdir(parents=True, exist_ok=True)
    journal = FileJournal(output / JOURNAL_NAME, conversion.settings())
    report, sums = PrepareReport(), PixelSums()
    splits: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    total = sum(len(records[:limit]) for records in datalist.splits.values())
    pending = map_ordered(
        _convert_chunk, _chunks(datalist, output, conversion, limit, journal.entries), workers=workers
    )
    with journal, closing(pending) as chunks:
        for done, result in enumerate(chain.from_iterable(chunks), 1):
            for message in result.wrong:
                report.note_unreadable(result.entry, message)
            if result.converted is not None:
                journal.add(result.entry, result.converted.to_dict())
            if result.record is None:
                report.leave_out(result.entry, result.reason, result.detail)
            else:
                splits[result.split].append(result.record)
                if result.split == SPLITS[0] and result.converted is not None:
                    sums.add(result.converted)
            if progress is not None:
                progress(done, total)
    report.splits = {split: len(splits[split]) for split in SPLITS}
    if not any(report.splits.values()):
        raise ValueError(f"{path.name}: no usable record; left out: {dict(report.left_out)}")
    report.pixels = sums.to_dict()
    write_left_out(report, output)
    extra = {key: value for key, value in datalist.extra.items() if key not in ROOT_KEYS} | report.pixels
    report.datalist = output / DATALIST_NAME
    write_datalist(
        Datalist(datalist.name, datalist.version, datalist.source, ".", datalist.classes, splits, output, extra),
        report.datalist,
    )
    logger.info("%s: %s", datalist.name, report.to_dict())
    return report


def _check(datalist: Datalist, path: Path, output: Path, limit: int | None) -> None:
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    if output.resolve() in (path.resolve().parent, datalist.root, datalist.mask_root):
        raise ValueError("output must be another folder than that of the datalist, its images and its masks")
    seen: set[str] = set()
    for split, index, record in datalist.records():
        if record["id"] in seen:
            raise ValueError(f"{path.name}: {split}[{index}]: id {record['id']!r:.80} is used twice")
        seen.add(record["id"])


def _chunks(
    datalist: Datalist, output: Path, conversion: Conversion, limit: int | None, known: Mapping[str, Mapping[str, Any]]
) -> Iterator[_Chunk]:
    def tasks() -> Iterator[tuple[str, dict[str, Any], ConvertedImage | None]]:
        for split in SPLITS:
            for record in datalist.splits[split][:limit]:
                before = known.get(record["id"])
                yield split, record, ConvertedImage.from_dict(before) if before is not None else None

    waiting = tasks()
    while part := tuple(islice(waiting, CHUNK)):
        yield _Chunk(part, str(datalist.root), str(datalist.mask_root), str(output), conversion)


def _convert_chunk(chunk: _Chunk) -> list[_Result]:
    guards = PathGuard(chunk.root), PathGuard(chunk.mask_root)
    return [_convert(task, *guards, chunk) for task in chunk.records]


def _convert(
    task: tuple[str, dict[str, Any], ConvertedImage | None], guard: PathGuard, masks: PathGuard, chunk: _Chunk
) -> _Result:
    split, record, known = task
    record, result, output = dict(record), _Result(split, record["id"]), Path(chunk.output)
    try:
        path = Path(guard.resolve(record["image"]))
    except ValueError as error:
        result.reason, result.detail = "path outside the root", str(error)
        return result
    if not path.is_file():
        result.reason = "image file missing"
        return result
    try:
        inline_report(record, guard)
    except ValueError as error:
        result.reason, result.detail = REPORT_UNREADABLE, str(error)
        return result
    record["image"] = image_name(record["id"], chunk.conversion)
    try:
        result.converted = convert_image(path, output / record["image"], chunk.conversion, known=known)
    except RadiographError as error:
        logger.warning("left out: %s", error)
        result.reason, result.detail = UNREADABLE, str(error)
        return result
    result.wrong += fit_record(record, result.converted, masks, output)
    result.record = record
    return result
