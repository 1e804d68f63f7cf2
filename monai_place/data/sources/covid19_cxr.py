"""The COVID-19 image data collection: real radiographs with clinical notes.

Reads the layout of the GitHub repository ieee8023/covid-chestxray-dataset::

    metadata.csv                                   one row an image
    images/                                        the radiographs
    annotations/lungVAE-masks/<stem>_mask.png      lung masks, 0 and 255
    annotations/imageannotation_ai_lung_bounding_boxes.json   COCO boxes of the right and the left lung

and writes into the output folder `images/` (copies, byte by byte), `masks/` and `datalist.json` beside them. They are
copied because a record's paths all start from one root, masks may have to be resized, and a datalist should survive
the move of its source; the set is small.

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

import csv
import hashlib
import io
import json
import logging
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_place.atomic import atomic_path
from monai_place.data.datalist import SPLITS, Datalist, write_datalist
from monai_place.data.paths import resolve_inside
from monai_place.data.radiograph import RadiographError, read_mask, read_radiograph
from monai_place.data.sources import PrepareReport
from monai_place.data.sources.covid19_findings import classes_of, label_of, parse_finding
from monai_place.data.splits import split_patients

__all__ = ["prepare_covid19_cxr"]

logger = logging.getLogger(__name__)

MASKS = Path("annotations/lungVAE-masks")
BOXES = Path("annotations/imageannotation_ai_lung_bounding_boxes.json")
COLUMNS = ("patientid", "finding", "view", "modality", "filename", "clinical_notes")
FRONTAL_VIEWS = ("PA", "AP", "AP Supine", "AP Erect")

Row = dict[str, str]
Size = tuple[int, int]  # height, width
CocoBoxes = dict[str, tuple[Size, list[tuple[str, list[float]]]]]  # file name -> size of the COCO image, (name, box)


def prepare_covid19_cxr(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    views: Sequence[str] = FRONTAL_VIEWS,
    seed: int = 0,
    classes: Sequence[str] | None = None,
    progress: Callable[[int, int], None] | None = None,
    report: PrepareReport | None = None,
) -> Path:
    """Turn the collection into a datalist with copies of its images.

    Args:
        source: the folder with `metadata.csv`; it is only read.
        output: the folder to write into. The datalist is written last, so that it never names a file that is not there.
        views: the values of `view` to keep; add `"L"` for lateral ones.
        seed: of the split.
        classes: the classes of `label`; by default every finding that occurs. Give those of another datalist to make
            two comparable.
        progress: called with (rows done, all rows) after each row.
        report: filled with what was kept and what was left out and why.

    Returns:
        The path of the datalist.

    Raises:
        FileNotFoundError: the source has no `metadata.csv`.
        ValueError: columns are missing, no row is left, or source and output are the same folder.
    """
    source, output = Path(source), Path(output)
    report = PrepareReport() if report is None else report
    if isinstance(views, str):
        views = [views]
    if source.resolve() == output.resolve():
        raise ValueError("output must be another folder than source, which is only read")
    rows = _choose(_read_rows(source / "metadata.csv"), views, report)
    boxes = _read_boxes(source / BOXES)
    records: list[tuple[Row, dict[str, Any]]] = []
    for done, row in enumerate(rows, 1):
        record = _prepare_row(row, source, output, boxes, report)
        if record is not None:
            records.append((row, record))
        if progress is not None:
            progress(done, len(rows))
    if not records:
        raise ValueError(f"metadata.csv: no usable X-ray row with a view of {list(views)}; left out: {report.left_out}")
    _name(records, report)
    known = classes_of(parse_finding(row["finding"]) for row, _ in records)
    if classes is not None:
        known = {name: known.get(name, ()) for name in classes}
    for row, record in records:
        record["label"] = label_of(parse_finding(row["finding"]), known)
    report.datalist = output / "datalist.json"
    write_datalist(_datalist(records, list(known), seed, report), report.datalist)
    logger.info("covid19-cxr: %s", report.to_dict())
    return report.datalist


def _read_rows(path: Path) -> list[Row]:
    """Read the table; the copies in circulation differ in encoding, byte order mark and line ends."""
    if not path.is_file():
        raise FileNotFoundError(f"{path.name} is not in the source folder, which must be laid out as the collection is")
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("cp1252", errors="replace")
    table = csv.DictReader(io.StringIO(text, newline=""))
    if missing := [column for column in COLUMNS if column not in (table.fieldnames or ())]:
        raise ValueError(f"{path.name}: columns {missing} are missing; found {list(table.fieldnames or ())[:40]}")
    try:
        rows = list(table)
    except csv.Error as error:
        raise ValueError(f"{path.name}: not a readable table at line {table.line_num}: {error}") from None
    # A short row has None, a long one a list under None.
    return [{key: (value or "").strip() for key, value in row.items() if isinstance(key, str)} for row in rows]


def _choose(rows: list[Row], views: Sequence[str], report: PrepareReport) -> list[Row]:
    chosen = []
    for row in rows:
        if row["modality"].lower() != "x-ray":
            report.left_out["not an X-ray"] += 1
        elif row["view"] not in views:
            report.left_out[f"view {row['view']!r:.20} not asked for"] += 1
        else:
            chosen.append(row)
    return chosen


def _prepare_row(
    row: Row, source: Path, output: Path, boxes: CocoBoxes, report: PrepareReport
) -> dict[str, Any] | None:
    """Copy the files of a row and return its record, or count why there is none."""
    name = row["filename"]
    try:
        path = resolve_inside(source, f"{row.get('folder') or 'images'}/{name}")
        if not path.is_file():
            report.left_out["image file missing"] += 1
            return None
        height, width = read_radiograph(path)[0].shape
    except RadiographError as error:
        logger.warning("left out: %s", error)
        report.left_out["image file unreadable"] += 1
        return None
    except ValueError:
        report.left_out["path outside the source"] += 1
        return None
    # Only the name: rows of several source folders would still be told apart, as the collection's names are unique.
    image = f"images/{Path(name).name}"
    with atomic_path(output / image) as temporary:
        shutil.copyfile(path, temporary)
    record: dict[str, Any] = {"image": image, "view": row["view"], "finding": row["finding"]}
    if row.get("license"):
        record["license"] = row["license"]
    if row["clinical_notes"]:
        record["report"] = row["clinical_notes"]
    else:
        report.notes["records without a report"] += 1
    if (mask := _prepare_mask(source, output, Path(name).stem, (height, width), report)) is not None:
        record["mask"] = mask
    record |= _boxes_of(Path(name).name, (height, width), boxes, report)
    return record


def _prepare_mask(source: Path, output: Path, stem: str, size: Size, report: PrepareReport) -> str | None:
    from PIL import Image

    path = source / MASKS / f"{stem}_mask.png"
    if not path.is_file():
        return None
    try:
        pixels = read_mask(path)
    except RadiographError as error:
        logger.warning("mask left out: %s", error)
        report.left_out["mask file unreadable"] += 1
        return None
    lung = Image.fromarray((pixels > pixels.max() / 2).astype(np.uint8))
    if pixels.shape != size:
        report.notes["masks resized to their image"] += 1
        lung = lung.resize((size[1], size[0]), Image.Resampling.NEAREST)
    mask = f"masks/{path.name}"
    with atomic_path(output / mask) as temporary:
        lung.save(temporary, "PNG")
    report.notes["records with a lung mask"] += 1
    return mask


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


def _boxes_of(name: str, size: Size, boxes: CocoBoxes, report: PrepareReport) -> dict[str, Any]:
    """Return `boxes` and `box_classes` in pixels of the image, though the annotated copy may have had another size."""
    if name not in boxes:
        return {}
    annotated, found = boxes[name]
    if annotated != size:
        report.notes["box sets rescaled to their image"] += 1
    scale = np.array([size[1] / annotated[1], size[0] / annotated[0]] * 2)
    limit = np.array([size[1], size[0]] * 2, dtype=np.float64)
    kept: dict[str, Any] = {"boxes": [], "box_classes": []}
    for box_class, box in found:
        x0, y0, x1, y1 = np.clip(np.array(box) * scale, 0, limit).round(2).tolist()
        if x0 < x1 and y0 < y1:
            kept["boxes"].append([x0, y0, x1, y1])
            kept["box_classes"].append(box_class)
    report.notes["records with lung boxes"] += 1
    return kept


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


def _datalist(
    records: Sequence[tuple[Row, dict[str, Any]]], classes: list[str], seed: int, report: PrepareReport
) -> Datalist:
    strata: dict[str, str] = {}
    for row, record in records:
        strata.setdefault(record["patient_id"], f"{'report' in record} {row['finding']}")
    sizes = Counter(record["patient_id"] for _, record in records)
    split_of = split_patients(strata, sizes=sizes, seed=seed)
    splits: dict[str, list[dict[str, Any]]] = {split: [] for split in SPLITS}
    for _, record in records:
        splits[split_of[record["patient_id"]]].append(_ordered(record))
    report.splits = {split: len(splits[split]) for split in SPLITS}
    return Datalist(
        name="covid19-cxr",
        version="1",
        source="COVID-19 image data collection, arXiv:2006.11988; licenses differ by image, some are non-commercial",
        image_root=".",
        classes=classes,
        splits=splits,
        extra={"mask_classes": ["lung"]},
    )


def _ordered(record: Mapping[str, Any]) -> dict[str, Any]:
    first = ("id", "image", "patient_id", "study_id", "view", "report", "label")
    return {key: record[key] for key in (*first, *record) if key in record}
