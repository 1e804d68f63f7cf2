"""One's own archive: a tree of DICOM files with their reports.

There is nothing to download; the terms are those under which you hold the data. Expected below the source folder, under
any names, in any order and depth::

    DICOM files            radiographs, other images, structured reports; told by content, not by name
    NUMBER.txt             with `reports=text`: a report, named after the accession number or the study's UID
    table.csv              with `reports=csv`: one row a report

Rules:

- Radiographs are the files whose Modality is in `modalities` (CR, DX, DR, RG). `views` keeps some values of View
  Position, such as `["PA","AP"]`; `series` is a regular expression that the Series Description must hold; `body_parts`
  keeps some values of Body Part Examined. A file that does not say what is asked for is left out.
- Files of one Study Instance UID are a study: they share its report. Each image is a record; `view` is there where the
  header has one of the standard's terms, `pixel_spacing_mm` where it has a spacing.
- `reports` says where reports come from; one that cannot be matched is listed in `left_out.csv`.
  `sr` (default): structured reports in the tree, matched by Study Instance UID, TEXT items joined, with the names of
  their containers as headings; of several the one with the latest content date counts, the others are listed.
  `text`: files named after the accession number or the Study Instance UID.
  `csv`: the table `table` (path below the source) with the columns `report` and one of `accession`, `study_uid`; their
  names in the table by `columns`, such as `{"accession": "Request", "report": "Text"}`, `delimiter` as it is. The first
  row of a study that has a text counts.
  `none`: no reports.
  Text files and tables are read as UTF-8, UTF-16 with its mark, or else Windows' Western encoding, which is counted:
  `encoding=cp1251`, `gbk`, `shift_jis` says which it is. A name in a wrongly read report is not found.
- Left out, each listed with the reason: what is no DICOM file, what is not asked for, a second file of the same SOP
  Instance UID (the longest counts), a file whose header is damaged, an image that cannot be decoded (each is decoded
  once), an image whose header says that names are burned into its pixels (`keep_burned_in=true` keeps it).
- `patient_id` comes of Patient ID; a study without one is a patient of its own, and counted.
- Split: by patient, `fractions` 0.7/0.1/0.2, drawn at `seed`.

De-identification (`deidentify`, on by default; files then stay where they are only with `deidentify=false`):

- Patients, studies and images are named by keyed hashes (HMAC-SHA256) of Patient ID, Study and SOP Instance UID. The
  key is in `key_file`, or where the variable MONAI_PLACE_KEY_FILE says, or in your settings folder
  (`monai-place/deidentify.key`); it is made once, readable by you alone, and never below the source or the output.
  The same key gives the same ids: what comes later fits.
- Each image is written anew as `images/<id>.png`, 16 bit grey as our reader shows it: no header comes along.
- No name, date, accession number or path is in the datalist or in `left_out.csv`, whose entries are hashed too.
  `linkage=FILE` writes which file each id stands for, readable by you alone, outside the output.
- A report is mended (control characters, mojibake, HTML), since a name may hide behind such. Out of it are taken,
  `___` in their place: the names, numbers, days (in usual spellings), institutions, places and devices in the headers
  of its study, and what `scrub` (regular expressions) finds. Numbers of fewer than four digits stay:
  measures are such numbers.
- **Not promised**: a report may name people in other ways, and writing burned into pixels stays. Look before you hand
  it on.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from monai_place.data.paths import resolve_inside
from monai_place.data.sources.dicom_header import DicomHeader
from monai_place.data.sources.draft import PrepareReport, SourceDraft
from monai_place.data.sources.own_archive import (
    BURNED_IN,
    NO_IMAGE,
    ArchiveFile,
    OwnArchive,
    list_files,
    look_at_files,
    open_archive,
    split_by_patient,
)

__all__ = ["read_own_dicom"]

MODALITIES = ("CR", "DX", "DR", "RG")
REPORTS = ("sr", "text", "csv", "none")
KEYS = ("accession", "study_uid", "report")
# PS3.3 C.8.1.10 and C.8.11.7; other values may be anything that somebody has typed.
VIEWS = ("AP", "PA", "LL", "RL", "RLD", "LLD", "RLO", "LLO", "LATERAL")
CODE = re.compile(r"[A-Z]{2,4}")


@dataclass
class _Study:
    """What belongs together."""

    images: list[ArchiveFile] = field(default_factory=list)
    reports: list[ArchiveFile] = field(default_factory=list)
    accessions: set[str] = field(default_factory=set)
    known: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class _Wanted:
    """Which images are asked for; None asks for all."""

    modalities: Collection[str]
    views: Collection[str] | None
    series: re.Pattern[str] | None
    body_parts: Collection[str] | None
    keep_burned_in: bool

    def refusal(self, header: DicomHeader) -> str:
        """Return why an image is not taken, or nothing."""
        if header.modality not in self.modalities:
            shown = header.modality if CODE.fullmatch(header.modality) else "unknown"
            return f"modality {shown} not asked for"
        if self.views is not None and header.view not in self.views:
            return "view not asked for"
        if self.series is not None and not self.series.search(header.series):
            return "series not asked for"
        if self.body_parts is not None and header.body_part not in self.body_parts:
            return "body part not asked for"
        if not header.is_image:
            return NO_IMAGE
        return BURNED_IN if header.burned_in and not self.keep_burned_in else ""


def read_own_dicom(
    source: Path,
    *,
    output: Path,
    workers: int = 0,
    modalities: Sequence[str] = MODALITIES,
    views: Sequence[str] | None = None,
    series: str | None = None,
    body_parts: Sequence[str] | None = None,
    reports: str = "sr",
    table: str | None = None,
    columns: Mapping[str, str] | None = None,
    delimiter: str = ",",
    encoding: str | None = None,
    deidentify: bool = True,
    key_file: str | None = None,
    linkage: str | None = None,
    scrub: Sequence[str] = (),
    keep_burned_in: bool = False,
    fractions: Sequence[float] = (0.7, 0.1, 0.2),
    seed: int = 0,
    name: str = "dicom",
    check_counts: bool = True,
    report: PrepareReport,
) -> SourceDraft:
    """Find the radiographs of a tree of DICOM files, and their reports.

    Args:
        source: the folder.
        output: that is prepared: no secret is put there.
        workers: processes that read headers.
        modalities: values of Modality to keep.
        views: values of View Position to keep; None keeps all.
        series: regular expression that the Series Description must hold, upper and lower case alike.
        body_parts: values of Body Part Examined to keep; None keeps all.
        reports: `sr`, `text`, `csv` or `none`.
        table: path of the table below the source, for `csv`.
        columns: the table's column of each key.
        delimiter: between the table's cells.
        encoding: of the table or the text files, such as cp1251; None finds it out where it can.
        deidentify: False leaves images, ids and reports as they are.
        key_file: of the pseudonyms.
        linkage: file to write which file each id stands for.
        scrub: regular expressions of what else is taken out of reports.
        keep_burned_in: keep images whose header says that names are burned in.
        fractions: of training, validation and test.
        seed: of the split.
        name: of the data set.
        check_counts: has no effect.
        report: counts what is left out and why.

    Raises:
        FileNotFoundError: the source, or the table, is not there.
        ValueError: an option is wrong, columns are missing, or there is no such image.
    """
    if reports not in REPORTS:
        raise ValueError(f"reports must be one of {REPORTS}, got {reports!r}")
    if (reports == "csv") != (table is not None):
        raise ValueError("reports=csv needs the option table, and the other kinds have none")
    wanted = _Wanted(
        _upper(modalities) or (), _upper(views), _compile(series), _upper(body_parts), keep_burned_in or not deidentify
    )
    archive = open_archive(
        source,
        output,
        report,
        deidentify=deidentify,
        key_file=key_file,
        linkage=linkage,
        scrub=scrub,
        encoding=encoding,
    )
    files, hidden = list_files(source)
    if hidden:
        report.notes["hidden files not looked at"] = hidden
    texts = [file for file in files if reports == "text" and PurePosixPath(file).suffix.lower() == ".txt"]
    others = sorted(set(files) - {table, *texts})
    studies = _gather(look_at_files(source, others, workers=workers), archive, wanted, structured=reports == "sr")
    if reports == "text":
        found = _read_texts(archive, texts, studies)
    elif reports == "csv":
        found = _read_rows(archive, str(table), columns, delimiter, studies)
    else:
        found = _read_structured(archive, studies)
    records = [record for uid, study in studies.items() for record in _records(archive, uid, study, found.get(uid, ""))]
    if not records:
        raise ValueError(f"no image that is asked for among {len(files)} files; left out: {dict(report.left_out)}")
    draft = SourceDraft(name, "1", "one's own archive", [], {}, decode=True, opaque=archive.is_opaque)
    draft.splits = split_by_patient(records, seed=seed, fractions=fractions)
    draft.linkage, draft.record_notes = archive.linkage(), archive.record_notes
    return draft


def _gather(
    files: Iterator[ArchiveFile], archive: OwnArchive, wanted: _Wanted, *, structured: bool
) -> dict[str, _Study]:
    """Group the files by study, and leave out what is not asked for."""
    studies: defaultdict[str, _Study] = defaultdict(_Study)
    found = list(files)
    best = _longest(found)
    for file in found:
        header = file.header
        if file.problem:
            archive.leave_out(file.path, "file unreadable", file.problem)
        elif file.kind != "DICOM":
            archive.leave_out(file.path, "not a DICOM file by its content")
        elif header is None:
            archive.leave_out(file.path, "file unreadable", "the DICOM header is damaged")
        elif header.report is not None and not structured:
            archive.leave_out(file.path, "structured report not asked for")
        elif header.instance and best[header.instance] is not file:
            archive.leave_out(file.path, "second file of the same SOP Instance UID")
        elif header.report is None and (reason := wanted.refusal(header)):
            archive.leave_out(file.path, reason)
        else:
            study = studies[header.study or file.path]
            (study.images if header.report is None else study.reports).append(file)
            study.accessions |= {header.accession} - {""}
            if archive.is_opaque:
                study.known |= header.known_strings()
    return dict(studies)


def _longest(files: Sequence[ArchiveFile]) -> dict[str, ArchiveFile]:
    """Return the longest file of each SOP Instance UID: a copy that is cut off is shorter."""
    best: dict[str, ArchiveFile] = {}
    for file in files:
        instance = file.header.instance if file.header else ""
        if instance not in best or file.length > best[instance].length:
            best[instance] = file
    return best


def _records(archive: OwnArchive, uid: str, study: _Study, text: str) -> Iterator[dict[str, Any]]:
    for file in study.images:
        header = file.header or DicomHeader()
        if not header.patient:
            archive.report.notes["images whose patient is not known, each study taken for one"] += 1
        # With its own name a file keeps its path for an id: a name of a file is more telling than a UID.
        record: dict[str, Any] = {
            "id": archive.name("image", file.path, header.instance if archive.is_opaque and header.instance else None),
            "image": file.path,
            "patient_id": archive.names.of("patient", header.patient or uid),
            "study_id": archive.names.of("study", uid),
        }
        if header.view in VIEWS:
            record["view"] = header.view
        archive.add_report(record, text, study.known)
        yield record


def _read_structured(archive: OwnArchive, studies: Mapping[str, _Study]) -> dict[str, str]:
    found = {}
    for uid, study in studies.items():
        ordered = sorted(study.reports, key=lambda file: (file.header.date if file.header else "", file.path))
        for file in ordered if not study.images else ordered[:-1]:
            reason = "older report of a study" if study.images else "report without an image"
            archive.leave_out(file.path, reason)
        if study.images and ordered and (header := ordered[-1].header):
            found[uid] = header.report or ""
    return found


def _read_texts(archive: OwnArchive, files: Sequence[str], studies: Mapping[str, _Study]) -> dict[str, str]:
    by_number = _studies_by_number(studies)
    found: dict[str, str] = {}
    for file in files:
        matched = by_number.get(PurePosixPath(file).stem, set())
        fresh = matched - set(found)
        if not fresh:
            archive.leave_out(file, "second report of a study" if matched else "report without an image")
            continue
        try:
            text = archive.read_text(resolve_inside(archive.source, file))
        except (OSError, ValueError):
            archive.leave_out(file, "report unreadable")
            continue
        found |= dict.fromkeys(fresh, text)
    return found


def _read_rows(
    archive: OwnArchive, table: str, columns: Mapping[str, str] | None, delimiter: str, studies: Mapping[str, _Study]
) -> dict[str, str]:
    sheet = archive.open_table(table, columns, keys=KEYS, required=["report"], delimiter=delimiter)
    if not {"accession", "study_uid"} & set(sheet.columns):
        raise ValueError(f"{sheet.name}: columns must have 'accession' or 'study_uid', by which a study is found")
    by_number = _studies_by_number(studies)
    found: dict[str, str] = {}
    for number, row in enumerate(sheet.rows, 1):
        cells = [cell for key in ("study_uid", "accession") if (cell := sheet.cell(row, key))]
        matched = next((by_number[cell] for cell in cells if cell in by_number), set())
        fresh = {uid for uid in matched if not found.get(uid)}
        if not fresh:
            entry = archive.name("row", "/".join(cells), f"{number} {cells}")
            archive.report.leave_out(entry, "second report of a study" if matched else "report without an image")
        found |= dict.fromkeys(fresh, sheet.cell(row, "report"))
    return found


def _studies_by_number(studies: Mapping[str, _Study]) -> dict[str, set[str]]:
    """Return the studies of each accession number and UID; a request may have several studies."""
    by_number: defaultdict[str, set[str]] = defaultdict(set)
    for uid, study in studies.items():
        for number in (uid, *study.accessions):
            by_number[number].add(uid)
    return dict(by_number)


def _upper(values: Sequence[str] | None) -> set[str] | None:
    if values is None:
        return None
    return {value.upper() for value in ([values] if isinstance(values, str) else values)}


def _compile(pattern: str | None) -> re.Pattern[str] | None:
    try:
        return None if pattern is None else re.compile(pattern, re.IGNORECASE)
    except re.error as error:
        raise ValueError(f"series is no regular expression: {error.msg} at {error.pos}") from None
