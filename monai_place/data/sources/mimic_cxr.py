"""MIMIC-CXR and MIMIC-CXR-JPG: 377,110 chest radiographs of 227,835 studies of Beth Israel Deaconess, with reports.

Get from PhysioNet, after its training and data use agreement (PhysioNet Credentialed Health Data License 1.5.0): the
tables and JPEG images of MIMIC-CXR-JPG 2.0.0 or 2.1.0 (or the DICOM images of MIMIC-CXR 2.0.0 or 2.1.0 beside the same
tables), and `mimic-cxr-reports.zip` of MIMIC-CXR. Expected, each table with or without `.gz`::

    mimic-cxr-2.0.0-metadata.csv.gz     dicom_id, subject_id, study_id, ViewPosition, ...: a row an image
    mimic-cxr-2.0.0-split.csv.gz        dicom_id, study_id, subject_id, split (train, validate, test)
    mimic-cxr-2.0.0-chexpert.csv.gz     subject_id, study_id and 14 labels: a row a study; or -negbio.csv.gz
    files/p10/p10000032/s50414267/<dicom_id>.jpg       or .dcm, or .png
    mimic-cxr-reports/files/p10/p10000032/s50414267.txt, or files/p10/p10000032/s50414267.txt,
    or mimic-cxr-reports.zip, which is read as it is

Reports elsewhere: `reports=FOLDER_OR_ZIP`; `reports=none` goes without. Only what is there of `files/p10` to
`files/p19` is taken; a group that was not downloaded is counted.

Expected counts: 377,110 rows of the metadata and of the split, 227,835 studies, 65,379 patients, 227,827 rows of
labels.

- Records: one an image, `id` its dicom_id, `study_id` s50414267, `patient_id` p10000032, `view` its ViewPosition;
  `views` are PA and AP by default (others: LATERAL, LL, ...; "" is a blank one).
- `report` is the raw text, `sections` its findings and impression, cleaned, by this package's own rules
  (`monai_place.data.reports`); nobody's prepared table is needed. Studies with neither are left out, and so are those
  without a report; `keep_empty=true` keeps them. The reports are read image by image, so `--limit 100` opens 300.
- `label`: of the table `labels=chexpert` (or `negbio`, or `none`), `classes` all 14, `uncertain=ignore`, `blank=zero`;
  see `monai_place.data.sources.chexpert_labels`. A study without a row has unknown labels.
- Splits: the publisher's train, validate and test, by patient. `exclude=FILE` (a datalist made from MIMIC-CXR, such as
  that of `ms-cxr` or of `part=5x200`, or a CSV with a column dicom_id, such as MS-CXR's own) leaves the patients that
  it lists out of training and validation, so that they can be a test.
- `part=5x200` makes a datalist whose test split is 5 x 200 training images with one competition task alone, as CheXpert
  5x200 (`monai_place.data.sources.chexpert_5x200`; `samplings` the seeds of the draws), from the table `labels`, one
  PA or AP image a study, whatever `views` are; published MIMIC 5x200 sets are drawn likewise but not from published
  seeds. `exclude_5x200=true` leaves these images and all others of their patients out of training.

Reference:
    Johnson et al.: MIMIC-CXR, a de-identified publicly available database of chest radiographs with free-text reports.
    Scientific Data 2019. Johnson et al.: MIMIC-CXR-JPG. arXiv:1901.07042.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_place.data.datalist import SPLITS
from monai_place.data.sources.chexpert_5x200 import draw_5x200, drawn_by_any, exclusive_task
from monai_place.data.sources.chexpert_labels import CHEXPERT_CLASSES, LabelPolicy
from monai_place.data.sources.draft import PrepareReport, SourceDraft
from monai_place.data.sources.exclusion import EXCLUDED, leave_out_patients, patients_of
from monai_place.data.sources.mgca import check_choice
from monai_place.data.sources.mimic_reports import MimicReports, close_archive, find_reports
from monai_place.data.sources.tables import check_counts as refuse_other_counts
from monai_place.data.sources.tables import find_file, find_images, read_table

__all__ = ["MIMIC_SUFFIXES", "mimic_image", "read_mimic_cxr"]

PREFIX = "mimic-cxr-2.0.0-"
FOLDER = "files"
PARTS = ("train", "5x200")
FRONTAL = ("PA", "AP")
LABELS = ("chexpert", "negbio", "none")
MIMIC_SUFFIXES = (".jpg", ".dcm", ".png")
SPLIT_NAMES = {"train": "training", "validate": "validation", "test": "test"}
EXPECTED = {
    "rows of metadata": 377_110,
    "rows of split": 377_110,
    "studies": 227_835,
    "patients": 65_379,
}
EXPECTED_LABELS = 227_827
WITHOUT_LABELS = "images of studies without a row of labels"

Record = dict[str, Any]


@dataclass
class _Studies:
    """What the label table says of each study: its label, and the task that is positive alone.

    `drawable` holds the images that 5x200 is drawn from: whatever views are asked for, the draw is the same.
    """

    policy: LabelPolicy
    labels: dict[str, list[int | None]]
    tasks: dict[str, str]
    labelled: bool = False
    rows: int = 0
    drawable: list[Record] = field(default_factory=list)


def read_mimic_cxr(
    source: Path,
    *,
    views: Sequence[str] = ("PA", "AP"),
    reports: str = "",
    keep_empty: bool = False,
    labels: str = "chexpert",
    classes: str | Sequence[str] = "all",
    uncertain: str = "ignore",
    blank: str = "zero",
    exclude: str = "",
    part: str = "train",
    exclude_5x200: bool = False,
    samplings: Sequence[int] = (0,),
    check_counts: bool = True,
    workers: int = 0,
    report: PrepareReport,
) -> SourceDraft:
    """Read MIMIC-CXR's tables.

    Args:
        source: the folder with the tables and `files/`.
        views: values of ViewPosition to keep.
        reports: where the reports are: a folder or a zip archive; `none` goes without.
        keep_empty: keep images of studies without report, or with neither findings nor impression.
        labels: the table of the labels: `chexpert`, `negbio` or `none`.
        classes: `all`, `competition` or names.
        uncertain: what -1 becomes: `ones`, `zeros`, `ignore` or `per-class`.
        blank: what a blank becomes: `zero` or `ignore`.
        exclude: a datalist, or a CSV file with a column `dicom_id`, whose patients must not train; absolute or below
            the source.
        part: `train` for the splits, `5x200` for a datalist of the 1,000 images alone.
        exclude_5x200: leave the patients of the 5x200 images out of training.
        samplings: seeds of the 5x200 draws; one for `part=5x200`.
        check_counts: refuse tables of other lengths than published.
        workers: processes that will read the reports; 0 reads them in this one.
        report: counts what is left out and why.

    Raises:
        FileNotFoundError: a table, the images or the reports are missing.
        ValueError: a table is not as published, or an option is unknown.
    """
    check_choice("part", part, PARTS)
    check_choice("labels", labels, LABELS)
    drawing = part == "5x200" or exclude_5x200
    if labels == "none" and drawing:
        raise ValueError("5x200 is drawn from labels: labels must be chexpert or negbio, got 'none'")
    reading = None if reports == "none" else MimicReports(find_reports(source, reports), keep_empty)
    if workers:
        close_archive()  # each process opens its own; this one needs the memory for the records
    studies = _read_labels(source, labels, LabelPolicy(classes, uncertain=uncertain, blank=blank), drawing=drawing)
    views = FRONTAL if part == "5x200" else [views] if isinstance(views, str) else views
    splits = _read_records(source, views, studies, report, check=check_counts)
    if part == "5x200":
        if len(samplings) != 1:
            raise ValueError(f"part=5x200 is one draw: samplings must hold one seed, got {list(samplings)}")
        splits = {"test": _draw(studies, samplings)}
    elif exclude_5x200:
        drawn = {record["patient_id"] for record in _draw(studies, samplings)}
        splits["training"] = leave_out_patients(splits["training"], drawn, "of a patient of 5x200", report)
    if exclude and part == "train":
        excluded = _excluded_patients(source, exclude)
        for name in ("training", "validation"):
            splits[name] = leave_out_patients(splits[name], excluded, EXCLUDED, report)
    return SourceDraft(
        name="mimic-cxr" if part == "train" else "mimic-cxr-5x200",
        version="2.0.0",
        source="MIMIC-CXR, PhysioNet; PhysioNet Credentialed Health Data License 1.5.0, no redistribution",
        classes=list(studies.policy.classes) if labels != "none" else [],
        splits=splits,
        complete=reading,
    )


def mimic_image(subject: str, study: str, dicom_id: str, suffix: str) -> str:
    """Return the path of an image below the folder that holds `files`.

    Args:
        subject: subject_id, digits.
        study: study_id, digits.
        dicom_id: of the image.
        suffix: such as `.jpg`.

    Example:
        >>> mimic_image("10000032", "50414267", "02aa804e-bde0afdd", ".jpg")
        'files/p10/p10000032/s50414267/02aa804e-bde0afdd.jpg'
    """
    return f"{FOLDER}/p{subject[:2]}/p{subject}/s{study}/{dicom_id}{suffix}"


def _read_labels(source: Path, labels: str, policy: LabelPolicy, *, drawing: bool) -> _Studies:
    studies = _Studies(policy, {}, {})
    if labels == "none":
        return studies
    studies.labelled = True
    table = find_file(source, f"{PREFIX}{labels}.csv", what=f"the table of {labels} labels")
    for row in read_table(table, ("subject_id", "study_id", *CHEXPERT_CLASSES)):
        studies.rows += 1
        where = f"{table.name}: row {studies.rows}"
        studies.labels[row["study_id"]] = policy.label(row, where)
        if drawing and (task := exclusive_task(row, where)):
            studies.tasks[row["study_id"]] = task
    return studies


def _excluded_patients(source: Path, exclude: str) -> set[str]:
    if exclude.endswith(".json"):
        return patients_of(source / exclude)
    images = {row["dicom_id"] for row in read_table(source / exclude, ("dicom_id",))}
    found = {f"p{row['subject_id']}" for row in _read_metadata(source) if row["dicom_id"] in images}
    if not found:
        raise ValueError(f"{Path(exclude).name}: no dicom_id of it is in the metadata, so that nobody can be excluded")
    return found


def _read_metadata(source: Path) -> Iterator[dict[str, str]]:
    table = find_file(source, f"{PREFIX}metadata.csv", what="the metadata table")
    return read_table(table, ("dicom_id", "subject_id", "study_id", "ViewPosition"))


def _number(row: dict[str, str], column: str, number: int) -> int:
    if not row[column].isdecimal():
        raise ValueError(
            f"{PREFIX}metadata.csv: row {number}: {column} is {row[column]!r:.40}, expected digits alone, as published"
        )
    return int(row[column])


def _read_records(
    source: Path, views: Sequence[str], studies: _Studies, report: PrepareReport, *, check: bool
) -> dict[str, list[Record]]:
    """Read metadata and split, row by row: of 377,110 rows only the records that stay are held in memory."""
    split_of, rows_of_split = _read_split(source)
    groups = {folder.name for folder in (source / FOLDER).glob("p[0-9][0-9]")}
    splits: dict[str, list[Record]] = {split: [] for split in SPLITS}
    known_studies: set[int] = set()
    patients: set[int] = set()
    rows = 0
    for row in _read_metadata(source):
        rows += 1
        known_studies.add(_number(row, "study_id", rows))
        patients.add(_number(row, "subject_id", rows))
        split = split_of.pop(row["dicom_id"], None)  # a second row of an image finds none
        if split == SPLITS[0] and studies.tasks and _reason(row, split, FRONTAL, groups) is None:
            studies.drawable.append(_record(row, studies))
        if reason := _reason(row, split, views, groups):
            report.leave_out(row["dicom_id"], reason)
        else:
            splits[split or ""].append(_record(row, studies))
            if studies.labelled and row["study_id"] not in studies.labels:
                report.notes[WITHOUT_LABELS] += 1
    for image in split_of:  # those that no row of the metadata has taken out
        report.leave_out(image, "row of the split without metadata")
    found = {
        "rows of metadata": rows,
        "rows of split": rows_of_split,
        "studies": len(known_studies),
        "patients": len(patients),
    }
    expected = dict(EXPECTED)
    if studies.labelled:
        expected["rows of labels"], found["rows of labels"] = EXPECTED_LABELS, studies.rows
    refuse_other_counts("mimic-cxr", expected, found, check=check)
    every = [record for records in (*splits.values(), studies.drawable) for record in records]
    if every:
        ways = ([record["image"] + suffix for suffix in MIMIC_SUFFIXES] for record in every)
        suffix = MIMIC_SUFFIXES[find_images(source, ways, what="the images")]
        for record in every:
            record["image"] += suffix
    return splits


def _read_split(source: Path) -> tuple[dict[str, str], int]:
    table = find_file(source, f"{PREFIX}split.csv", what="the table of the official split")
    split_of: dict[str, str] = {}
    rows = 0
    for row in read_table(table, ("dicom_id", "split")):
        rows += 1
        if row["split"] not in SPLIT_NAMES:
            raise ValueError(f"{table.name}: row {rows}: split {row['split']!r:.40}, expected one of {[*SPLIT_NAMES]}")
        split = SPLIT_NAMES[row["split"]]
        if split_of.setdefault(row["dicom_id"], split) != split:
            raise ValueError(f"{table.name}: row {rows}: the image is in another split by a row above")
    return split_of, rows


def _reason(row: dict[str, str], split: str | None, views: Sequence[str], groups: set[str]) -> str | None:
    if row["ViewPosition"] not in views:
        return sys.intern(f"view {row['ViewPosition']!r:.20} not asked for")
    if f"p{row['subject_id'][:2]}" not in groups:
        return "folder of the patient's group not downloaded"
    return "no split, or a second row" if split is None else None


def _record(row: dict[str, str], studies: _Studies) -> Record:
    subject, study = row["subject_id"], row["study_id"]
    record: Record = {
        "id": row["dicom_id"],
        "image": mimic_image(subject, study, row["dicom_id"], ""),
        "patient_id": sys.intern(f"p{subject}"),  # once for all images, not once each
        "study_id": sys.intern(f"s{study}"),
        "view": sys.intern(row["ViewPosition"]) or None,
        "language": "en",
    }
    if studies.labelled:
        record["label"] = studies.labels.get(study) or studies.policy.unknown()
    return record


def _draw(studies: _Studies, samplings: Sequence[int]) -> list[Record]:
    """Draw from the first frontal image of each training study that has one task alone."""
    first = list({record["study_id"]: record for record in reversed(studies.drawable)}.values())[::-1]
    tasks = [studies.tasks.get(record["study_id"][1:]) for record in first]
    drawn = draw_5x200(tasks, samplings[0]) if len(samplings) == 1 else sorted(drawn_by_any(tasks, samplings))
    return [first[position] for position in drawn]
