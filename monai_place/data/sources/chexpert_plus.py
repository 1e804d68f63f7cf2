"""CheXpert Plus: CheXpert's images as PNG or DICOM, with the radiologists' reports.

Get it from the Stanford AIMI centre (its data portal, "CheXpert Plus") after accepting the Research Use Agreement::

    df_chexpert_plus_240401.csv      path_to_image, path_to_dcm, frontal_lateral, ap_pa, deid_patient_id, report,
                                     section_findings, section_impression, ..., split
    PNG/train/patient00001/study1/view1_frontal.png     or PNG/PNG/..., or train/... beside the table; or the images
                                     of CheXpert itself (.jpg), or DICOM (.dcm); `images=FOLDER` names another folder
    chexbert_labels/impression_fixed.json               or the file beside the table; also findings_, report_fixed.json

Expected: 223,462 rows, which are 223,228 of `train` and the 234 of CheXpert's `valid`.

- Records: one an image, named as those of `chexpert`: `id` is `patient00001_study1_view1_frontal`. Frontal by default
  (`views`). Age, sex and everything else about the person are not read.
- `report` is the column of that name as it is; `sections` are the publisher's findings and impression, cleaned, or,
  where it found neither, those of this package's own sectioner. Reports with neither are left out;
  `keep_empty=true` keeps their images.
- `label`: what the labeller made of the impression (`labels=impression`, or `findings`, `report`, `none`); all 14
  classes by default, `uncertain=ignore`, `blank=zero`, see `monai_place.data.sources.chexpert_labels`.
- Splits: `valid` is the test, as it is CheXpert's in published work; whole patients with at least `validation_size`
  (5,000) images, drawn by `seed`, are the validation, before images without file or text are left
  out. `exclude=DATALIST` leaves all patients of another datalist out of training and validation: give that of
  CheXpert's 5x200 images (`prepare chexpert --set part=5x200`) where a model is to be tested on them, since these are
  the same patients under the same names.

Columns and layout are those that public code reading the set uses; counts those of its paper.

Reference:
    Chambon, Delbrouck et al.: CheXpert Plus: Augmenting a Large Chest X-ray Dataset with Text Radiology Reports,
    Patient Demographics and Additional Image Formats. arXiv:2405.19538.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_place.data.reports import clean_text, split_sections
from monai_place.data.sources.chexpert import PATH
from monai_place.data.sources.chexpert_labels import CHEXPERT_CLASSES, LabelPolicy
from monai_place.data.sources.draft import PrepareReport, SourceDraft
from monai_place.data.sources.exclusion import EXCLUDED, draw_patients, leave_out_patients, patients_of
from monai_place.data.sources.mgca import check_choice
from monai_place.data.sources.tables import check_counts as refuse_other_counts
from monai_place.data.sources.tables import find_file, find_images, read_table

__all__ = ["read_chexpert_plus"]

TABLE = "df_chexpert_plus_240401.csv"
COLUMNS = ("path_to_image", "frontal_lateral", "ap_pa", "report", "section_findings", "section_impression", "split")
FOLDERS = ("PNG", "PNG/PNG", "", "images", "CheXpert-v1.0", "CheXpert-v1.0-small", "DICOM")
SUFFIXES = (".png", ".jpg", ".dcm")
LABELS = ("impression", "findings", "report", "none")
EXPECTED = {"rows": 223_462, "rows of split valid": 234}
NEITHER = "report has neither findings nor impression"

Record = dict[str, Any]


def read_chexpert_plus(
    source: Path,
    *,
    images: str = "",
    views: Sequence[str] = ("Frontal",),
    keep_empty: bool = False,
    labels: str = "impression",
    classes: str | Sequence[str] = "all",
    uncertain: str = "ignore",
    blank: str = "zero",
    exclude: str = "",
    validation_size: int = 5_000,
    seed: int = 0,
    check_counts: bool = True,
    report: PrepareReport,
) -> SourceDraft:
    """Read CheXpert Plus' table.

    Args:
        source: the folder with the table.
        images: the folder below it that holds `train` and `valid`; by default the usual ones are tried.
        views: of `Frontal` and `Lateral`.
        keep_empty: keep images of reports with neither findings nor impression.
        labels: the part of the report that was labelled, or `none`.
        classes: `all`, `competition` or names.
        uncertain: what -1 becomes: `ones`, `zeros`, `ignore` or `per-class`.
        blank: what a blank becomes: `zero` or `ignore`.
        exclude: a datalist whose patients must not train; absolute or below the source.
        validation_size: images of the validation split, or a few more, since patients stay whole.
        seed: of the validation split.
        check_counts: refuse a table of another length than published.
        report: counts what is left out and why.

    Raises:
        FileNotFoundError: the table, the labels or the images are missing.
        ValueError: a table is not as published, or an option is unknown.
    """
    check_choice("labels", labels, LABELS)
    views = [views] if isinstance(views, str) else list(views)
    for view in views:
        check_choice("views", view, ("Frontal", "Lateral"))
    policy = LabelPolicy(classes, uncertain=uncertain, blank=blank)
    label_of = _read_labels(source, labels, policy)
    parts: dict[str, list[Record]] = {"train": [], "valid": []}
    counts = dict.fromkeys(EXPECTED, 0)
    reports: dict[str, str] = {}
    seen: set[str] = set()
    table = find_file(source, TABLE, what="the table of reports")
    for row in read_table(table, COLUMNS):
        counts["rows"] += 1
        check_choice(f"{table.name}: row {counts['rows']}: split", row["split"], ("train", "valid"))
        counts["rows of split valid"] += row["split"] == "valid"
        record = _record(row, views, reports, report)
        if record is not None and record["id"] in seen:
            report.leave_out(record["id"], "duplicate row")
        elif record is not None:
            seen.add(record["id"])
            if labels != "none":
                record["label"] = label_of.get(record["id"]) or policy.unknown()
                if record["id"] not in label_of:
                    report.notes["images without labels"] += 1
            parts["valid" if row["split"] == "valid" else "train"].append(record)
    refuse_other_counts("chexpert-plus", EXPECTED, counts, check=check_counts)
    _place(source, images, [*parts["train"], *parts["valid"]])
    train = parts["train"]
    if exclude:
        train = leave_out_patients(train, patients_of(source / exclude), EXCLUDED, report)
    chosen = draw_patients(train, validation_size, seed)
    return SourceDraft(
        name="chexpert-plus",
        version="1.0",
        source="CheXpert Plus, Stanford AIMI; Research Use Agreement, no redistribution",
        classes=list(policy.classes) if labels != "none" else [],
        splits={
            "training": [record for record in train if record["patient_id"] not in chosen],
            "validation": [record for record in train if record["patient_id"] in chosen],
            "test": parts["valid"],
        },
        complete=_Texts(keep_empty),
    )


def _read_labels(source: Path, labels: str, policy: LabelPolicy) -> dict[str, list[int | None]]:
    """Return the label of each image by its id; the file has a JSON object a line."""
    if labels == "none":
        return {}
    name = f"{labels}_fixed.json"
    path = find_file(
        source,
        *(f"{folder}{name}" for folder in ("chexbert_labels/", "", "labels/", "label/")),
        what=f"the file of {labels} labels (labels=none goes without)",
    )
    found = {}
    with path.open(encoding="utf-8-sig") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
                image = str(entry["path_to_image"])
                cells = {key: str(entry[key]) for key in CHEXPERT_CLASSES}
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(
                    f"{path.name}: line {number} is no JSON object with path_to_image and the 14 classes: "
                    f"{type(error).__name__}"
                ) from None
            if match := PATH.search(image):
                found["_".join(match.group("patient", "study", "name"))] = policy.label(
                    cells, f"{path.name}: line {number}"
                )
    return found


def _record(row: dict[str, str], views: Sequence[str], reports: dict[str, str], report: PrepareReport) -> Record | None:
    found = PATH.search(row["path_to_image"])
    if found is None:
        report.leave_out(row["path_to_image"].rsplit("/", 1)[-1], "path is not .../patient/study/view")
        return None
    name = "_".join(found.group("patient", "study", "name"))
    view = "Frontal" if row["frontal_lateral"].lower() == "frontal" else "Lateral"
    if view not in views:
        report.leave_out(name, f"view {view!r} not asked for")
        return None
    study = f"{found['patient']}_{found['study']}"
    known = reports.setdefault(study, row["report"])  # the images of a study have one, which is held once
    return {
        "id": name,
        "image": found[0].lstrip("/").rsplit(".", 1)[0],
        "patient_id": found["patient"],
        "study_id": study,
        "view": row["ap_pa"] or view,
        "language": "en",
        "report": known if known == row["report"] else row["report"],
        "sections": {name: row[f"section_{name}"] for name in ("findings", "impression")},
    }


@dataclass(frozen=True)
class _Texts:
    """Cleans the sections of a record, or finds them where the publisher did not."""

    keep_empty: bool

    def __call__(self, record: Record) -> str | None:
        given = {name: clean_text(text) for name, text in record["sections"].items()}
        if not any(map(_has_words, given.values())):
            own = split_sections(clean_text(record["report"]))
            given = {"findings": own.findings, "impression": own.impression}
        record["sections"] = {name: text for name, text in given.items() if _has_words(text)}
        if not record["sections"] and not self.keep_empty:
            return NEITHER
        if not any(map(str.isalnum, record["report"])):
            del record["report"]  # a datalist holds no empty one
        return None


def _has_words(text: str) -> bool:
    return any(map(str.isalpha, text)) and text.lower() != "nan"


def _place(source: Path, images: str, records: Sequence[Record]) -> None:
    """Complete the paths of the images: by the folder and the suffix under which the first is there."""
    prefixes = [f"{folder}/" if folder else "" for folder in ([images] if images else FOLDERS)]
    ways = [(prefix, suffix) for prefix in prefixes for suffix in SUFFIXES]
    listed = ([f"{prefix}{record['image']}{suffix}" for prefix, suffix in ways] for record in records)
    prefix, suffix = ways[find_images(source, listed, what="the images")] if records else ways[0]
    for record in records:
        record["image"] = f"{prefix}{record['image']}{suffix}"
