"""From a data set's draft to its datalist: files looked for, boxes fitted, masks drawn, everything else counted.

What is written into the output folder: `masks/` (drawn ones), `images/` (only where the draft asks for them),
`left_out.csv` (what is not in the datalist, and why), and last of all `datalist.json`, so that it never names a file
that is not there. A conversion also leaves `conversion.jsonl` there, by which a run that was stopped goes on.
"""

from __future__ import annotations

import csv
import io
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from monai_place.atomic import atomic_path, write_text_atomic
from monai_place.data.conversion import (
    Conversion,
    ConvertedImage,
    PixelSums,
    convert_image,
    fit_record,
    image_name,
    inline_report,
)
from monai_place.data.datalist import SPLITS, Datalist, write_datalist
from monai_place.data.grey_files import write_grey
from monai_place.data.journal import FileJournal
from monai_place.data.parallel import map_ordered
from monai_place.data.paths import PathGuard, relative_root, safe_name
from monai_place.data.radiograph import RadiographError, read_radiograph
from monai_place.data.sizes import radiograph_size
from monai_place.data.sources.draft import (
    REPORT_UNREADABLE,
    UNREADABLE,
    PrepareReport,
    RecordCompletion,
    Size,
    SourceDraft,
)
from monai_place.data.sources.masks import MaskDrawing

__all__ = ["DATALIST_NAME", "JOURNAL_NAME", "assemble", "safe_name", "write_left_out"]

logger = logging.getLogger(__name__)

DATALIST_NAME = "datalist.json"
LEFT_OUT_NAME = "left_out.csv"
JOURNAL_NAME = "conversion.jsonl"
_CHUNK = 32
_CHUNK_CONVERTED = 4  # what a kill may cost each process


@dataclass(frozen=True)
class _Task:
    """One record and what is to be done with it; picklable."""

    split: str
    record: dict[str, Any]
    drawing: MaskDrawing | None
    finding_drawings: Sequence[MaskDrawing]
    frame: Size | None
    known: ConvertedImage | None = None


@dataclass(frozen=True)
class _Chunk:
    tasks: tuple[_Task, ...]
    source: str
    output: str
    copy: bool
    decode: bool
    opaque: bool
    complete: RecordCompletion | None
    conversion: Conversion | None


@dataclass
class _Result:
    """What became of a record: it is None where it is left out, with the reason."""

    split: str
    record: dict[str, Any] | None = None
    entry: str = ""
    reason: str = ""
    detail: str = ""
    notes: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    converted: ConvertedImage | None = None


def assemble(
    draft: SourceDraft,
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    limit: int | None = None,
    workers: int = 0,
    convert: Conversion | None = None,
    progress: Callable[[int, int], None] | None = None,
    report: PrepareReport | None = None,
) -> Path:
    """Write the datalist of a draft.

    Unless the draft asks for more, an image is looked for, and opened only where a mask or boxes need its size;
    `verify` decodes all.

    Args:
        draft: of a source.
        source: the folder of the data set; only read.
        output: the folder to write into; made where it is missing.
        limit: take the first so many records of each split, for a first try.
        workers: processes; 0 works in this one.
        convert: write every image anew, grey and no larger than this, with its masks and boxes; the datalist then has
            the mean and standard deviation of the training split's pixels as `pixel_mean` and `pixel_std`.
        progress: called with (records done, all records).
        report: filled with what was kept and what was left out and why.

    Returns:
        The path of the datalist.

    Raises:
        ValueError: source and output are the same folder, an argument is out of range, or no record is left.
    """
    source, output = Path(source), Path(output)
    report = PrepareReport() if report is None else report
    _check_arguments(draft, source, output, limit, workers)
    output.mkdir(parents=True, exist_ok=True)
    journal = FileJournal(output / JOURNAL_NAME, convert.settings()) if convert is not None else None
    total = sum(len(draft.splits.get(split, ())[:limit]) for split in SPLITS)
    # Made as they are needed: of a large archive only the records themselves are held.
    tasks = _tasks(draft, limit, journal.entries if journal is not None else {})
    splits: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    sums = PixelSums()
    pending = map_ordered(_finish_chunk, _chunks(tasks, draft, source, output, convert), workers=workers)
    with journal or nullcontext(), closing(pending) as chunks:
        for done, result in enumerate(chain.from_iterable(chunks), 1):
            _count(result, report)
            if result.record is not None:
                splits[result.split].append(result.record)
            if journal is not None and result.converted is not None:
                journal.add(result.entry, result.converted.to_dict())
                if result.record is not None and result.split == SPLITS[0]:
                    sums.add(result.converted)
            if progress is not None:
                progress(done, total)
    report.splits = {split: len(splits[split]) for split in SPLITS}
    if not any(report.splits.values()):
        raise ValueError(f"{draft.name}: no usable record; left out: {dict(report.left_out)}")
    draft.count_notes(splits, report)
    report.pixels = sums.to_dict()
    write_left_out(report, output)
    if draft.linkage is not None:
        write_text_atomic(draft.linkage.path, _csv([("id", "file"), *draft.linkage.rows]), mode=0o600)
    report.datalist = output / DATALIST_NAME
    write_datalist(_datalist(draft, splits, source, output, report.pixels if convert else None), report.datalist)
    logger.info("%s: %s", draft.name, report.to_dict())
    return report.datalist


def write_left_out(report: PrepareReport, output: Path) -> None:
    """Write the table of what was left out into a folder."""
    write_text_atomic(output / LEFT_OUT_NAME, _csv([("entry", "reason"), *report.entries]))


def _check_arguments(draft: SourceDraft, source: Path, output: Path, limit: int | None, workers: int) -> None:
    if source.resolve() == output.resolve():
        raise ValueError("output must be another folder than source, which is only read")
    if draft.linkage is not None and draft.linkage.path.resolve().is_relative_to(output.resolve()):
        raise ValueError("linkage must lie outside the output folder: it leads from the ids in there back to people")
    for name, value in (("limit", limit), ("workers", workers)):
        if value is not None and value < (1 if name == "limit" else 0):
            raise ValueError(f"{name} must be {'at least 1' if name == 'limit' else '0 or more'}, got {value}")


def _count(result: _Result, report: PrepareReport) -> None:
    report.notes.update(result.notes)
    for message in result.wrong:
        report.note_unreadable(result.entry, message)
    if result.record is None:
        report.leave_out(result.entry, result.reason, result.detail)


def _tasks(draft: SourceDraft, limit: int | None, known: Mapping[str, Mapping[str, Any]]) -> Iterator[_Task]:
    for split in SPLITS:
        for record in islice(draft.splits.get(split, ()), limit):
            name = record["id"]
            drawings = draft.finding_masks.get(name, ())
            before = ConvertedImage.from_dict(known[name]) if name in known else None
            yield _Task(split, record, draft.masks.get(name), drawings, draft.frames.get(name), before)


def _chunks(
    tasks: Iterator[_Task], draft: SourceDraft, source: Path, output: Path, convert: Conversion | None
) -> Iterator[_Chunk]:
    length = _CHUNK if convert is None else _CHUNK_CONVERTED
    while part := tuple(islice(tasks, length)):
        yield _Chunk(part, str(source), str(output), draft.copy, draft.decode, draft.opaque, draft.complete, convert)


def _finish_chunk(chunk: _Chunk) -> list[_Result]:
    guard = PathGuard(chunk.source)
    return [_finish(task, guard, chunk) for task in chunk.tasks]


def _finish(task: _Task, guard: PathGuard, chunk: _Chunk) -> _Result:
    """Look at the files of a record and complete it."""
    record, result = dict(task.record), _Result(task.split, entry=task.record["id"])
    try:
        path = Path(guard.resolve(record["image"]))
    except ValueError:
        result.reason = "path outside the source"
        return result
    try:
        if not path.is_file():
            result.reason = "image file missing"
            return result
        result.reason = (chunk.complete(record) if chunk.complete is not None else None) or ""
        if result.reason:
            return result
        size, pixels = _look(path, record, task, chunk, result)
    except RadiographError as error:
        logger.warning("left out: %s", error)
        name = safe_name(result.entry) if chunk.opaque else path.name
        result.reason, result.detail = UNREADABLE, str(error).removeprefix(f"{name}: ")
        return result
    _place(record, path, pixels, chunk)
    if size is not None and record.get("boxes") is not None:
        _fit_boxes(record, size, task.frame, result.notes)
    if size is not None:
        _draw_all(record, task, size, chunk, result)
    if result.converted is None or _fit_converted(record, guard, chunk, result):
        result.record = _ordered(record)
    return result


def _place(record: dict[str, Any], path: Path, pixels: npt.NDArray[np.float32] | None, chunk: _Chunk) -> None:
    """Point a record to its image, copied or written anew where that is asked for."""
    output = Path(chunk.output)
    if chunk.conversion is not None:
        record["image"] = image_name(record["id"], chunk.conversion)
    elif chunk.copy:
        # Only the name: a set that is copied must have unique names.
        record["image"] = f"images/{path.name}"
        with atomic_path(output / record["image"]) as temporary:
            shutil.copyfile(path, temporary)
    elif chunk.opaque and pixels is not None:
        record["image"] = f"images/{safe_name(record['id'])}.png"
        write_grey(output / record["image"], pixels, depth=16)


def _fit_converted(record: dict[str, Any], guard: PathGuard, chunk: _Chunk, result: _Result) -> bool:
    """Bring what goes with an image to its converted size; False where the record must be left out."""
    if result.converted is not None:
        result.wrong += fit_record(record, result.converted, PathGuard(chunk.output), Path(chunk.output))
    try:
        inline_report(record, guard)
    except ValueError as error:
        result.reason, result.detail = REPORT_UNREADABLE, "" if chunk.opaque else str(error)
        return False
    return True


def _look(
    path: Path, record: dict[str, Any], task: _Task, chunk: _Chunk, result: _Result
) -> tuple[Size | None, npt.NDArray[np.float32] | None]:
    """Return the size of an image and its pixels, as far as they are needed; convert it where that is asked for."""
    if chunk.conversion is not None:
        target = Path(chunk.output) / image_name(record["id"], chunk.conversion)
        with _nameless(path, record["id"]) if chunk.opaque else nullcontext(path) as alias:
            result.converted = convert_image(alias, target, chunk.conversion, known=task.known)
        return result.converted.before, None
    if chunk.opaque:
        with _nameless(path, task.record["id"]) as alias:
            pixels, meta = read_radiograph(alias)
        if meta["pixel_spacing_mm"] is not None:  # the header, which says it, does not come along
            record["pixel_spacing_mm"] = list(meta["pixel_spacing_mm"])
    elif chunk.copy or chunk.decode:  # decoded once: a broken file is no use to anybody
        pixels = read_radiograph(path)[0]
    else:
        sized = task.drawing is not None or len(task.finding_drawings) > 0 or task.record.get("boxes")
        return (radiograph_size(path) if sized else None), None
    height, width = pixels.shape
    return (height, width), pixels


@contextmanager
def _nameless(path: Path, name: str) -> Iterator[Path]:
    """Yield a file under another name, so that no message of a reader can have its own."""
    with tempfile.TemporaryDirectory() as folder:
        alias = Path(folder) / safe_name(name)
        try:
            alias.symlink_to(path)
        except OSError:  # Windows lets few users make links
            shutil.copy2(path, alias)  # with its time, by which a conversion knows it again
        yield alias


def _fit_boxes(record: dict[str, Any], size: Size, frame: Size | None, notes: list[str]) -> None:
    """Bring boxes to pixels of the image, and cut them at its edges."""
    if frame is not None and frame != size:
        notes.append("box sets rescaled to their image")
    height, width = frame or size
    scale = np.array([size[1] / width, size[0] / height] * 2)
    limit = np.array([size[1], size[0]] * 2, dtype=np.float64)
    names = record.get("box_classes")
    boxes, kept = [], []
    for index, box in enumerate(record["boxes"]):
        x0, y0, x1, y1 = np.clip(np.array(box, dtype=np.float64) * scale, 0, limit).round(2).tolist()
        if x0 < x1 and y0 < y1:
            boxes.append([x0, y0, x1, y1])
            kept.append(index)
        else:
            notes.append("boxes dropped that lie outside their image")
    record["boxes"] = boxes
    if names is not None:
        record["box_classes"] = [names[index] for index in kept]
    notes += ["records with boxes"] if boxes else []


def _draw_all(record: dict[str, Any], task: _Task, size: Size, chunk: _Chunk, result: _Result) -> None:
    """Draw the mask of a record and those of its findings, whose boxes come to pixels of the image as well."""
    stem = safe_name(record["id"])  # whole: of an id such as 1.2.840 nothing is a suffix
    if task.drawing is not None and _draw(record, task.drawing, size, chunk, stem, result):
        result.notes.append("records with a mask")
    if not task.finding_drawings:
        return
    record["findings"] = [dict(finding) for finding in record["findings"]]
    for number, (finding, drawing) in enumerate(zip(record["findings"], task.finding_drawings, strict=True), 1):
        _fit_boxes(fitted := {"boxes": [finding["box"]] if finding.get("box") else []}, size, task.frame, [])
        finding["box"] = fitted["boxes"][0] if fitted["boxes"] else None
        if _draw(finding, drawing, size, chunk, f"{stem}_{number}", result):
            result.notes.append("findings with a mask")


def _draw(target: dict[str, Any], drawing: MaskDrawing, size: Size, chunk: _Chunk, stem: str, result: _Result) -> bool:
    from PIL import Image

    try:
        pixels = drawing.draw(*size)
    except ValueError as error:  # RadiographError among them: the record stays, without its mask
        reason = "not readable" if chunk.opaque else str(error)
        logger.warning("mask of %s left out: %s", result.entry, reason)
        result.notes.append("masks left out: not readable")
        result.wrong.append(f"mask left out: {reason}")
        return False
    if (drawing.size or size) != size:
        result.notes.append("masks resized to their image")
    target["mask"] = f"masks/{stem}.png"
    with atomic_path(Path(chunk.output) / target["mask"]) as temporary:
        Image.fromarray(pixels).save(temporary, "PNG")
    return True


def _csv(rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    for row in rows:
        # A spreadsheet takes a cell that begins so for a formula.
        table.writerow([f"'{cell}" if cell[:1] in tuple("=+-@") else cell for cell in row])
    # A file's name may be bytes that are no text.
    return text.getvalue().encode("utf-8", "backslashreplace").decode()


def _datalist(
    draft: SourceDraft,
    splits: dict[str, list[dict[str, Any]]],
    source: Path,
    output: Path,
    converted: Mapping[str, float] | None,
) -> Datalist:
    root = "."
    extra = {**draft.extra, **(converted or {})}
    if not draft.copy and not draft.opaque and converted is None:
        root = relative_root(source, output)
        extra["mask_root"] = "."
    return Datalist(draft.name, draft.version, draft.source, root, draft.classes, splits, output, extra)


def _ordered(record: dict[str, Any]) -> dict[str, Any]:
    first = ("id", "image", "patient_id", "study_id", "view", "report", "label")
    return {key: record[key] for key in (*first, *record) if key in record}
