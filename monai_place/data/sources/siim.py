"""SIIM-ACR Pneumothorax Segmentation (2019): radiographs of the NIH, with masks as run lengths.

What to download: the Kaggle competition "SIIM-ACR Pneumothorax Segmentation", whose rules stand there. Kaggle no longer
hands out the DICOM files of stage 1; copies of them are among Kaggle's data sets. What is expected::

    train-rle.csv                               ImageId, EncodedPixels (with a space before the name and the values);
                                                one row an image, or one a pneumothorax; -1 for none
    dicom-images-train/<study>/<series>/<ImageId>.dcm      1024 x 1024

Stage 2's `stage_2_train.csv` is taken where `train-rle.csv` is not there; its images are those of stage 1's training
and test. DICOM files are found by their name anywhere below the source, so a flat folder serves as well.

Expected counts: 10,675 images in `train-rle.csv`; 12,047 in `stage_2_train.csv`, 2,669 of them with a pneumothorax.

- `id`: the ImageId. `label`: 1 if a row of the image holds run lengths. One class, `Pneumothorax`.
- `mask`: the rows of an image joined, 1 inside; all 0 for -1.
- `patient_id` and `study_id`: the name of the study's folder; the tables know no patients. In a flat folder the image
  is its own.
- Splits follow from the table alone where each image has a study of its own, as published: whatever files are missing.
- Left out: images of the table whose DICOM file is not there, rows without any run lengths, and, listed as unreadable,
  images whose run lengths cannot be read or reach beyond the picture. A row that is there
  twice counts once. DICOM files that the table does not list are counted, and not taken.

`mode` sets the two options below; each can be set by itself:

| option | clean | mgca |
|---|---|---|
| `split` | `images`: 70/15/15 by patient, spread over having a pneumothorax, by `seed` | `rows` |
| `balance` | false | true: as many negatives as positives in training, drawn at seed 42 |

`split=rows` is what MGCA published: `train_test_split(random_state=0)` over the ROWS of the table, 70/15/15, so an
image with several rows comes into several splits, and in each has the mask of that split's rows only. Rows that are not
taken (twice, blank) are drawn with the others, since the draw depends on how many there are. Such an image is
a record in each, its id followed by `#` and the split; the note "images in several splits" counts them, and `verify`
names each by a fault of `patient_id`, as it should: numbers from this split can be put beside published tables, and
mean little else.

Layout and quirks are from MGCA's published preparation and public descriptions of the competition; counts from those
that Dataset Ninja publishes of the set, with which BenchX's 9,303 + 1,372 + 1,372 images agree.

Reference:
    Society for Imaging Informatics in Medicine, American College of Radiology: SIIM-ACR Pneumothorax Segmentation.
    Kaggle, 2019.
"""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from monai_place.data.datalist import SPLITS
from monai_place.data.sources.draft import MASK_UNREADABLE, PrepareReport, SourceDraft
from monai_place.data.sources.masks import RunLengths
from monai_place.data.sources.mgca import MODES, check_choice, draw_three_splits
from monai_place.data.sources.tables import check_counts as compare_counts
from monai_place.data.sources.tables import find_file, read_table
from monai_place.data.splits import split_patients

__all__ = ["read_siim"]

TABLES = ("train-rle.csv", "stage_2_train.csv")
EXPECTED = {
    "train-rle.csv": {"images": 10675},
    "stage_2_train.csv": {"images": 12047, "images with a pneumothorax": 2669},
}
CLASS = "Pneumothorax"
NOTHING = "-1"
SPLIT_CHOICES = ("images", "rows")
FRACTIONS = (0.7, 0.15, 0.15)
SHARE_NOT_TRAINED = 0.3
UID = re.compile(r"[0-9]+(\.[0-9]+){3,}")  # a study's folder, not one that somebody put around the images
BALANCE_SEED = 42  # MGCA's: the draw is the first after it seeds NumPy

Row = tuple[str, str]  # image, run lengths
Masks = dict[str, tuple[str, ...]]  # image -> the run lengths of its rows


@dataclass
class _Files:
    """DICOM files by the name without suffix."""

    paths: dict[str, str] = field(default_factory=dict)  # relative to the source
    studies: dict[str, str] = field(default_factory=dict)


def read_siim(
    source: Path,
    *,
    mode: str = "clean",
    split: str | None = None,
    balance: bool | None = None,
    seed: int = 0,
    check_counts: bool = True,
    report: PrepareReport,
) -> SourceDraft:
    """Read the table of SIIM-ACR Pneumothorax.

    Args:
        source: the folder with `train-rle.csv` and the DICOM files.
        mode: `clean` or `mgca`; sets what the next two leave open.
        split: `images` or `rows`.
        balance: draw as many training negatives as there are positives.
        seed: of the split by images.
        check_counts: refuse a table of other counts than the competition's.
        report: counts what is left out and why.

    Raises:
        FileNotFoundError: the table is not there.
        ValueError: counts differ, no image of the table is there, or an option is unknown.
    """
    check_choice("mode", mode, MODES)
    split = split or ("rows" if mode == "mgca" else "images")
    check_choice("split", split, SPLIT_CHOICES)
    balance = mode == "mgca" if balance is None else balance
    path = find_file(source, *TABLES, what="the table of run lengths")
    table = _read_table(path)
    rows = _choose_rows(table, path, report, check=check_counts)
    files = _find_dicoms(source, report)
    _report_files(rows, files, report)
    masks_of = _split_rows(table, set(rows)) if split == "rows" else _split_images(rows, files, seed)
    if balance:  # before the next, so that a missing file changes no draw
        masks_of["training"] = _balance(masks_of["training"], files, report)
    for name in SPLITS:
        masks_of[name] = {image: runs for image, runs in masks_of[name].items() if image in files.paths}
    if not any(masks_of.values()):
        raise ValueError(f"no DICOM file of the images of {path.name} is below the source folder")
    draft = SourceDraft(
        name="siim",
        version=path.name.partition(".")[0],
        source="SIIM-ACR Pneumothorax Segmentation 2019 (Kaggle); rules of the competition",
        classes=[CLASS],
        splits={},
        extra={"mask_classes": [CLASS], "mode": mode, "split": split, "balance": balance},
    )
    _fill(draft, masks_of, files, report)
    return draft


def _read_table(path: Path) -> list[Row]:
    """Return the rows as they stand; run lengths are "" where there are none."""
    rows = []
    for number, row in enumerate(read_table(path, ("ImageId", "EncodedPixels")), 1):
        if not row["ImageId"]:
            raise ValueError(f"{path.name}: row {number}: ImageId is empty")
        rows.append((row["ImageId"], " ".join(row["EncodedPixels"].split())))
    return rows


def _choose_rows(table: list[Row], path: Path, report: PrepareReport, *, check: bool) -> list[Row]:
    """Return the rows in the order of the table; each once, and none without a value."""
    seen: dict[Row, None] = {}
    blank: list[str] = []
    for image, runs in table:
        if not runs:
            blank.append(image)
        elif (image, runs) in seen:
            report.notes["rows listed twice, taken once"] += 1
        else:
            seen[image, runs] = None
    for image in blank:
        report.leave_out(image, "row without run lengths")
    ill = {image for image, runs in seen if runs != NOTHING}
    found = {"images": len({*blank, *(image for image, _ in seen)}), "images with a pneumothorax": len(ill)}
    compare_counts("siim", EXPECTED[path.name.removesuffix(".gz")], found, check=check)
    if odd := sum(runs == NOTHING and image in ill for image, runs in seen):
        report.notes["rows of -1 of an image that has run lengths, not taken"] += odd
    return [(image, runs) for image, runs in seen if runs != NOTHING or image not in ill]


def _find_dicoms(source: Path, report: PrepareReport) -> _Files:
    files = _Files()
    for folder, folders, names in os.walk(source):
        folders.sort()  # the same file wins everywhere
        for name in sorted(names):
            stem, suffix = os.path.splitext(name)  # noqa: PTH122
            if suffix.lower() != ".dcm" or name.startswith("."):
                continue
            relative = Path(folder, name).relative_to(source)
            if stem in files.paths:
                report.notes["DICOM files of a name that is there before, not taken"] += 1
                continue
            files.paths[stem] = relative.as_posix()
            study = relative.parts[-3] if len(relative.parts) > 2 else ""
            files.studies[stem] = study if UID.fullmatch(study) else stem
    return files


def _report_files(rows: list[Row], files: _Files, report: PrepareReport) -> None:
    listed = {image for image, _ in rows}
    for image in sorted(listed - files.paths.keys()):
        report.leave_out(image, "image file missing")
    if extra := len(files.paths.keys() - listed):
        report.notes["DICOM files that the table does not list"] += extra


def _split_images(rows: list[Row], files: _Files, seed: int) -> dict[str, Masks]:
    """Split by patient; a patient is the study's folder.

    In the draw it goes by its first image, so that a missing file, or a flat folder, moves no image of another study.
    """
    masks = _join(rows)
    images: defaultdict[str, list[str]] = defaultdict(list)
    for image in sorted(masks):
        images[files.studies.get(image, image)].append(image)
    patients = {image: names[0] for names in images.values() for image in names}
    strata: dict[str, str] = {}
    for image, runs in masks.items():
        strata[patients[image]] = max(strata.get(patients[image], ""), str(runs != (NOTHING,)))
    split_of = split_patients(strata, sizes=Counter(patients.values()), fractions=FRACTIONS, seed=seed)
    return {
        name: {image: runs for image, runs in masks.items() if split_of[patients[image]] == name} for name in SPLITS
    }


def _split_rows(table: list[Row], chosen: set[Row]) -> dict[str, Masks]:
    """Split the rows as MGCA does; an image may come into several splits.

    What is not taken is drawn all the same: without it every other row would come elsewhere.
    """
    splits = draw_three_splits(table, SHARE_NOT_TRAINED)
    return {name: _join([row for row in dict.fromkeys(drawn) if row in chosen]) for name, drawn in splits.items()}


def _join(rows: list[Row]) -> Masks:
    masks: defaultdict[str, tuple[str, ...]] = defaultdict(tuple)
    for image, runs in rows:
        masks[image] += (runs,)
    return dict(masks)


def _balance(masks: Masks, files: _Files, report: PrepareReport) -> Masks:
    """Keep as many images without a pneumothorax as there are with one."""
    negatives = [image for image, runs in masks.items() if runs == (NOTHING,)]
    positives = len(masks) - len(negatives)
    if positives >= len(negatives):
        return masks
    drawn = np.random.RandomState(BALANCE_SEED).choice(len(negatives), size=positives, replace=False)
    dropped = set(negatives) - {negatives[index] for index in drawn}
    for image in sorted(dropped & files.paths.keys()):
        report.leave_out(image, "training negative not drawn (balance)")
    return {image: runs for image, runs in masks.items() if image not in dropped}


def _fill(draft: SourceDraft, masks_of: Mapping[str, Masks], files: _Files, report: PrepareReport) -> None:
    splits_of: defaultdict[str, list[str]] = defaultdict(list)
    for name in SPLITS:
        for image in masks_of[name]:
            splits_of[image].append(name)
    if leaks := sum(len(names) > 1 for names in splits_of.values()):
        report.notes["images in several splits"] += leaks
    for name in SPLITS:
        records: list[dict[str, Any]] = []
        for image, runs in masks_of[name].items():
            record_id = image if len(splits_of[image]) == 1 else f"{image}#{name}"
            drawing = RunLengths(runs)
            try:
                drawing.runs()
            except ValueError as error:  # what the label is made of: without a mask there is no label either
                report.leave_out(record_id, MASK_UNREADABLE, str(error))
                continue
            study = files.studies[image]
            record = {"id": record_id, "image": files.paths[image], "patient_id": study, "study_id": study}
            records.append({**record, "label": [int(runs != (NOTHING,))]})
            draft.masks[record_id] = drawing
        draft.splits[name] = records
