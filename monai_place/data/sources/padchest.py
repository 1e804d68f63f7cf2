"""PadChest: 160,868 chest radiographs of 67,625 patients of Hospital San Juan (Alicante), with Spanish reports.

Get it from BIMCV ("PadChest") after accepting its research use agreement: the table, and the archives of images,
unpacked each into the folder of its number::

    PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv     or .csv.gz
    0/<ImageID> ... 54/<ImageID>     16 bit PNG; also below images/, or all in one folder (images/ or the source)

Expected: 160,861 rows in the table of 01.02.19 (160,868 images by the paper; a table of so many is taken as well). Only
the numbered folders that are there are taken; rows of the others are counted.

- Records: one an image; `id` is its ImageID. `view` is `Projection`; `views` are PA, AP and AP_horizontal by default
  (others: L, COSTAL, "" for a blank one). Rows without patient are left out, and so are images of studies with a label
  of `exclude_labels` (`exclude`, `suboptimal study`).
- `report`: as the table has it, in lower case and without stops; `language` is `es`. `sections` has it as findings. An
  image without report stays.
- `label`: the column `Labels`, of the study. Classes are all labels that `minimum` (50) of the images have at least, in
  the order of the alphabet, without `unchanged` and those of `exclude_labels`; or give `classes`. An image whose
  `Labels` are blank, cannot be read or are `unchanged` alone (which says nothing of what is seen) has unknown labels.
  `label_method` says who labelled: Physician or RNN_model.
- Splits: `split=patients`: 70/10/20 by patient and `seed`, spread over being labelled by physicians. `split=physician`:
  all images labelled by physicians are the test, as published zero-shot tests have it; of the other patients whole
  ones with at least `validation_size` (5,000) images are the validation. There is no split of the publisher.

Columns and layout are those that public code reading the set uses.

Reference:
    Bustos et al.: PadChest: A large chest x-ray image dataset with multi-label annotated reports. Medical Image
    Analysis 2020. arXiv:1901.07441.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from monai_place.data.datalist import SPLITS
from monai_place.data.reports import clean_text
from monai_place.data.sources.draft import PrepareReport, SourceDraft
from monai_place.data.sources.exclusion import draw_patients, leave_out_patients
from monai_place.data.sources.mgca import check_choice
from monai_place.data.sources.tables import check_counts as refuse_other_counts
from monai_place.data.sources.tables import find_file, find_images, read_table
from monai_place.data.splits import split_patients

__all__ = ["parse_labels", "read_padchest"]

TABLE = "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv"
COLUMNS = ("ImageID", "ImageDir", "StudyID", "PatientID", "Projection", "MethodLabel", "Report", "Labels")
ROWS = (160_861, 160_868)
NO_FINDING = {"", "unchanged"}
LONGEST_LABELS = 10_000  # characters
PHYSICIAN = "Physician"
BLANK = ("", "nan")

Record = dict[str, Any]
Labels = tuple[str, ...]


def read_padchest(
    source: Path,
    *,
    views: Sequence[str] = ("PA", "AP", "AP_horizontal"),
    classes: Sequence[str] | None = None,
    minimum: int = 50,
    exclude_labels: Sequence[str] = ("exclude", "suboptimal study"),
    split: str = "patients",
    validation_size: int = 5_000,
    seed: int = 0,
    check_counts: bool = True,
    report: PrepareReport,
) -> SourceDraft:
    """Read PadChest's table.

    Args:
        source: the folder with the table and the images.
        views: values of Projection to keep.
        classes: names of labels; by default all that are frequent enough.
        minimum: images that a label must have to be a class.
        exclude_labels: labels whose studies are left out.
        split: `patients` or `physician`.
        validation_size: images of the validation split of `physician`, or a few more, since patients stay whole.
        seed: of the split.
        check_counts: refuse a table of another length than published.
        report: counts what is left out and why.

    Raises:
        FileNotFoundError: the table or the images are missing.
        ValueError: the table is not as published, or an option is unknown.
    """
    check_choice("split", split, ("patients", "physician"))
    views = [views] if isinstance(views, str) else views
    table = find_file(source, TABLE, what="PadChest's table")
    folders = _folders(source)
    entries: list[tuple[Record, Labels | None]] = []
    rows = 0
    seen: set[str] = set()
    for row in read_table(table, COLUMNS):
        rows += 1
        labels = _known_labels(row["Labels"])
        if reason := _reason(row, labels, views, exclude_labels, folders, seen):
            report.leave_out(row["ImageID"], reason)
            continue
        seen.add(row["ImageID"])
        if labels is None:
            report.notes["images whose labels are blank, cannot be read or say `unchanged` alone"] += 1
        entries.append((_record(row), labels))
    expected = rows if rows in ROWS else ROWS[0]
    refuse_other_counts("padchest", {"rows": expected}, {"rows": rows}, check=check_counts)
    if classes is None:
        counts = Counter(name for _, labels in entries for name in labels or ())
        left = NO_FINDING.union(exclude_labels)
        classes = sorted(name for name, count in counts.items() if count >= minimum and name not in left)
    _label(entries, list(classes))
    records = [record for record, _ in entries]
    _place(source, records)
    return SourceDraft(
        name="padchest",
        version="01.02.19",
        source="PadChest, BIMCV; research use agreement, no redistribution",
        classes=list(classes),
        splits=_split(records, split, report, validation_size=validation_size, seed=seed),
        complete=_add_sections,
    )


@lru_cache(maxsize=1 << 16)  # the images of a study, and most normal ones, have the same text
def parse_labels(text: str) -> Labels | None:
    """Return the labels of a cell such as `['normal', 'nodule ']`; None where it is blank or holds something else.

    Only literals are read, nothing is run.

    Example:
        >>> parse_labels("['cardiomegaly', ' Pleural effusion']"), parse_labels("nan")
        (('cardiomegaly', 'pleural effusion'), None)
    """
    if text.lower() in BLANK or len(text) > LONGEST_LABELS:
        return None
    try:
        names = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    return tuple(dict.fromkeys(name.strip().lower() for name in names if name.strip()))


def _known_labels(text: str) -> Labels | None:
    """Return the labels of a cell; None where they say nothing of what is seen, as `['unchanged']` does."""
    labels = parse_labels(text)
    return None if labels is None or NO_FINDING.issuperset(labels) else labels


def _folders(source: Path) -> set[str] | None:
    """Return the numbered folders of images that are there; None where images lie in one folder."""
    found = {path.name for place in (source, source / "images") for path in place.glob("[0-9]*") if path.is_dir()}
    return found or None


def _reason(
    row: dict[str, str],
    labels: Labels | None,
    views: Sequence[str],
    exclude_labels: Sequence[str],
    folders: set[str] | None,
    seen: set[str],
) -> str | None:
    if row["Projection"] not in views:
        return f"view {row['Projection']!r:.20} not asked for"
    if row["PatientID"].lower() in BLANK:
        return "no patient"
    if row["ImageID"] in seen:
        return "duplicate row"
    if excluded := [name for name in exclude_labels if name in (labels or ())]:
        return f"labelled {excluded[0]!r}"
    if folders is not None and _number(row["ImageDir"]) not in folders:
        return "folder of the image not downloaded"
    return None


def _number(folder: str) -> str:
    return folder.removesuffix(".0")  # as a spreadsheet or pandas writes it back


def _record(row: dict[str, str]) -> Record:
    record: Record = {
        "id": row["ImageID"],
        "image": f"{_number(row['ImageDir'])}/{row['ImageID']}",
        "patient_id": row["PatientID"],
        "study_id": None if row["StudyID"].lower() in BLANK else row["StudyID"],
        "view": row["Projection"] or None,
        "language": "es",
        "label_method": row["MethodLabel"],
    }
    if row["Report"].lower() not in BLANK and any(map(str.isalnum, row["Report"])):
        record["report"] = row["Report"]
    return record


def _add_sections(record: Record) -> str | None:
    if "report" in record:
        record["sections"] = {"findings": clean_text(record["report"])}
    return None


def _label(entries: Sequence[tuple[Record, Labels | None]], classes: Sequence[str]) -> None:
    """Add the labels; equal ones are one list, held once."""
    known: dict[Labels | None, list[int | None]] = {}
    for record, labels in entries:
        if labels not in known:
            known[labels] = [None if labels is None else int(name in labels) for name in classes]
        record["label"] = known[labels]


def _place(source: Path, records: Sequence[Record]) -> None:
    if not records:
        return
    prefixes = ("", "images/")
    ways = ([prefix + name for name in (record["image"], record["id"]) for prefix in prefixes] for record in records)
    way = find_images(source, ways, what="the images")
    for record in records:
        record["image"] = prefixes[way % 2] + (record["image"] if way < len(prefixes) else record["id"])


def _split(
    records: Sequence[Record], split: str, report: PrepareReport, *, validation_size: int, seed: int
) -> dict[str, list[Record]]:
    if split == "patients":
        sizes = Counter(record["patient_id"] for record in records)
        physician = {record["patient_id"] for record in records if record["label_method"] == PHYSICIAN}
        strata = {patient: str(patient in physician) for patient in sizes}
        split_of = split_patients(strata, sizes=sizes, seed=seed)
        return {name: [record for record in records if split_of[record["patient_id"]] == name] for name in SPLITS}
    test = [record for record in records if record["label_method"] == PHYSICIAN]
    patients = {record["patient_id"] for record in test}
    others = [record for record in records if record["label_method"] != PHYSICIAN]
    kept = leave_out_patients(others, patients, "labelled by the model, of a patient of the test", report)
    chosen = draw_patients(kept, validation_size, seed)
    return {
        "training": [record for record in kept if record["patient_id"] not in chosen],
        "validation": [record for record in kept if record["patient_id"] in chosen],
        "test": test,
    }
