"""One's own archive: images of any kind in a folder, with or without a table.

There is nothing to download; the terms are those under which you hold the data. Expected below the source folder, in
any order and depth::

    ANY/NAME.png .jpg .dcm .nii.gz or without suffix       told by content, not by name
    table.csv                                              optional (`table`): one row an image
    ANY/REPORT.txt, ANY/MASK.png                           optional, where the table names them

Without a table each image is a record without report. With one, only images that have a row come in.

Table. `table` is its path below the source, `delimiter` what stands between its cells. `columns` maps what a datalist
has to the table's own columns, on the command line as JSON::

    --set table=cases.csv
    --set 'columns={"image": "file", "patient_id": "pid", "report": "text", "label:nodule": "nodule"}'

Known keys: `image` (must be there), `patient_id`, `study_id`, `view`, `language`, `report` (text), `report_path` (a
text file), `mask` (a PNG file), `split` (training, validation, test; also train, val, valid), and `label:CLASS` for
each class: 1, 0 or blank for unknown. Without `columns`, the table's columns of these names are taken. All else in the
table stays there.

Texts are read as UTF-8, UTF-16 with its mark, or else Windows' Western encoding, which is counted, since nothing
tells it from others: `encoding=cp1251`, `gbk`, `shift_jis` says which it is. A name in a wrongly read report is not
found.

Rules:

- A file is found by its path below the source, or else by its name, with or without suffix, if only one file has it
  (masks and reports that rows name are not among the images).
- Left out, each listed in `left_out.csv` with the reason: a row without a file, or whose name several files have; a
  second row of a file (the first counts); an image without a row; a file that is no image; an image that cannot be
  decoded (each is decoded once); a row without a known split, where there is a column for it; an image whose header
  says that names are burned into its pixels (`keep_burned_in=true` keeps it).
- `patient_id`: the table's; else group 1 of `patient_pattern`, a regular expression looked for in the path; else the
  DICOM header's; else the image is a patient of its own, and counted.
- `study_id`: the table's, else the DICOM header's, else none.
- `report`: `report`, or where that is blank the text of `report_path`. A report without a letter or digit is none.
- `mask`: with one name in `mask_classes`, what is brighter than half the mask's maximum; with several, 0 is background
  and 1 to C are the classes.
- Split: the column's, and no patient may be in two; without it by patient, `fractions` 0.7/0.1/0.2, drawn at `seed`.

De-identification (`deidentify`, on by default; images then stay where they are only with `deidentify=false`):

- Patients, studies and images are named by keyed hashes (HMAC-SHA256). The key is in `key_file`, or where the variable
  MONAI_PLACE_KEY_FILE says, or in your settings folder (`monai-place/deidentify.key`); it is made once, readable by you
  alone, and never below the source or the output. The same key gives the same ids: what comes later fits.
- Each image is written anew as `images/<id>.png`, 16 bit grey as our reader shows it: no header, no name of a file.
- No name, date or path is in the datalist or in `left_out.csv`, whose entries are hashed too. `linkage=FILE` writes
  which file each id stands for, readable by you alone, outside the output.
- A report is mended (control characters, mojibake, HTML), since a name may hide behind such. Out of it are taken,
  `___` in their place: the patient's and the study's number, the cells of
  `personal_columns`, what `scrub` (regular expressions) finds, and of a DICOM image the header's names, numbers, days
  (in usual spellings), institutions, places and devices. Numbers of fewer than four digits stay: measures are such.
- **Not promised**: a report may name people in other ways, `view` and `language` are copied as they stand, and writing
  burned into pixels stays. Look before you hand it on.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from monai_place.data.datalist import SPLITS
from monai_place.data.paths import PathGuard
from monai_place.data.sources.draft import PrepareReport, SourceDraft
from monai_place.data.sources.masks import IndexMaskFile, MaskDrawing, MaskFile
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
from monai_place.data.sources.own_table import OwnTable
from monai_place.data.sources.tables import Row

__all__ = ["read_own_folder"]

KEYS = ("image", "patient_id", "study_id", "view", "language", "report", "report_path", "mask", "split")


def read_own_folder(
    source: Path,
    *,
    output: Path,
    workers: int = 0,
    table: str | None = None,
    columns: Mapping[str, str] | None = None,
    delimiter: str = ",",
    encoding: str | None = None,
    personal_columns: Sequence[str] = (),
    patient_pattern: str | None = None,
    mask_classes: Sequence[str] = (),
    deidentify: bool = True,
    key_file: str | None = None,
    linkage: str | None = None,
    scrub: Sequence[str] = (),
    keep_burned_in: bool = False,
    fractions: Sequence[float] = (0.7, 0.1, 0.2),
    seed: int = 0,
    name: str = "folder",
    check_counts: bool = True,
    report: PrepareReport,
) -> SourceDraft:
    """Find the images of a folder, and what a table says of them.

    Args:
        source: the folder.
        output: that is prepared: no secret is put there.
        workers: processes that look at the files.
        table: path of the table below the source.
        columns: the table's column of each key.
        delimiter: between the table's cells.
        encoding: of the table and the reports' files, such as cp1251; None finds it out where it can.
        personal_columns: columns whose cells are taken out of the reports of their row.
        patient_pattern: regular expression of the path, with one group: the patient's number.
        mask_classes: names of the masks' values.
        deidentify: False leaves images, ids and reports as they are.
        key_file: of the pseudonyms.
        linkage: file to write which file each id stands for.
        scrub: regular expressions of what else is taken out of reports.
        keep_burned_in: keep images whose header says that names are burned in.
        fractions: of training, validation and test, where no column says it.
        seed: of that split.
        name: of the data set.
        check_counts: has no effect.
        report: counts what is left out and why.

    Raises:
        FileNotFoundError: the source, or the table, is not there.
        ValueError: an option is wrong, columns are missing, a label is not 0, 1 or blank, a patient is in two splits.
    """
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
    sheet = _open_sheet(archive, table, columns, delimiter, personal_columns)
    if "mask" in sheet.columns and not mask_classes:
        raise ValueError("mask_classes must name the values of the masks, such as ['lung']")
    files, hidden = list_files(source)
    if hidden:
        report.notes["hidden files not looked at"] = hidden
    reader = _Reader(archive, sheet, files, _compile(patient_pattern), list(mask_classes))
    taken = reader.rows_by_file()
    candidates = [file for file in files if file not in reader.referenced and file != table]
    found = look_at_files(source, candidates, workers=workers)
    kept = list(_choose(found, taken if table else None, archive, keep_burned_in=keep_burned_in or not deidentify))
    draft = SourceDraft(name, "1", "one's own archive", sheet.classes, {}, decode=True, opaque=archive.is_opaque)
    records = [reader.record(file, *taken.get(file.path, (0, {})), draft) for file in kept]
    if "split" in sheet.columns:
        draft.splits = _splits_of_the_table(records, [sheet.split(taken[file.path][1]) for file in kept], archive, kept)
    else:
        draft.splits = split_by_patient(records, seed=seed, fractions=fractions)
    draft.extra = {"mask_classes": list(mask_classes)} if mask_classes else {}
    draft.linkage, draft.record_notes = archive.linkage(), archive.record_notes
    return draft


class _Reader:
    """Makes records of files and rows.

    Args:
        archive: the settings.
        sheet: the table; an empty one where there is none.
        files: all below the source.
        pattern: of the patient's number in a path.
        mask_classes: names of the masks' values.
    """

    def __init__(
        self,
        archive: OwnArchive,
        sheet: OwnTable,
        files: Sequence[str],
        pattern: re.Pattern[str] | None,
        mask_classes: list[str],
    ) -> None:
        self.archive, self.sheet, self.pattern, self.mask_classes = archive, sheet, pattern, mask_classes
        self.guard = PathGuard(archive.source)
        self.files = set(files)
        self.by_name: defaultdict[str, list[str]] = defaultdict(list)
        for file in files:
            name = PurePosixPath(file).name
            for key in {name, name.partition(".")[0], PurePosixPath(name).stem}:
                self.by_name[key].append(file)
        self.referenced: set[str] = set()

    def rows_by_file(self) -> dict[str, tuple[int, Row]]:
        """Return (number, row) of each file that has a row; other rows are left out."""
        taken: dict[str, tuple[int, Row]] = {}
        for row in self.sheet.rows:
            self.referenced.update(filter(None, (self.find(row, key) for key in ("report_path", "mask"))))
        for number, row in enumerate(self.sheet.rows, 1):
            cell = self.sheet.cell(row, "image")
            file = self.find(row, "image")
            several = file is None and len(self.by_name.get(cell, ())) > 1
            if file is None:
                reason = "row whose name several files have" if several else "row without a file"
            elif file in taken:
                reason = "second row of a file"
            else:
                taken[file] = (number, row)
                continue
            self.archive.report.leave_out(self.archive.name("row", cell, f"{number} {cell}"), reason)
        return taken

    def find(self, row: Row, key: str) -> str | None:
        """Return the file that a cell names: by its path, or by its name where only one file has it."""
        cell = self.sheet.cell(row, key)
        for path in (cell, cell.replace("\\", "/").removeprefix("./")):
            if path in self.files:
                return path
        named = self.by_name.get(cell, [])
        if key == "image":  # a mask often has the name of its image
            named = [file for file in named if file not in self.referenced]
        return named[0] if len(named) == 1 else None

    def record(self, file: ArchiveFile, number: int, row: Row, draft: SourceDraft) -> dict[str, Any]:
        """Return the record of an image; its mask goes into the draft.

        Args:
            file: the image.
            number: of its row, for messages.
            row: an empty one where there is no table.
            draft: of the folder.
        """
        archive, sheet, header = self.archive, self.sheet, file.header
        names = archive.names
        record: dict[str, Any] = {"id": archive.name("image", file.path), "image": file.path}
        record["patient_id"] = names.of("patient", self._patient(file, row))
        study = sheet.cell(row, "study_id") or (header.study if header else "")
        if study:
            record["study_id"] = names.of("study", study)
        record |= {key: sheet.cell(row, key) for key in ("view", "language") if sheet.cell(row, key)}
        if sheet.classes:
            record["label"] = sheet.label(number, row)
        archive.add_report(record, self._text(row), sheet.known(row) | (header.known_strings() if header else set()))
        if sheet.cell(row, "mask"):
            if (mask := self.find(row, "mask")) is None:
                archive.report.notes["mask files that are not there"] += 1
            else:
                draft.masks[record["id"]] = self._drawing(mask)
        return record

    def _patient(self, file: ArchiveFile, row: Row) -> str:
        match = self.pattern.search(file.path) if self.pattern else None
        number = self.sheet.cell(row, "patient_id") or (match.group(1) if match else "")
        number = number or (file.header.patient if file.header else "")
        if not number:
            self.archive.report.notes["images whose patient is not known, each taken for one"] += 1
        return number or file.path

    def _text(self, row: Row) -> str:
        text = self.sheet.cell(row, "report")
        if text or not self.sheet.cell(row, "report_path"):
            return text
        file = self.find(row, "report_path")
        try:
            return self.archive.read_text(Path(self.guard.resolve(file or "")))
        except (OSError, ValueError):
            self.archive.report.notes["report files that cannot be read or are not there"] += 1
            return ""

    def _drawing(self, mask: str) -> MaskDrawing:
        path = self.guard.resolve(mask)
        classes = len(self.mask_classes)
        return MaskFile(path) if classes == 1 else IndexMaskFile(path, classes)


def _open_sheet(
    archive: OwnArchive, table: str | None, columns: Mapping[str, str] | None, delimiter: str, personal: Sequence[str]
) -> OwnTable:
    if table is not None:
        return archive.open_table(table, columns, keys=KEYS, required=["image"], delimiter=delimiter, personal=personal)
    if columns or personal:
        raise ValueError("columns and personal_columns have no meaning without a table")
    return OwnTable()


def _compile(pattern: str | None) -> re.Pattern[str] | None:
    if pattern is None:
        return None
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"patient_pattern is no regular expression: {error.msg} at {error.pos}") from None
    if compiled.groups != 1:
        raise ValueError(f"patient_pattern must have one group, the patient's number; it has {compiled.groups}")
    return compiled


def _choose(
    files: Iterator[ArchiveFile], taken: Mapping[str, Any] | None, archive: OwnArchive, *, keep_burned_in: bool
) -> Iterator[ArchiveFile]:
    """Yield the files that may become records; the others are left out with their reason."""
    for file in files:
        if file.problem:
            archive.leave_out(file.path, "image file unreadable", file.problem)
        elif file.kind is None:
            archive.leave_out(file.path, "not a DICOM, NIfTI, PNG or JPEG file by its content")
        elif file.header and not file.header.is_image:
            archive.leave_out(file.path, NO_IMAGE)
        elif taken is not None and file.path not in taken:
            archive.leave_out(file.path, "image without a row in the table")
        elif file.header and file.header.burned_in and not keep_burned_in:
            archive.leave_out(file.path, BURNED_IN)
        else:
            yield file


def _splits_of_the_table(
    records: Sequence[dict[str, Any]], splits: Sequence[str | None], archive: OwnArchive, files: Sequence[ArchiveFile]
) -> dict[str, list[dict[str, Any]]]:
    chosen: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    for record, split, file in zip(records, splits, files, strict=True):
        if split is None:
            archive.leave_out(file.path, "row without a known split")
        else:
            chosen[split].append(record)
    seen = Counter(patient for part in chosen.values() for patient in {record["patient_id"] for record in part})
    if shared := sum(count > 1 for count in seen.values()):
        raise ValueError(f"{shared} patients are in more than one split of the table; a patient belongs into one")
    return chosen
