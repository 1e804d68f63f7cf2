"""What a folder and a DICOM tree of one's own share: names, secrets, the list of files, reports, splits."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_place.data.datalist import SPLITS
from monai_place.data.deidentify import Pseudonyms, compile_patterns, key_file_path, load_key, scrub_text
from monai_place.data.encodings import WESTERN, check_encoding, text_encoding
from monai_place.data.parallel import map_ordered
from monai_place.data.paths import PathGuard
from monai_place.data.radiograph import RadiographError, file_kind
from monai_place.data.reports import clean_text
from monai_place.data.sources.dicom_header import DicomHeader, read_dicom_header
from monai_place.data.sources.draft import NO_REPORT, Linkage, PrepareReport
from monai_place.data.sources.own_table import OwnTable, open_table
from monai_place.data.splits import split_patients

__all__ = ["ArchiveFile", "OwnArchive", "list_files", "look_at_files", "open_archive", "split_by_patient"]

BURNED_IN = "names are burned into its pixels, the header says"
NO_IMAGE = "not an image object, or cut off before its pixels"
TAKEN_OUT = "strings taken out of reports"
GUESSED = "texts that are not UTF-8, read as Windows' Western encoding: the option encoding names another"
_CHUNK = 64


@dataclass(frozen=True)
class ArchiveFile:
    """A file below the source, and what its first bytes say.

    Args:
        path: relative to the source.
        kind: `DICOM`, `NIfTI`, `PNG`, `JPEG`, or None.
        header: of a DICOM file; None where it is damaged.
        problem: why the file cannot be used, or blank.
        length: in bytes.
    """

    path: str
    kind: str | None = None
    header: DicomHeader | None = None
    problem: str = ""
    length: int = 0


@dataclass
class OwnArchive:
    """The settings of one preparation, and what it gathers on the way.

    Args:
        source: the folder; only read.
        names: gives the ids.
        report: counts what is left out and why.
        linkage_path: where to write which file each id stands for, or None.
        patterns: what else is taken out of reports.
        encoding: of tables and reports; None finds it out as far as that can be done.
        rows: of the linkage.
        record_notes: of the draft.
    """

    source: Path
    names: Pseudonyms
    report: PrepareReport
    linkage_path: Path | None = None
    patterns: Sequence[Any] = ()
    encoding: str | None = None
    rows: list[tuple[str, str]] = field(default_factory=list)
    record_notes: dict[str, dict[str, int]] = field(default_factory=lambda: {NO_REPORT: {}})

    @property
    def is_opaque(self) -> bool:
        """Whether people are kept out of what is written."""
        return self.names.key is not None

    def name(self, kind: str, path: str, value: str | None = None) -> str:
        """Return the id of a file, and note it for the linkage.

        Args:
            kind: `image`, or what else it is.
            path: of the file.
            value: what the id is made of; the path, where it is None.
        """
        made = self.names.of(kind, path if value is None else value)
        self.rows.append((made, path))
        return made

    def leave_out(self, path: str, reason: str, detail: str = "") -> None:
        """Count a file that does not come into the datalist.

        Args:
            path: of the file.
            reason: in words that hold nothing of it.
            detail: of this file; the same holds.
        """
        self.report.leave_out(self.name("file", path), reason, detail)

    def add_report(self, record: dict[str, Any], text: str, known: Iterable[str]) -> None:
        """Put a report's text into a record, without the strings that are known to tell about people.

        Args:
            record: to change; with its id.
            text: of the report.
            known: names, numbers and days of the same study.
        """
        if self.is_opaque:  # mended before: a control character or an entity within a name would hide it
            text, count = scrub_text(clean_text(text), known, self.patterns)
            self.record_notes.setdefault(TAKEN_OUT, {})[record["id"]] = count
        text = text.strip()
        if any(character.isalnum() for character in text):
            record["report"] = text
        else:
            self.record_notes[NO_REPORT][record["id"]] = 1

    def open_table(self, table: str, columns: Mapping[str, str] | None, **options: Any) -> OwnTable:
        """Read the table of the archive; for the arguments see `open_table`."""
        opened = open_table(self.source, table, columns, encoding=self.encoding, **options)
        if opened.is_guess:
            self.report.notes[GUESSED] += 1
        return opened

    def read_text(self, path: Path) -> str:
        """Read a report's file.

        Raises:
            OSError: it cannot be read.
            UnicodeDecodeError: it is not in the encoding that is said.
        """
        data = path.read_bytes()
        encoding = self.encoding or text_encoding(data)
        if self.encoding is None and encoding == WESTERN:
            self.report.notes[GUESSED] += 1
        return data.decode(encoding, errors="strict" if self.encoding else "replace")

    def linkage(self) -> Linkage | None:
        """Return what is to be written for those who may link again."""
        return None if self.linkage_path is None else Linkage(self.linkage_path, self.rows)


def open_archive(
    source: Path,
    output: Path,
    report: PrepareReport,
    *,
    deidentify: bool,
    key_file: str | None,
    linkage: str | None,
    scrub: Sequence[str],
    encoding: str | None = None,
) -> OwnArchive:
    """Check the settings that concern people, and find or make the key.

    Args:
        source: the folder of the archive.
        output: the folder that will be handed on.
        report: of the preparation.
        deidentify: False lets everything keep its own name.
        key_file: of the pseudonyms; see `key_file_path`.
        linkage: the file to write the linkage to, or None.
        scrub: regular expressions of what else is taken out of reports.
        encoding: of tables and reports, where it is not to be found out.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: a setting is wrong; see `load_key`.
    """
    if not source.is_dir():
        raise FileNotFoundError("the source folder does not exist")
    patterns = compile_patterns([scrub] if isinstance(scrub, str) else scrub)
    if not deidentify and (patterns or linkage):
        raise ValueError("scrub and linkage have no meaning with deidentify=false: everything keeps its own name")
    path = None if linkage is None else Path(linkage).expanduser()
    if path is not None and any(path.resolve().is_relative_to(folder.resolve()) for folder in (source, output)):
        raise ValueError("linkage must lie outside the source and the output folder: it leads from ids back to people")
    key = load_key(key_file_path(key_file), outside=(source, output)) if deidentify else None
    said = None if encoding is None else check_encoding(encoding)
    return OwnArchive(source, Pseudonyms(key), report, path, patterns, said)


def list_files(source: Path) -> tuple[list[str], int]:
    """Return the files anywhere below a folder, as relative paths in their order, and how many hidden ones there are.

    Links to folders are not followed. Names that begin with a dot are hidden.

    Args:
        source: the folder.
    """
    files, hidden = [], 0
    for folder, folders, names in os.walk(source):
        hidden += sum(name.startswith(".") for name in names)
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = Path(folder).relative_to(source)
        files += [(below / name).as_posix() for name in names if not name.startswith(".")]
    return sorted(files), hidden


def look_at_files(source: Path, files: Sequence[str], *, workers: int = 0) -> Iterator[ArchiveFile]:
    """Tell each file's kind by its content, and read the header of those that are DICOM.

    Args:
        source: the folder.
        files: relative to it.
        workers: processes; 0 works in this one.
    """
    parts = [(str(source), tuple(files[start : start + _CHUNK])) for start in range(0, len(files), _CHUNK)]
    with closing(map_ordered(_look_at_part, parts, workers=workers)) as chunks:
        for chunk in chunks:
            yield from chunk


def split_by_patient(
    records: Sequence[dict[str, Any]], *, seed: int, fractions: Sequence[float]
) -> dict[str, list[dict[str, Any]]]:
    """Return the records by split; a patient is in one of them, and reports are spread evenly.

    Args:
        records: with `patient_id`.
        seed: of the draw.
        fractions: of training, validation and test.

    Raises:
        ValueError: the fractions are not three that sum to 1.
    """
    with_report = {record["patient_id"] for record in records if "report" in record or "report_path" in record}
    sizes = Counter(record["patient_id"] for record in records)
    strata = {patient: str(patient in with_report) for patient in sizes}
    split_of = split_patients(strata, sizes=sizes, fractions=fractions, seed=seed)
    splits: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    for record in records:
        splits[split_of[record["patient_id"]]].append(record)
    return splits


def _look_at_part(part: tuple[str, tuple[str, ...]]) -> list[ArchiveFile]:
    guard = PathGuard(part[0])
    return [_look_at(guard, path) for path in part[1]]


def _look_at(guard: PathGuard, path: str) -> ArchiveFile:
    try:
        path.encode()
    except UnicodeEncodeError:
        return ArchiveFile(path, problem="its name is not UTF-8")
    try:
        real = Path(guard.resolve(path))
    except ValueError:
        return ArchiveFile(path, problem="path outside the source")
    try:
        kind = file_kind(real)
    except RadiographError as error:
        return ArchiveFile(path, problem=str(error).removeprefix(f"{real.name}: "))
    try:
        header = read_dicom_header(real) if kind == "DICOM" else None
        return ArchiveFile(path, kind, header, length=real.stat().st_size)
    except (RadiographError, OSError):
        return ArchiveFile(path, kind)
