"""TBX11K: radiographs with boxes around tuberculosis.

What to download: `TBX11K` from the page of its authors (Media Computing Lab, Nankai University) or a whole copy, such
as Kaggle's `tbx-11`; the terms are CC BY-NC-SA. Unpack it, and keep its names; the source is the folder with `imgs`, or
the one above::

    TBX11K/imgs/health/*.png  sick/*.png  tb/*.png       8,400 radiographs, 512 x 512
    TBX11K/annotations/json/TBX11K_train.json            COCO: images, annotations, three categories
    TBX11K/annotations/json/TBX11K_val.json
    TBX11K/imgs/test/*.png, all_test.json                3,302 without public labels; read for `split=official` only

`imgs/extra` (older sets), the lists, and the files `TBX11K_trainval*` and `all_*` are not read: they repeat the above
or add other sets. Boxes are taken from the JSON files, which count in the 512 pixels of the pictures; those of
`annotations/xml` count in pixels that were never published.

Expected counts: 6,600 images with 902 boxes to train, 1,800 with 309 to validate; 3,800 healthy, 3,800 sick but without
tuberculosis, 800 with.

- `label`: `Tuberculosis` (the folder), `ActiveTuberculosis` and `ObsoletePulmonaryTuberculosis` (its boxes). The third
  category, `PulmonaryTuberculosis`, has no public box; one that turns up is tuberculosis of unknown activity (null).
- `boxes`, `box_classes`: of the categories. Healthy and sick images have `boxes: []`.
- `mask`: all boxes filled, 1 inside, as BenchX segments the set.
- `finding`: healthy, sick but no tuberculosis, or tuberculosis.
- The set tells no patients: records have no `patient_id`, and splits are by image.
- Left out: images of the folder `tb` without any box (one, tb1199: nobody says where or what), images without a file.
  Boxes without area are not taken; a box that is there twice counts once.

`split`, drawn at `seed`, each class and the sick ones spread evenly:

- `held_out` (default): the official validation images test, and `validation` (0.1) of the official training images
  validate, since the official test has no public labels.
- `official`: training, validation and test as published; the test records have neither labels nor boxes.
- `random`: 70/15/15 of the 8,399 images, which are BenchX's sizes, 5,879/1,260/1,260. Its own draw is not published
  with the set, so the ids are not its.

With MMSegmentation: the configs `tbx11k_seg_*` read plain folders. Those of `siim_seg_*` read this datalist when
`data_root` of the three dataloaders names the output: masks are 0 and 1 in both.

Layout, categories, counts and what is special about tb1199 and the XML files were read from public loaders and analyses
of the set, the sizes of BenchX's split from its paper.

Reference:
    Liu et al.: Rethinking Computer-Aided Tuberculosis Diagnosis. CVPR 2020.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_place.data.sources.draft import PrepareReport, SourceDraft
from monai_place.data.sources.masks import FilledBoxes
from monai_place.data.sources.mgca import check_choice
from monai_place.data.sources.tables import check_counts as compare_counts
from monai_place.data.splits import split_patients

__all__ = ["read_tbx11k"]

CLASSES = ["Tuberculosis", "ActiveTuberculosis", "ObsoletePulmonaryTuberculosis"]
UNCERTAIN = "PulmonaryTuberculosis"
FOLDERS = {"health": "healthy", "sick": "sick but no tuberculosis", "tb": "tuberculosis"}
SPLIT_CHOICES = ("held_out", "official", "random")
EXPECTED = {
    **{"training images": 6600, "training boxes": 902, "validation images": 1800, "validation boxes": 309},
    **{"health": 3800, "sick": 3800, "tb": 800},
}

Box = tuple[float, float, float, float]


@dataclass
class _Image:
    """What a COCO file says of an image.

    Args:
        path: below `imgs`.
        boxes: (category, box) of each.
    """

    path: str
    boxes: list[tuple[str, Box]] = field(default_factory=list)

    @property
    def folder(self) -> str:
        return self.path.split("/", maxsplit=1)[0]

    @property
    def stratum(self) -> str:
        """What a draw spreads evenly."""
        return " ".join([self.folder, *sorted({name for name, _ in self.boxes})])


def read_tbx11k(
    source: Path,
    *,
    split: str = "held_out",
    validation: float = 0.1,
    seed: int = 0,
    check_counts: bool = True,
    report: PrepareReport,
) -> SourceDraft:
    """Read the COCO files of TBX11K.

    Args:
        source: the folder with `imgs`, or the one above.
        split: `held_out`, `official` or `random`; see the module.
        validation: share of the official training images that validate, with `held_out`.
        seed: of the draw.
        check_counts: refuse files of other counts than published.
        report: counts what is left out and why.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: a file is not COCO, counts differ, or an option is out of range.
    """
    check_choice("split", split, SPLIT_CHOICES)
    if not 0 < validation < 1:
        raise ValueError(f"validation must be above 0 and below 1, got {validation}")
    below = "" if (source / "imgs").is_dir() else "TBX11K/"
    parts = {
        part: _read_coco(source / below / "annotations" / "json" / f"TBX11K_{short}.json")
        for part, short in (("training", "train"), ("validation", "val"))
    }
    _check(parts, check=check_counts)
    parts = {part: _choose(images, report) for part, images in parts.items()}
    if split == "official":
        parts["test"] = _read_coco(source / below / "annotations" / "json" / "all_test.json")
    draft = SourceDraft(
        name="tbx11k",
        version="1",
        source="TBX11K, Nankai University, CVPR 2020; CC BY-NC-SA",
        classes=CLASSES,
        splits={},
        extra={"mask_classes": CLASSES[:1], "split": split},
    )
    for part, images in _divide(parts, split, validation, seed).items():
        labelled = not (split == "official" and part == "test")
        draft.splits[part] = [_record(image, below, labelled=labelled) for image in images]
        if labelled:
            draft.masks |= {image.path: FilledBoxes(tuple(box for _, box in image.boxes)) for image in images}
    return draft


def _read_coco(path: Path) -> list[_Image]:
    if not path.is_file():
        raise FileNotFoundError(f"{path.name} is not in annotations/json of the source folder")
    where = "categories and images"
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        names = {category["id"]: category["name"] for category in content["categories"]}
        images = {image["id"]: _Image(image["file_name"].removeprefix("imgs/")) for image in content["images"]}
        if len(images) < len(content["images"]):
            raise ValueError(f"{len(content['images'])} images have {len(images)} ids")
        for number, annotation in enumerate(content.get("annotations", ()), 1):
            where = f"annotation {number}"
            x, y, width, height = (float(value) for value in annotation["bbox"])
            name = names[annotation["category_id"]]
            if name not in (*CLASSES[1:], UNCERTAIN):
                raise ValueError(f"unknown category {name!r:.60}")
            images[annotation["image_id"]].boxes.append((name, (x, y, x + width, y + height)))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path.name}: not TBX11K's COCO file: {where}: {type(error).__name__}: {error}") from None
    return list(images.values())


def _check(parts: Mapping[str, Sequence[_Image]], *, check: bool) -> None:
    found = Counter(image.folder for images in parts.values() for image in images)
    for part, images in parts.items():
        found[f"{part} images"] = len(images)
        found[f"{part} boxes"] = sum(len(image.boxes) for image in images)
    compare_counts("tbx11k", EXPECTED, found, check=check)
    paths = Counter(image.path for images in parts.values() for image in images)
    if shared := sum(count > 1 for count in paths.values()):
        raise ValueError(f"{shared} images are listed twice in TBX11K_train.json and TBX11K_val.json")


def _choose(images: Sequence[_Image], report: PrepareReport) -> list[_Image]:
    chosen = []
    for image in images:
        _clean(image, report)
        if image.folder not in FOLDERS:
            report.leave_out(image.path, "image of an unknown folder")
        elif image.folder == "tb" and not image.boxes:
            report.leave_out(image.path, "tuberculosis without a box")
        else:
            chosen.append(image)
    return chosen


def _clean(image: _Image, report: PrepareReport) -> None:
    """Take each box of an image once, and none without area."""
    once = list(dict.fromkeys(image.boxes))
    solid = [(name, box) for name, box in once if box[0] < box[2] and box[1] < box[3]]
    if twice := len(image.boxes) - len(once):
        report.notes["boxes listed twice, taken once"] += twice
    if flat := len(once) - len(solid):
        report.notes["boxes without area, not taken"] += flat
    image.boxes = solid


def _divide(parts: Mapping[str, list[_Image]], split: str, validation: float, seed: int) -> dict[str, list[_Image]]:
    if split == "official":
        return dict(parts)
    drawn = parts["training"] if split == "held_out" else [*parts["training"], *parts["validation"]]
    fractions = (1 - validation, validation, 0) if split == "held_out" else (0.7, 0.15, 0.15)
    # Each image stands for a patient: the set tells none.
    split_of = split_patients({image.path: image.stratum for image in drawn}, fractions=fractions, seed=seed)
    divided: defaultdict[str, list[_Image]] = defaultdict(list)
    for image in drawn:
        divided[split_of[image.path]].append(image)
    if split == "held_out":
        divided["test"] = parts["validation"]
    return dict(divided)


def _record(image: _Image, below: str, *, labelled: bool) -> dict[str, Any]:
    record: dict[str, Any] = {"id": image.path, "image": f"{below}imgs/{image.path}"}
    if labelled:
        names = [name for name, _ in image.boxes]
        unknown = 0 if UNCERTAIN not in names else None
        record["label"] = [int(image.folder == "tb"), *(1 if name in names else unknown for name in CLASSES[1:])]
        record["boxes"] = [list(box) for _, box in image.boxes]
        record["box_classes"] = names
        record["finding"] = FOLDERS[image.folder]
    return record
