"""IU X-Ray (Open-i): 7,470 chest radiographs, frontal and lateral, of 3,955 reports of the Indiana Network.

Get it from Open-i of the National Library of Medicine ("Indiana University hospital network": NLMCXR_reports and
NLMCXR_png, or NLMCXR_dcm); its terms are CC BY-NC-ND 4.0. Or the images from the copy at Kaggle ("Chest X-rays (Indiana
University)"), whose `indiana_projections.csv` alone says which image is frontal and which lateral::

    ecgen-radiology/1.xml ...                also below NLMCXR_reports/, or NLMCXR_reports/1.xml
    NLMCXR_png/CXR1_1_IM-0001-4001.png       or images/..., or beside; images/images_normalized/1_IM-0001-4001.dcm.png,
                                             NLMCXR_dcm/1/1_IM-0001-4001.dcm
    indiana_projections.csv                  uid, filename, projection; where you have it
    annotation.json                          of R2Gen; for split=r2gen

Expected: 3,955 reports, which name 7,470 images.

- Records: one an image; `id` is its id in the report, `study_id` and `patient_id` the report's (each is of another
  patient). `view` is Frontal or Lateral by the projections, and null without; `views` keeps all by default.
- `report`: the sections of the XML file, each under its own heading, since there is no other text; names and dates are
  XXXX there. `sections`: findings and impression. Reports with neither are left out; `keep_empty=true` keeps them.
- `mesh`: the major MeSH terms. `label`: 1 where the first part of one of them is the class (`Cardiomegaly/mild` is
  Cardiomegaly), else 0; unknown where a report was not indexed. Classes are the terms of at least `minimum` (25)
  images, or those that `classes` names.
- Splits: 70/10/20 by report and `seed`, spread over normal and not (`split=random`). `split=r2gen`: the 2,069 / 296 /
  590 reports of R2Gen's `annotation.json`, found by their number; all their images, and this package's text of them.

Layout is that which public code reading the set uses; counts are the publishers' and R2Gen's.

Reference:
    Demner-Fushman et al.: Preparing a collection of radiology examinations for distribution and retrieval. JAMIA 2016.
    Chen et al.: Generating Radiology Reports via Memory-driven Transformer (R2Gen). EMNLP 2020.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from monai_place.data.datalist import SPLITS
from monai_place.data.reports import clean_text
from monai_place.data.sources.draft import REPORT_UNREADABLE, PrepareReport, SourceDraft
from monai_place.data.sources.iu_xml import IndianaReport, read_indiana_report
from monai_place.data.sources.mgca import check_choice
from monai_place.data.sources.tables import check_counts as refuse_other_counts
from monai_place.data.sources.tables import find_images, read_table
from monai_place.data.splits import split_patients

__all__ = ["read_iu_xray"]

FOLDERS = ("ecgen-radiology", "NLMCXR_reports/ecgen-radiology", "NLMCXR_reports", "reports")
PROJECTIONS = ("indiana_projections.csv", "images/indiana_projections.csv")
EXPECTED = {"reports": 3_955, "images of the reports": 7_470}
R2GEN = {"training": ("train", 2_069), "validation": ("val", 296), "test": ("test", 590)}
HEADINGS = ("COMPARISON", "INDICATION", "FINDINGS", "IMPRESSION")
SECTIONS = {"findings": "FINDINGS", "impression": "IMPRESSION"}
NOT_INDEXED = {"no indexing"}
NUMBER = re.compile(r"CXR(\d+)")

Record = dict[str, Any]


def read_iu_xray(
    source: Path,
    *,
    views: Sequence[str] = ("Frontal", "Lateral", ""),
    keep_empty: bool = False,
    classes: Sequence[str] | None = None,
    minimum: int = 25,
    split: str = "random",
    seed: int = 0,
    check_counts: bool = True,
    report: PrepareReport,
) -> SourceDraft:
    """Read the collection's reports.

    Args:
        source: the folder with the reports and the images.
        views: of `Frontal`, `Lateral` and "", an unknown one.
        keep_empty: keep images of reports with neither findings nor impression.
        classes: the first parts of MeSH terms; by default all that are frequent enough.
        minimum: images that a term must have to be a class.
        split: `random` or `r2gen`.
        seed: of the random split.
        check_counts: refuse other numbers of reports and images than published.
        report: counts what is left out and why.

    Raises:
        FileNotFoundError: reports, images or, for `r2gen`, `annotation.json` are missing.
        ValueError: a count differs, a table is not as published, or an option is unknown.
    """
    check_choice("split", split, ("random", "r2gen"))
    views = [views] if isinstance(views, str) else list(views)
    for view in views:
        check_choice("views", view, ("Frontal", "Lateral", ""))
    reports = _read_reports(source, report)
    refuse_other_counts(
        "iu-xray",
        EXPECTED,
        {"reports": len(reports) + report.left_out[REPORT_UNREADABLE], "images of the reports": _images(reports)},
        check=check_counts,
    )
    view_of = _read_projections(source)
    entries: list[tuple[Record, IndianaReport]] = []
    seen: set[str] = set()
    for indiana in reports:
        for image in indiana.images:
            view = view_of.get(_short(image), "")
            reason = "image that is there twice" if image in seen else None
            reason = reason or (f"view {view!r} not asked for" if view not in views else None)
            if not keep_empty and not _sections(indiana):
                reason = reason or "report has neither findings nor impression"
            if reason:
                report.leave_out(image, reason)
                continue
            seen.add(image)
            entries.append((_record(indiana, image, view), indiana))
    known = _label(entries, classes, minimum)
    records = [record for record, _ in entries]
    _place(source, records)
    return SourceDraft(
        name="iu-xray",
        version="1",
        source="Indiana University chest X-rays, Open-i, National Library of Medicine; CC BY-NC-ND 4.0",
        classes=known,
        splits=_split_as_r2gen(source, records, report, check=check_counts)
        if split == "r2gen"
        else _split(entries, seed),
    )


def _read_reports(source: Path, report: PrepareReport) -> list[IndianaReport]:
    folder = next((source / name for name in FOLDERS if any((source / name).glob("*.xml"))), None)
    if folder is None:
        raise FileNotFoundError(f"the reports are not in the source folder: expected *.xml in one of {list(FOLDERS)}")
    found: dict[str, IndianaReport] = {}
    paths = [path for path in folder.glob("*.xml") if not path.name.startswith(".")]  # ._1.xml: what a Mac leaves
    for path in sorted(paths, key=lambda path: (len(path.stem), path.stem)):
        try:
            indiana = read_indiana_report(path)
        except ValueError as error:
            report.leave_out(path.name, REPORT_UNREADABLE, str(error).removeprefix(f"{path.name}: "))
            continue
        if indiana.name in found:
            report.leave_out(path.name, "report that is there twice")
            continue
        found[indiana.name] = indiana
        if not indiana.images:
            report.notes["reports without an image"] += 1
    return list(found.values())


def _images(reports: Sequence[IndianaReport]) -> int:
    return len({image for indiana in reports for image in indiana.images})


def _read_projections(source: Path) -> dict[str, str]:
    """Return Frontal or Lateral by an image's short id; empty where the table is not there."""
    path = next((source / name for name in PROJECTIONS if (source / name).is_file()), None)
    if path is None:
        return {}
    return {
        row["filename"].split(".")[0]: row["projection"].capitalize()
        for row in read_table(path, ("uid", "filename", "projection"))
    }


def _short(image: str) -> str:
    """Return an image's id as the DICOM files and Kaggle's copy have it: `1_IM-0001-4001` of `CXR1_1_IM-0001-4001`."""
    return re.sub(r"^CXR\d+_", "", image)


def _sections(indiana: IndianaReport) -> dict[str, str]:
    cleaned = {name: clean_text(indiana.sections.get(label, "")) for name, label in SECTIONS.items()}
    return {name: text for name, text in cleaned.items() if any(map(str.isalnum, text))}


def _record(indiana: IndianaReport, image: str, view: str) -> Record:
    record: Record = {
        "id": image,
        "image": image,
        "patient_id": indiana.name,
        "study_id": indiana.name,
        "view": view or None,
        "language": "en",
        "mesh": indiana.mesh,
    }
    labels = [*HEADINGS, *(label for label in indiana.sections if label not in HEADINGS)]
    lines = [f"{label}: {indiana.sections[label]}" for label in labels if indiana.sections.get(label)]
    if lines:
        record["report"] = "\n".join(lines)
        record["sections"] = _sections(indiana)
    return record


def _label(entries: Sequence[tuple[Record, IndianaReport]], classes: Sequence[str] | None, minimum: int) -> list[str]:
    terms = {indiana.name: {term.split("/")[0].strip() for term in indiana.mesh} for _, indiana in entries}
    if classes is None:
        counts = Counter(name for _, indiana in entries for name in terms[indiana.name])
        classes = sorted(name for name, count in counts.items() if count >= minimum and name.lower() not in NOT_INDEXED)
    for record, indiana in entries:
        own = terms[indiana.name]
        unknown = not own or any(name.lower() in NOT_INDEXED for name in own)
        record["label"] = [None if unknown else int(name in own) for name in classes]
    return list(classes)


def _place(source: Path, records: Sequence[Record]) -> None:
    if not records:
        return
    ways = [_ways(record["id"]) for record in records]
    way = find_images(source, ways, what="the images")
    for record, names in zip(records, ways, strict=True):
        record["image"] = names[way]


def _ways(image: str) -> list[str]:
    short, number = _short(image), NUMBER.match(image)
    return [
        f"NLMCXR_png/{image}.png",
        f"images/{image}.png",
        f"{image}.png",
        f"images/images_normalized/{short}.dcm.png",
        f"images_normalized/{short}.dcm.png",
        f"NLMCXR_dcm/{number[1] if number else ''}/{short}.dcm",
    ]


def _split(entries: Sequence[tuple[Record, IndianaReport]], seed: int) -> dict[str, list[Record]]:
    sizes = Counter(record["patient_id"] for record, _ in entries)
    strata = {indiana.name: str([term.lower() for term in indiana.mesh] == ["normal"]) for _, indiana in entries}
    split_of = split_patients(strata, sizes=sizes, seed=seed)
    return {name: [record for record, _ in entries if split_of[record["patient_id"]] == name] for name in SPLITS}


def _split_as_r2gen(
    source: Path, records: Sequence[Record], report: PrepareReport, *, check: bool
) -> dict[str, list[Record]]:
    path = source / "annotation.json"
    if not path.is_file():
        raise FileNotFoundError("annotation.json of R2Gen is not in the source folder: split=r2gen needs it")
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        names = {split: [NUMBER.match(str(entry["id"])) for entry in content[key]] for split, (key, _) in R2GEN.items()}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"annotation.json: not R2Gen's: {type(error).__name__}: {error}") from None
    expected = {f"reports of {key}": count for key, count in R2GEN.values()}
    found = {f"reports of {key}": len(names[split]) for split, (key, _) in R2GEN.items()}
    refuse_other_counts("iu-xray, split of R2Gen", expected, found, check=check)
    split_of = {f"CXR{match[1]}": split for split, matches in names.items() for match in matches if match}
    splits: dict[str, list[Record]] = {split: [] for split in SPLITS}
    for record in records:
        if record["study_id"] in split_of:
            splits[split_of[record["study_id"]]].append(record)
        else:
            report.leave_out(record["id"], "not in the split of R2Gen")
    kept = {record["study_id"] for split in splits.values() for record in split}
    if missing := sum(map(len, names.values())) - len(kept):
        report.notes["reports of R2Gen's split without an image to use here"] += missing
    return splits
