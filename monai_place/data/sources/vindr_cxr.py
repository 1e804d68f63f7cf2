"""VinDr-CXR: adult frontal radiographs from Hanoi, read by several radiologists, with boxes.

What to download, one of two. From PhysioNet, VinDr-CXR 1.0.0 (credentialed access, PhysioNet Credentialed Health Data
License)::

    train/<image_id>.dicom  test/<image_id>.dicom
    annotations/annotations_train.csv      image_id,rad_id,class_name,x_min,y_min,x_max,y_max; one row a box and reader
    annotations/annotations_test.csv       the same without rad_id
    annotations/image_labels_train.csv     image_id,rad_id and a column a finding, 0 or 1; one row an image and reader
    annotations/image_labels_test.csv      the same without rad_id

Or from Kaggle, "VinBigData Chest X-ray Abnormalities Detection", under the rules of the competition::

    train/<image_id>.dicom
    train.csv                              image_id,class_name,class_id,rad_id,x_min,y_min,x_max,y_max

The tables may also lie beside `train`, and images may end in .dcm, .png or .jpg where a copy has them so; boxes count
in pixels of the original, so such a copy must have its size.

Expected counts: PhysioNet 15,000 training images read by 3 radiologists each (45,000 rows of labels) and 3,000 test
images; Kaggle 67,914 rows of 15,000 images. Kaggle's 3,000 test images have no labels, and are not read.

Several readers. Of the 17 radiologists three have read each training image; the test images have one consensus of five.

- `label`: 1 if at least `min_readers` (2) of the image's readers say so: the majority. A test image has one reading,
  which counts. Classes are the columns of the label tables but for `No finding` (22 local and 5 global findings; `Other
  disease` of one table is `Other diseases` of the other); at Kaggle the 14 findings of the table, 1 where at least
  `min_readers` have drawn a box.
- `boxes`: `fuse=mean` (default) brings the boxes of different readers of one finding together that overlap by
  `min_overlap` (0.5, intersection over union), and keeps the mean of each group of at least `min_readers`
  (`monai_place.data.sources.readers` has the rule). `fuse=none` keeps every reader's box as it was drawn. Boxes of the
  test set are kept as they are. An image without any has `boxes: []`. Readers may agree on a finding while their boxes
  do not overlap enough: the label is 1 and there is no box, which is counted.
- Boxes without area, and those of no finding, are dropped; rows that say the same twice count once, and of a reader
  with two rows of labels for an image the first is taken.
- The set tells no patients: records have no `patient_id`, and splits are by image.

Splits: PhysioNet's test set; of its training images, `validation` (0.1) validate. Kaggle's training images 70/10/20.
All drawn at `seed`, images with and without findings spread evenly.

There is no mode to choose: no preparation that we know of has published its split.

Layouts, columns and counts were read from the publication and from public loaders of both copies.

Reference:
    Nguyen et al.: VinDr-CXR: An open dataset of chest X-rays with radiologist's annotations. Scientific Data 9, 2022.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_place.data.sources.draft import PrepareReport, SourceDraft
from monai_place.data.sources.mgca import check_choice
from monai_place.data.sources.readers import ReaderBox, fuse_boxes
from monai_place.data.sources.tables import check_counts as compare_counts
from monai_place.data.sources.tables import find_file, find_images, read_table
from monai_place.data.splits import split_patients

__all__ = ["read_vindr_cxr"]

NO_FINDING = "No finding"
RENAMED = {"Other disease": "Other diseases"}
KAGGLE_CLASSES = [
    *("Aortic enlargement", "Atelectasis", "Calcification", "Cardiomegaly", "Consolidation", "ILD", "Infiltration"),
    *("Lung Opacity", "Nodule/Mass", "Other lesion", "Pleural effusion", "Pleural thickening", "Pneumothorax"),
    "Pulmonary fibrosis",
]
FUSE_CHOICES = ("mean", "none")
CORNERS = ("x_min", "y_min", "x_max", "y_max")
SUFFIXES = (".dicom", ".dcm", ".png", ".jpg")
CONSENSUS = "consensus"
EXPECTED = {
    "physionet": {"rows of image_labels_train.csv": 45000, "training images": 15000, "test images": 3000},
    "kaggle": {"rows of train.csv": 67914, "training images": 15000},
}


@dataclass
class _Image:
    """What the readers of an image say.

    Args:
        readers: who has read it.
        votes: how many of them see a finding.
        boxes: that they have drawn.
    """

    readers: set[str] = field(default_factory=set)
    votes: Counter[str] = field(default_factory=Counter)
    boxes: list[ReaderBox] = field(default_factory=list)


@dataclass(frozen=True)
class _Rule:
    """How readings are fused."""

    fuse: str
    min_readers: int
    min_overlap: float


def read_vindr_cxr(
    source: Path,
    *,
    fuse: str = "mean",
    min_readers: int = 2,
    min_overlap: float = 0.5,
    validation: float = 0.1,
    seed: int = 0,
    check_counts: bool = True,
    report: PrepareReport,
) -> SourceDraft:
    """Read the tables of VinDr-CXR, PhysioNet's or Kaggle's.

    Args:
        source: the folder with `train`.
        fuse: `mean` or `none`; see the module.
        min_readers: who must agree on a label, and on a box.
        min_overlap: of boxes of one thing, above 0 and at most 1.
        validation: share of PhysioNet's training images that validate.
        seed: of the draw.
        check_counts: refuse tables of other counts than published.
        report: counts what is left out and why.

    Raises:
        FileNotFoundError: a table, or every image, is missing.
        ValueError: a row is not what it must be, counts differ, or an option is out of range.
    """
    check_choice("fuse", fuse, FUSE_CHOICES)
    if min_readers < 1 or not 0 < min_overlap <= 1 or not 0 < validation < 1:
        raise ValueError("min_readers must be at least 1, min_overlap in (0, 1], validation in (0, 1)")
    rule = _Rule(fuse, min_readers, min_overlap)
    is_kaggle = not any(list(source.glob(place)) for place in _places("image_labels_train.csv*"))
    if is_kaggle:
        version, classes = "kaggle", KAGGLE_CLASSES
        parts = {"train": _read_kaggle(source, report, check=check_counts)}
    else:
        version = "physionet"
        classes, parts = _read_physionet(source, report, check=check_counts)
    draft = SourceDraft(
        name="vindr-cxr",
        version=version,
        source="VinDr-CXR, Scientific Data 9, 2022; PhysioNet Credentialed Health Data License, or Kaggle's rules",
        classes=classes,
        splits={},
        extra={"fuse": fuse, "min_readers": min_readers, "min_overlap": min_overlap},
    )
    fractions = (0.7, 0.1, 0.2) if is_kaggle else (1 - validation, validation, 0.0)
    for part, images in parts.items():
        layouts = [tuple(f"{part}/{name}{suffix}" for suffix in SUFFIXES) for name in images]
        suffix = SUFFIXES[find_images(source, layouts, what=f"the images of {part}")]
        records = [_record(name, f"{part}/{name}{suffix}", images[name], classes, rule, report) for name in images]
        if part == "test":
            draft.splits["test"] = records
        else:
            draft.splits |= _draw(records, fractions, seed)
    return draft


def _read_physionet(
    source: Path, report: PrepareReport, *, check: bool
) -> tuple[list[str], dict[str, dict[str, _Image]]]:
    parts: dict[str, dict[str, _Image]] = {}
    classes: list[str] = []
    rows = 0
    for part in ("train", "test"):
        path = find_file(source, *_places(f"image_labels_{part}.csv"), what=f"the table of labels of {part}")
        found, images, number = _read_labels(path, report)
        classes, rows = (found, number) if part == "train" else (classes, rows)
        if set(found) != set(classes):
            raise ValueError(
                f"{path.name}: other findings than image_labels_train.csv: {sorted({*found} ^ {*classes})}"
            )
        boxes = find_file(source, *_places(f"annotations_{part}.csv"), what=f"the table of boxes of {part}")
        _read_boxes(boxes, images, classes, report)
        parts[part] = images
    counts = {"training images": len(parts["train"]), "test images": len(parts["test"])}
    expected = EXPECTED["physionet"]
    compare_counts("vindr-cxr", expected, {"rows of image_labels_train.csv": rows, **counts}, check=check)
    return classes, parts


def _places(name: str) -> tuple[str, str]:
    return f"annotations/{name}", name


def _read_labels(path: Path, report: PrepareReport) -> tuple[list[str], dict[str, _Image], int]:
    """Return the findings that have a column, the images, and the number of rows."""
    images: defaultdict[str, _Image] = defaultdict(_Image)
    findings: list[str] = []
    number = 0
    for number, row in enumerate(read_table(path, ["image_id", NO_FINDING]), 1):
        cells = {RENAMED.get(key, key): cell for key, cell in row.items() if key not in ("image_id", "rad_id", "")}
        findings = [key for key in cells if key != NO_FINDING]
        if wrong := [key for key, cell in cells.items() if cell not in ("0", "1", "0.0", "1.0")]:
            raise ValueError(f"{path.name}: row {number}: {wrong[0]!r} is {cells[wrong[0]]!r:.20}, expected 0 or 1")
        image, reader = images[row["image_id"]], row.get("rad_id", CONSENSUS)
        if reader in image.readers:  # would count twice
            report.leave_out(row["image_id"], "second row of a reader")
        else:
            image.readers.add(reader)
            image.votes.update(key for key in findings if float(cells[key]))
    return findings, dict(images), number


def _read_boxes(path: Path, images: Mapping[str, _Image], classes: Sequence[str], report: PrepareReport) -> None:
    for number, row in enumerate(read_table(path, ["image_id", "class_name", *CORNERS]), 1):
        if row["image_id"] not in images:
            report.leave_out(row["image_id"], "box of an image without labels")
        elif drawn := _box(row, f"{path.name}: row {number}", classes, report):
            if drawn in images[row["image_id"]].boxes:
                report.notes["boxes listed twice, taken once"] += 1
            else:
                images[row["image_id"]].boxes.append(drawn)


def _read_kaggle(source: Path, report: PrepareReport, *, check: bool) -> dict[str, _Image]:
    # PhysioNet's are not there, and named for the message.
    names = (*_places("image_labels_train.csv"), "train.csv")
    path = find_file(source, *names, what="the table, PhysioNet's or Kaggle's,")
    images: defaultdict[str, _Image] = defaultdict(_Image)
    seen: defaultdict[str, set[tuple[str, str]]] = defaultdict(set)
    number = 0
    for number, row in enumerate(read_table(path, ["image_id", "class_name", "rad_id", *CORNERS]), 1):
        image = images[row["image_id"]]
        image.readers.add(row["rad_id"])
        drawn = _box(row, f"{path.name}: row {number}", KAGGLE_CLASSES, report)
        if drawn is None:
            continue
        if drawn in image.boxes:
            report.notes["boxes listed twice, taken once"] += 1
        else:
            image.boxes.append(drawn)
        if (drawn.reader, drawn.finding) not in seen[row["image_id"]]:
            seen[row["image_id"]].add((drawn.reader, drawn.finding))
            image.votes[drawn.finding] += 1
    found = {"rows of train.csv": number, "training images": len(images)}
    compare_counts("vindr-cxr", EXPECTED["kaggle"], found, check=check)
    return dict(images)


def _box(row: Mapping[str, str], where: str, classes: Sequence[str], report: PrepareReport) -> ReaderBox | None:
    """Return the box of a row, or None where it has none."""
    finding = RENAMED.get(row["class_name"], row["class_name"])
    cells = [row[corner] for corner in CORNERS]
    if finding == NO_FINDING:
        return None
    if not any(cells):
        report.notes["rows of a finding without a box"] += 1
        return None
    if finding not in classes:
        raise ValueError(f"{where}: unknown finding {finding!r:.60}; known: {list(classes)}")
    try:
        x0, y0, x1, y1 = map(float, cells)
    except ValueError:
        raise ValueError(f"{where}: a box is four numbers, got {cells!r:.80}") from None
    if not (x0 < x1 and y0 < y1):
        report.notes["boxes without area dropped"] += 1
        return None
    return ReaderBox(row.get("rad_id", CONSENSUS), finding, (x0, y0, x1, y1))


def _record(
    name: str, path: str, image: _Image, classes: Sequence[str], rule: _Rule, report: PrepareReport
) -> dict[str, Any]:
    readers = min(rule.min_readers, len(image.readers))  # the consensus is one reading
    if rule.fuse == "mean" and image.readers != {CONSENSUS}:
        boxes = fuse_boxes(image.boxes, min_readers=readers, min_overlap=rule.min_overlap)
    else:
        boxes = [(drawn.finding, drawn.box) for drawn in image.boxes]
    agreed = {finding for finding, votes in image.votes.items() if votes >= readers}
    drawn = {entry.finding for entry in image.boxes}
    if apart := len((agreed & drawn) - {finding for finding, _ in boxes}):
        report.notes["agreed findings whose boxes do not overlap enough"] += apart
    return {
        "id": name,
        "image": path,
        "label": [int(finding in agreed) for finding in classes],
        "boxes": [list(box) for _, box in boxes],
        "box_classes": [finding for finding, _ in boxes],
    }


def _draw(records: Sequence[dict[str, Any]], fractions: Sequence[float], seed: int) -> dict[str, list[dict[str, Any]]]:
    # Each image stands for a patient: the set tells none.
    strata = {record["id"]: str(any(record["label"])) for record in records}
    split_of = split_patients(strata, fractions=fractions, seed=seed)
    splits: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in records:
        splits[split_of[record["id"]]].append(record)
    return dict(splits)
