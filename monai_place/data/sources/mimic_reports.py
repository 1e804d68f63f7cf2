"""The reports of MIMIC-CXR: one text file a study, in a tree of folders or inside `mimic-cxr-reports.zip`."""

from __future__ import annotations

import logging
import re
import zipfile
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from monai_place.data.datalist import decode_report
from monai_place.data.reports import clean_text, split_sections
from monai_place.data.sources.draft import REPORT_UNREADABLE

__all__ = ["LARGEST_REPORT", "MimicReports", "close_archive", "find_reports"]

logger = logging.getLogger(__name__)

FOLDERS = ("mimic-cxr-reports/files", "mimic-cxr-reports", "reports/files", "files")
ARCHIVE = "mimic-cxr-reports.zip"
LARGEST_REPORT = 1 << 20  # bytes; the longest is about 10 kB
_STUDY = re.compile(r"(?:^|/)(?P<inside>p\d\d/p\d{8}/s\d{8}\.txt)$")


@dataclass(frozen=True)
class MimicReports:
    """Adds the raw report of a record's study, and its sections; reads one file a study.

    Args:
        place: the folder with `p10` to `p19`, or the zip archive.
        keep_empty: keep the images of studies that have neither findings nor an impression, or no report.
    """

    place: Path
    keep_empty: bool = False

    def __call__(self, record: dict[str, Any]) -> str | None:
        """Add `report` and `sections`; return the reason where the record must be left out."""
        try:
            text, sections = _read(self.place, record["patient_id"], record["study_id"])
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError) as error:
            logger.warning("report of %s left out: %s", record["study_id"], type(error).__name__)
            return REPORT_UNREADABLE
        if text is None:
            return None if self.keep_empty else "report missing"
        if not sections:
            if not self.keep_empty:
                return "report has neither findings nor impression"
            if not any(character.isalnum() for character in text):
                return None  # a datalist holds no empty report
        record["report"] = text
        record["sections"] = sections
        return None


def find_reports(source: Path, place: str = "") -> Path:
    """Return where the reports lie.

    Args:
        source: the source folder.
        place: a folder or zip archive, absolute or below the source; by default the usual names are tried.

    Raises:
        FileNotFoundError: there are none; the message lists what was tried.
        ValueError: the archive is damaged, or holds something else.
    """
    if place:
        found = source / place
        if found.is_file():
            return _checked(found)
        for folder in (found / "files", found):
            if _holds_reports(folder):
                return folder
        raise FileNotFoundError(f"reports: {found.name!r} is neither a zip archive nor a folder with p10/p10000032/")
    for name in FOLDERS:
        if _holds_reports(source / name):
            return source / name
    if (source / ARCHIVE).is_file():
        return _checked(source / ARCHIVE)
    tried = ", ".join(repr(name) for name in (*FOLDERS, ARCHIVE))
    raise FileNotFoundError(
        f"the reports of MIMIC-CXR are not in the source folder: expected one of {tried}; name another place by the "
        "option reports=FOLDER_OR_ZIP, or take the images without by reports=none"
    )


def close_archive() -> None:
    """Close the archive that this process holds open, and forget its table of contents."""
    _archive.cache_clear()


def _checked(place: Path) -> Path:
    try:
        _, prefix = _archive(place)
    except (zipfile.BadZipFile, OSError) as error:
        raise ValueError(f"{place.name}: not a readable zip archive: {type(error).__name__}") from None
    if prefix is None:
        raise ValueError(f"{place.name}: no file such as p10/p10000032/s50414267.txt is in the archive")
    return place


def _holds_reports(folder: Path) -> bool:
    """Tell whether a patient's folder with a report is there; looks at a few folders, whatever the archive's size."""
    for group in sorted(folder.glob("p1[0-9]"))[:1]:
        for patient in sorted(group.glob("p1*"))[:20]:
            if any(patient.glob("s*.txt")):
                return True
    return False


@lru_cache(maxsize=64)  # the images of a study follow each other
def _read(place: Path, patient: str, study: str) -> tuple[str | None, dict[str, str]]:
    """Return the text of a study's report, None where it has none, and the sections that have text."""
    inside = f"{patient[:3]}/{patient}/{study}.txt"
    data = _from_archive(place, inside) if place.is_file() else _from_folder(place / inside)
    if data is None:
        return None, {}
    text = decode_report(data)
    split = split_sections(clean_text(text))
    named = {"findings": split.findings, "impression": split.impression}
    return text, {name: body for name, body in named.items() if any(character.isalnum() for character in body)}


def _from_folder(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST_REPORT)
    except FileNotFoundError:
        return None


def _from_archive(place: Path, inside: str) -> bytes | None:
    archive, prefix = _archive(place)
    try:
        with archive.open(f"{prefix}{inside}") as file:
            return file.read(LARGEST_REPORT)
    except KeyError:
        return None


@lru_cache(maxsize=1)  # its table of contents has 227,835 entries: it is read once a process
def _archive(place: Path) -> tuple[zipfile.ZipFile, str | None]:
    """Return the archive, and what stands before p10/ in it; None where it holds no report."""
    archive = zipfile.ZipFile(place)
    found = (_STUDY.search(name) for name in archive.namelist() if not name.startswith("__MACOSX"))
    first = next(filter(None, found), None)
    return archive, first.string[: first.start("inside")] if first is not None else None
