"""RSNA Pneumonia Detection Challenge (2018): radiographs of the NIH, with boxes around lung opacities.

What to download: stage 2 of the Kaggle competition "RSNA Pneumonia Detection Challenge"; its rules and the attribution
that RSNA asks for stand there and on RSNA's page of the challenge. Unpack it, and keep its names::

    stage_2_train_images/<patientId>.dcm        26,684 radiographs, 1024 x 1024
    stage_2_train_labels.csv                    patientId,x,y,width,height,Target; one row a box, or one row without
    stage_2_detailed_class_info.csv             patientId,class (optional)
    pneumonia-challenge-dataset-mappings_2018.json    RSNA's list of the NIH's names (optional)

Expected counts: 30,227 rows of 26,684 images, 6,012 with pneumonia, 9,555 boxes. `stage_2_test_images` has no labels,
and is not read; neither is RSNA's own download of the same pictures under other names.

- `id` and `patient_id`: the table's patientId, of which each has one image.
- `label`: 1 if the table's Target is 1. One class, `Pneumonia`, so the same datalist serves classification,
  segmentation and detection.
- `boxes`: x, y, x + width, y + height. An image without any has `boxes: []`, so that detection counts it as a negative.
  Boxes without area are not taken; an image with pneumonia that has no other is left out, after the draw.
- `mask`: the boxes filled, 1 inside (as MGCA and BenchX segment this set); all 0 without boxes.
- `finding`: the class of the detailed table: Normal, Lung Opacity, or No Lung Opacity / Not Normal.

`split`, each the same ids everywhere, whatever images are missing:

- `detection` (default): MGCA's of segmentation and detection, 16,010/5,337/5,337 (3,579/1,182/1,251 with pneumonia).
  Ids sorted; p = RandomState(0).permutation(n); training p[10674:]; of the others, permuted again, the first half
  validates and the second tests.
- `classification`: MGCA's and BenchX's of classification, 70/15/15, 18,678/4,003/4,003, drawn the same way. Its test
  images are partly training images of `detection`: do not mix the two.
- `patients`: 60/20/20 by the NIH's patients, whom RSNA's ids do not tell: the two published splits may have images of
  one patient on both sides. It needs RSNA's list, by which the note "NIH patients in two splits" counts them for the
  others, too; `patient_id` is the NIH's here.

MGCA's quirks with this set lie in its metrics (images without boxes are skipped) and in how it reads DICOM, not in the
datalist, so there is no mode to choose.

Layout and counts are from the competition's data page and public analyses of it, the splits from MGCA's published
preparation.

Reference:
    Shih et al.: Augmenting the National Institutes of Health Chest Radiograph Dataset with Expert Annotations of
    Possible Pneumonia. Radiology: Artificial Intelligence 1(1), 2019.
"""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from monai_place.data.sources.draft import PrepareReport, SourceDraft
from monai_place.data.sources.masks import FilledBoxes
from monai_place.data.sources.mgca import check_choice, draw_three_splits
from monai_place.data.sources.tables import check_counts as compare_counts
from monai_place.data.sources.tables import find_file, read_table
from monai_place.data.splits import split_patients

__all__ = ["read_rsna"]

IMAGES = "stage_2_train_images"
LABELS = "stage_2_train_labels.csv"
DETAILS = "stage_2_detailed_class_info.csv"
NIH_NAMES = "pneumonia-challenge-dataset-mappings_2018.json"
BOX_COLUMNS = ("x", "y", "width", "height")
DETAILED_CLASSES = ["Normal", "Lung Opacity", "No Lung Opacity / Not Normal"]
CLASS = "Pneumonia"
NO_BOX = "pneumonia without a box that has an area"
EXPECTED = {"rows": 30227, "images": 26684, "images with pneumonia": 6012, "boxes": 9555}
SHARE_NOT_TRAINED = {"detection": 0.4, "classification": 0.3}
SPLIT_CHOICES = (*SHARE_NOT_TRAINED, "patients")

Box = tuple[float, float, float, float]


@dataclass
class _Image:
    """What the table says of one image."""

    target: int
    boxes: list[Box] = field(default_factory=list)


def read_rsna(
    source: Path, *, split: str = "detection", check_counts: bool = True, report: PrepareReport
) -> SourceDraft:
    """Read the tables of RSNA Pneumonia.

    Args:
        source: the folder with `stage_2_train_labels.csv`.
        split: `detection`, `classification` or `patients`; see the module.
        check_counts: refuse a table of other counts than the competition's.
        report: counts what is left out and why.

    Raises:
        FileNotFoundError: a table that is needed is not there.
        ValueError: a row is not what it must be, counts differ, or the split is unknown.
    """
    check_choice("split", split, SPLIT_CHOICES)
    images = _read_labels(find_file(source, LABELS, what="the table of boxes"), report, check=check_counts)
    patients = _read_nih_patients(source / NIH_NAMES)
    ids_of = _split(images, split, patients)
    if patients and split != "patients":
        _count_leaks(ids_of, patients, report)
    findings = _read_findings(source, images, report)
    draft = SourceDraft(
        name="rsna",
        version="stage 2",
        source="RSNA Pneumonia Detection Challenge 2018 (Kaggle, stage 2); rules of the competition",
        classes=[CLASS],
        splits={},
        extra={"mask_classes": [CLASS], "split": split},
    )
    for name, ids in ids_of.items():
        draft.splits[name] = []
        for image_id in ids:
            image = images[image_id]
            if image.target and not image.boxes:  # detection would count it as a negative
                report.leave_out(image_id, NO_BOX)
                continue
            record = {
                "id": image_id,
                "image": f"{IMAGES}/{image_id}.dcm",
                "patient_id": f"nih-{patients[image_id]}" if split == "patients" else image_id,
                "label": [image.target],
                "boxes": [list(box) for box in image.boxes],
                "box_classes": [CLASS] * len(image.boxes),
            }
            if image_id in findings:
                record["finding"] = findings[image_id]
            draft.splits[name].append(record)
            draft.masks[image_id] = FilledBoxes(tuple(image.boxes))
    return draft


def _read_labels(path: Path, report: PrepareReport, *, check: bool) -> dict[str, _Image]:
    """Return the images of the table, sorted by id."""
    images: dict[str, _Image] = {}
    rows = boxes = 0
    for rows, row in enumerate(read_table(path, ("patientId", *BOX_COLUMNS, "Target")), 1):
        where = f"{path.name}: row {rows}"
        if not row["patientId"]:
            raise ValueError(f"{where}: patientId is empty")
        if row["Target"] not in ("0", "1"):
            raise ValueError(f"{where}: Target is {row['Target']!r:.20}, expected 0 or 1")
        target, known = int(row["Target"]), row["patientId"] in images
        image = images.setdefault(row["patientId"], _Image(target))
        if image.target != target:
            raise ValueError(f"{where}: the image has Target {target} here and {image.target} in a row before")
        if box := _box(row, where):
            boxes += 1
            if note := _take(box, image):
                report.notes[note] += 1
        elif known:
            report.notes["rows without a box listed twice, taken once"] += 1
    found = {
        "rows": rows,
        "images": len(images),
        "images with pneumonia": sum(image.target for image in images.values()),
        "boxes": boxes,
    }
    compare_counts("rsna", EXPECTED, found, check=check)
    return dict(sorted(images.items()))


def _take(box: Box, image: _Image) -> str:
    """Add a box to its image, or return why it is not taken."""
    if box[0] >= box[2] or box[1] >= box[3]:
        return "boxes without area, not taken"
    if box in image.boxes:
        return "boxes listed twice, taken once"
    image.boxes.append(box)
    return ""


def _box(row: Mapping[str, str], where: str) -> Box | None:
    given = [row[column] for column in BOX_COLUMNS]
    if row["Target"] == "0" and not any(given):
        return None
    try:
        x, y, width, height = map(float, given)
    except ValueError:
        raise ValueError(f"{where}: Target is {row['Target']}, the box is {given}") from None
    if row["Target"] == "0" or not all(map(math.isfinite, (x, y, width, height))):
        raise ValueError(f"{where}: Target is {row['Target']}, the box is {given}")
    return x, y, x + width, y + height


def _read_findings(source: Path, images: Mapping[str, _Image], report: PrepareReport) -> dict[str, str]:
    """Return the detailed class of each image; the first where two rows differ."""
    if not any((source / name).is_file() for name in (DETAILS, f"{DETAILS}.gz")):
        return {}
    path = find_file(source, DETAILS, what="the table of detailed classes")
    findings: dict[str, str] = {}
    for number, row in enumerate(read_table(path, ("patientId", "class")), 1):
        if not row["class"]:
            continue
        if row["class"] not in DETAILED_CLASSES:
            raise ValueError(f"{path.name}: row {number}: class is {row['class']!r:.40}, known: {DETAILED_CLASSES}")
        if row["patientId"] not in images:
            report.leave_out(row["patientId"], "detailed class of an image without a row")
        elif findings.setdefault(row["patientId"], row["class"]) != row["class"]:
            report.notes["images of two detailed classes, the first taken"] += 1
    if lacking := len(images) - len(findings):
        report.notes["images without a detailed class"] += lacking
    return findings


def _read_nih_patients(path: Path) -> dict[str, str]:
    """Return the NIH's patient of each image, or nothing where RSNA's list is not there."""
    if not path.is_file():
        return {}
    try:
        items = json.loads(path.read_text(encoding="utf-8-sig"))
        return {item["subset_img_id"]: item["img_id"].split("_")[0] for item in items}
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path.name}: not RSNA's list of names: {type(error).__name__}") from None


def _split(images: Mapping[str, _Image], split: str, patients: Mapping[str, str]) -> dict[str, list[str]]:
    if split != "patients":
        return draw_three_splits(list(images), SHARE_NOT_TRAINED[split])
    if not patients:
        raise FileNotFoundError(f"{NIH_NAMES} is not in the source folder: split 'patients' needs it")
    if unknown := sum(image_id not in patients for image_id in images):
        raise ValueError(f"{NIH_NAMES}: lacks {unknown} of {len(images)} images of {LABELS}")
    ill: defaultdict[str, int] = defaultdict(int)
    for image_id, image in images.items():
        ill[patients[image_id]] |= image.target
    split_of = split_patients(
        {patient: str(target) for patient, target in ill.items()},
        sizes=Counter(patients[image_id] for image_id in images),
        fractions=(0.6, 0.2, 0.2),
    )
    ids_of: dict[str, list[str]] = {"training": [], "validation": [], "test": []}
    for image_id in images:
        ids_of[split_of[patients[image_id]]].append(image_id)
    return ids_of


def _count_leaks(ids_of: Mapping[str, list[str]], patients: Mapping[str, str], report: PrepareReport) -> None:
    where: defaultdict[str, set[str]] = defaultdict(set)
    for name, ids in ids_of.items():
        for image_id in ids:
            if image_id in patients:
                where[patients[image_id]].add(name)
    report.notes["NIH patients in two splits"] += sum(len(names) > 1 for names in where.values())
