"""MS-CXR: 1,162 phrases of MIMIC-CXR reports, each with the boxes of what it speaks of, for phrase grounding.

Get it from PhysioNet ("MS-CXR: Making the Most of Text Semantics to Improve Biomedical Vision-Language Processing",
1.0.0 or 1.1.0; PhysioNet Credentialed Health Data License 1.5.0), and the images from MIMIC-CXR-JPG. The source is a
folder that holds both, such as MIMIC-CXR-JPG's with the table put in::

    MS_CXR_Local_Alignment_v1.1.0.csv                  or _v1.0.0.csv, or either as .json (COCO); also below ms-cxr/
    files/p10/p10232271/s53356173/<dicom_id>.jpg       or .dcm, or .png

`table=FILE` names a table elsewhere, `images=FOLDER` the folder below the source that holds `files/`. The CSV has a
row a box: category_name, label_text, path, x, y, w, h, dicom_id, image_width, image_height, and in 1.1.0 split; the
COCO file says the same. A phrase is the rows of one image with one category and one text.

Expected: 1,162 phrases.

- Records: one a phrase, so that it is read alone, as published results have it (`per=phrase`); `per=image` makes one a
  picture, whose phrases then are read as one report. All are `test`. MS-CXR's own split, where the table has one, is
  kept as `ms_cxr_split`, and `splits` chooses among train, val and test.
- `findings`: for each phrase its `class`, its `text`, `box` around all its boxes, and `mask`, the boxes filled.
  `sentences`: the phrases, each with the number of its finding. So `monai-place evaluate` grounds them.
- `boxes`, `box_classes`: every box alone. Boxes are brought to the pixels of the image, should that be a smaller copy.
- Boxes without an area, and those that hold no pixel of their image, are left out; so is a phrase that has no other.
- There is no `report` and no `label`: a phrase says what is there, not what is not.

These images are from MIMIC-CXR's training and test splits: a model that is to be tested here must not have trained on
them. `prepare mimic-cxr --set exclude=MS-CXR/datalist.json` leaves their patients out.

Layout and columns are those that public code reading the set uses; the count is its publishers'.

Reference:
    Boecking et al.: Making the Most of Text Semantics to Improve Biomedical Vision-Language Processing. ECCV 2022.
"""

from __future__ import annotations

import json
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_place.data.sources.draft import PrepareReport, SourceDraft
from monai_place.data.sources.masks import FilledBoxes
from monai_place.data.sources.mgca import check_choice
from monai_place.data.sources.mimic_cxr import MIMIC_SUFFIXES
from monai_place.data.sources.tables import check_counts as refuse_other_counts
from monai_place.data.sources.tables import find_file, find_images, read_table

__all__ = ["MS_CXR_CLASSES", "read_ms_cxr"]

MS_CXR_CLASSES = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Lung Opacity",
    "Pleural Effusion",
    "Pneumonia",
    "Pneumothorax",
)
STEMS = ("MS_CXR_Local_Alignment_v1.1.0", "MS_CXR_Local_Alignment_v1.0.0")
FOLDERS = ("", "ms-cxr/", "ms-cxr/1.1.0/", "ms-cxr/1.0.0/", "ms-cxr/0.1/", "MS-CXR/", "1.1.0/")
COLUMNS = ("category_name", "label_text", "path", "x", "y", "w", "h", "dicom_id", "image_width", "image_height")
PHRASES = 1_162
SPLITS_OF_ITS_OWN = ("train", "val", "test")
PATH = re.compile(r"(?P<image>files/p\d\d/(?P<patient>p\d+)/(?P<study>s\d+)/(?P<name>[^/.]+))(?:\.\w+)?$")

Box = tuple[float, float, float, float]
Row = dict[str, str]


@dataclass
class _Phrase:
    """What is said of an image, and where: boxes in pixels of a picture of (height, width)."""

    category: str
    text: str
    path: re.Match[str]
    size: tuple[int, int]
    split: str
    boxes: list[Box] = field(default_factory=list)


def read_ms_cxr(
    source: Path,
    *,
    table: str = "",
    images: str = "",
    per: str = "phrase",
    splits: Sequence[str] = SPLITS_OF_ITS_OWN,
    check_counts: bool = True,
    report: PrepareReport,
) -> SourceDraft:
    """Read MS-CXR's table.

    Args:
        source: the folder with the images, and the table.
        table: the table, absolute or below the source; by default the usual places are tried.
        images: the folder below the source that holds `files/`.
        per: `phrase` or `image`: what makes a record.
        splits: of MS-CXR's own, where the table has them.
        check_counts: refuse another number of phrases than published.
        report: counts what is left out and why.

    Raises:
        FileNotFoundError: the table or the images are missing.
        ValueError: the table is not as published, or an option is unknown.
    """
    check_choice("per", per, ("phrase", "image"))
    splits = [splits] if isinstance(splits, str) else list(splits)
    for name in splits:
        check_choice("splits", name, SPLITS_OF_ITS_OWN)
    path = source / table if table else _find_table(source)
    rows = _coco_rows(path) if path.suffix == ".json" else read_table(path, COLUMNS)
    phrases = _phrases(rows, path.name, report)
    refuse_other_counts("ms-cxr", {"phrases": PHRASES}, {"phrases": len(phrases)}, check=check_counts)
    groups: defaultdict[str, list[_Phrase]] = defaultdict(list)
    for phrase in phrases:
        if not phrase.split or phrase.split in splits or set(splits) == set(SPLITS_OF_ITS_OWN):
            groups[phrase.path["name"]].append(phrase)
        else:
            report.leave_out(phrase.path["name"], f"phrase of split {phrase.split!r} not asked for")
    draft = SourceDraft(
        name="ms-cxr",
        version=next(iter(re.findall(r"v(\d\.\d\.\d)", path.name)), ""),
        source="MS-CXR and MIMIC-CXR, PhysioNet; PhysioNet Credentialed Health Data License 1.5.0, no redistribution",
        classes=list(MS_CXR_CLASSES),
        splits={"test": []},
    )
    prefix = f"{images.strip('/')}/" if images else ""
    for name, group in groups.items():
        if per == "image":
            _add(draft, name, group, prefix)
        else:
            for number, phrase in enumerate(group, 1):
                _add(draft, f"{name}_{number}", [phrase], prefix)
    _complete_paths(source, draft.splits["test"])
    return draft


def _find_table(source: Path) -> Path:
    names = (f"{folder}{stem}{suffix}" for stem in STEMS for folder in FOLDERS for suffix in (".csv", ".json"))
    return find_file(source, *names, what="MS-CXR's table")


def _coco_rows(path: Path) -> Iterator[Row]:
    """Yield the boxes of the COCO file as rows of the CSV."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        names = {category["id"]: category["name"] for category in content["categories"]}
        images = {image["id"]: image for image in content["images"]}
        for annotation in content["annotations"]:
            image = images[annotation["image_id"]]
            row = dict(zip("xywh", map(str, annotation["bbox"]), strict=True))
            row |= {"category_name": names[annotation["category_id"]], "label_text": annotation["label_text"] or ""}
            row |= {"path": image.get("path") or image["file_name"], "split": annotation.get("split") or ""}
            yield row | {"image_width": str(image["width"]), "image_height": str(image["height"])}
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path.name}: not MS-CXR's COCO boxes: {type(error).__name__}: {error}") from None


def _phrases(rows: Iterator[Row], where: str, report: PrepareReport) -> list[_Phrase]:
    phrases: dict[tuple[str, str, str], _Phrase] = {}
    for number, row in enumerate(rows, 1):
        path = PATH.search(row["path"])
        check_choice(f"{where}: row {number}: category_name", row["category_name"], MS_CXR_CLASSES)
        text = " ".join(row["label_text"].split())
        if path is None:
            report.leave_out(f"row {number}", "path is not files/p10/p10000032/s50414267/<dicom_id>")
            continue
        if not any(map(str.isalpha, text)):
            report.leave_out(path["name"], "box without a phrase")
            continue
        try:
            x, y, width, height = (_finite(row[name]) for name in "xywh")
            size = round(_finite(row["image_height"])), round(_finite(row["image_width"]))
        except ValueError:
            raise ValueError(f"{where}: row {number}: x, y, w, h, image_width, image_height must be numbers") from None
        if min(width, height, *size) <= 0:
            report.leave_out(path["name"], "box without an area")
            continue
        box = (x, y, x + width, y + height)
        if not _shows(box, size):
            report.leave_out(path["name"], "box outside its image")
            continue
        key = path["name"], row["category_name"], text
        if key not in phrases:
            phrases[key] = _Phrase(row["category_name"], text, path, size, row.get("split", ""))
        if box in phrases[key].boxes:
            report.notes["boxes that a phrase has twice"] += 1
        else:
            phrases[key].boxes.append(box)
    return list(phrases.values())


def _shows(box: Box, size: tuple[int, int]) -> bool:
    """Tell whether a box holds a pixel of its picture: a phrase of others would have an empty mask."""
    height, width = size
    return max(0, round(box[0])) < min(width, round(box[2])) and max(0, round(box[1])) < min(height, round(box[3]))


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError("not a number of pixels")
    return value


def _add(draft: SourceDraft, name: str, phrases: Sequence[_Phrase], prefix: str) -> None:
    """Add the record of some phrases of one image."""
    first = phrases[0]
    record: dict[str, Any] = {
        "id": name,
        "image": prefix + first.path["image"],
        "patient_id": first.path["patient"],
        "study_id": first.path["study"],
        "language": "en",
        "boxes": [list(box) for phrase in phrases for box in phrase.boxes],
        "box_classes": [phrase.category for phrase in phrases for _ in phrase.boxes],
        "findings": [
            {"class": phrase.category, "text": phrase.text, "box": _around(phrase.boxes)} for phrase in phrases
        ],
        "sentences": [
            {"text": phrase.text, "finding": number, "polarity": "positive", "classes": [phrase.category]}
            for number, phrase in enumerate(phrases)
        ],
    }
    if first.split:
        record["ms_cxr_split"] = first.split
    draft.splits["test"].append(record)
    draft.frames[name] = first.size
    draft.finding_masks[name] = [FilledBoxes(tuple(phrase.boxes), size=phrase.size) for phrase in phrases]


def _around(boxes: Sequence[Box]) -> list[float]:
    left, top, right, bottom = zip(*boxes, strict=True)
    return [min(left), min(top), max(right), max(bottom)]


def _complete_paths(source: Path, records: Sequence[dict[str, Any]]) -> None:
    if not records:
        return
    ways = ([f"{record['image']}{suffix}" for suffix in MIMIC_SUFFIXES] for record in records)
    suffix = MIMIC_SUFFIXES[find_images(source, ways, what="the images of MIMIC-CXR")]
    for record in records:
        record["image"] += suffix
