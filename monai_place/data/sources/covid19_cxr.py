"""The COVID-19 image data collection: real radiographs with clinical notes.

Reads the layout of the GitHub repository ieee8023/covid-chestxray-dataset::

    metadata.csv                                   one row an image
    images/                                        the radiographs
    annotations/lungVAE-masks/<stem>_mask.png      lung masks, 0 and 255
    annotations/imageannotation_ai_lung_bounding_boxes.json   COCO boxes of the right and the left lung

and writes into the output folder `images/` (copies, byte by byte), `masks/` and `datalist.json` beside them. They are
copied because a datalist should survive the move of its source, and the set is small.

- Rows: `modality` X-ray and a `view` that is asked for; frontal by default. Rows may share an image: each stays a
  record, and their patients are one patient.
- `report`: `clinical_notes` as they stand, mojibake included (`SplitReportd` cleans); a row without stays, without
  report. `finding` and `license` are the table's own words.
- `label`: `monai_place.data.sources.covid19_findings` has the rule.
- `mask`: 1 in the lungs, `mask_classes` is `["lung"]`; a mask of another size is resized to its image, nearest.
- `boxes`: in pixels of the image, clipped to it; `box_classes` are `right lung` and `left lung`.
- Splits: by patient, 70/10/20, spread over findings and over having notes.

Licenses differ by image, and non-commercial ones are among them.

Reference:
    Cohen et al.: COVID-19 Image Data Collection: Prospective Predictions Are the Future. arXiv:2006.11988.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai_place.data.datalist import SPLITS
from monai_place.data.sources.covid19_findings import classes_of, label_of, parse_finding
from monai_place.data.sources.draft import NO_REPORT, PrepareReport, Size, SourceDraft
from monai_place.data.sources.masks import MaskFile
from monai_place.data.sources.tables import read_table
from monai_place.data.splits import split_patients

__all__ = ["read_covid19_cxr"]

MASKS = Path("annotations/lungVAE-masks")
BOXES = Path("annotations/imageannotation_ai_lung_bounding_boxes.json")
COLUMNS = ("patientid", "finding", "view", "modality", "filename", "clinical_notes")
FRONTAL_VIEWS = ("PA", "AP", "AP Supine", "AP Erect")

Row = dict[str, str]
CocoBoxes = dict[str, tuple[Size, list[tuple[str, list[float]]]]]  # file name -> size of the COCO image, (name, box)


def read_covid19_cxr(
    source: Path,
    *,
    views: Sequence[str] = FRONTAL_VIEWS,
    seed: int = 0,
    classes: Sequence[str] | None = None,
    check_counts: bool = True,
    report: PrepareReport,
) -> SourceDraft:
    """Read the collection's table.

    Args:
        source: the folder with `metadata.csv`.
        views: the values of `view` to keep; add `"L"` for lateral ones.
        seed: of the split.
        classes: the classes of `label`; by default every finding that occurs. Give those of another datalist to make
            two comparable.
        check_counts: has no effect, since the collection grew over the years.
        report: counts what is left out and why.

    Raises:
        FileNotFoundError: the source has no `metadata.csv`.
        ValueError: columns are missing, or no row is left.
    """
    if isinstance(views, str):
        views = [views]
    rows = _choose(list(read_table(source / "metadata.csv", COLUMNS)), views, report)
    if not rows:
        raise ValueError(f"metadata.csv: no usable X-ray row with a view of {list(views)}; left out: {report.left_out}")
    boxes = _read_boxes(source / BOXES)
    records = [(row, _record(row)) for row in rows]
    _name(records, report)
    known = classes_of(parse_finding(row["finding"]) for row, _ in records)
    if classes is not None:
        known = {name: known.get(name, ()) for name in classes}
    draft = SourceDraft(
        name="covid19-cxr",
        version="1",
        source="COVID-19 image data collection, arXiv:2006.11988; licenses differ by image, some are non-commercial",
        classes=list(known),
        splits=_split(records, seed),
        extra={"mask_classes": ["lung"]},
        copy=True,
    )
    draft.record_notes = {NO_REPORT: {record["id"]: 1 for _, record in records if "report" not in record}}
    for row, record in records:
        record["label"] = label_of(parse_finding(row["finding"]), known)
        name = Path(record["image"]).name
        mask = source / MASKS / f"{Path(name).stem}_mask.png"
        if mask.is_file():
            draft.masks[record["id"]] = MaskFile(str(mask))
        if name in boxes:
            draft.frames[record["id"]], found = boxes[name]
            record["boxes"] = [box for _, box in found]
            record["box_classes"] = [box_class for box_class, _ in found]
    return draft


def _choose(rows: list[Row], views: Sequence[str], report: PrepareReport) -> list[Row]:
    chosen = []
    for row in rows:
        if row["modality"].lower() != "x-ray":
            report.leave_out(row["filename"], "not an X-ray")
        elif row["view"] not in views:
            report.leave_out(row["filename"], f"view {row['view']!r:.20} not asked for")
        else:
            chosen.append(row)
    return chosen


def _record(row: Row) -> dict[str, Any]:
    image = f"{row.get('folder') or 'images'}/{row['filename']}"
    record: dict[str, Any] = {"image": image, "view": row["view"], "finding": row["finding"]}
    if row.get("license"):
        record["license"] = row["license"]
    if row["clinical_notes"]:
        record["report"] = row["clinical_notes"]
    return record


def _read_boxes(path: Path) -> CocoBoxes:
    if not path.is_file():
        return {}
    try:
        return _parse_coco(json.loads(path.read_text(encoding="utf-8-sig")))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path.name}: not COCO boxes: {type(error).__name__}: {error}") from None


def _parse_coco(content: dict[str, Any]) -> CocoBoxes:
    names = {category["id"]: category["name"].lower() for category in content["categories"]}
    by_image: defaultdict[Any, list[tuple[str, list[float]]]] = defaultdict(list)
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        by_image[annotation["image_id"]].append((names[annotation["category_id"]], [x, y, x + width, y + height]))
    return {
        image["file_name"]: ((image["height"], image["width"]), by_image[image["id"]]) for image in content["images"]
    }


def _name(records: Sequence[tuple[Row, dict[str, Any]]], report: PrepareReport) -> None:
    """Give each record its id and its opaque patient and study; rows that share an image share the patient."""
    patient_of_image: dict[str, str] = {}
    same: dict[str, str] = {}  # patient -> the one that it is the same as

    def first_of(patient: str) -> str:
        while same.get(patient, patient) != patient:
            patient = same[patient]
        return patient

    for row, record in records:
        known = first_of(patient_of_image.setdefault(record["image"], _patient(row)))
        same[first_of(_patient(row))] = known
    uses: defaultdict[str, int] = defaultdict(int)
    for row, record in records:
        stem = Path(record["image"]).name
        uses[stem] += 1
        if uses[stem] > 1:
            report.notes["records that share their image with another"] += 1
        patient = first_of(_patient(row))
        record["id"] = stem if uses[stem] == 1 else f"{stem}#{uses[stem]}"
        record["patient_id"] = f"p{_opaque(patient)}"
        record["study_id"] = f"s{_opaque(patient, row.get('offset', ''))}"


def _patient(row: Row) -> str:
    return row["patientid"] or row["filename"]


def _opaque(*parts: str) -> str:
    return hashlib.sha256("\n".join(("covid19-cxr", *parts)).encode()).hexdigest()[:12]


def _split(records: Sequence[tuple[Row, dict[str, Any]]], seed: int) -> dict[str, list[dict[str, Any]]]:
    strata: dict[str, str] = {}
    for row, record in records:
        strata.setdefault(record["patient_id"], f"{'report' in record} {row['finding']}")
    sizes = Counter(record["patient_id"] for _, record in records)
    split_of = split_patients(strata, sizes=sizes, seed=seed)
    splits: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    for _, record in records:
        splits[split_of[record["patient_id"]]].append(record)
    return splits
