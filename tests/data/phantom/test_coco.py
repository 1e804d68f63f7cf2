from __future__ import annotations

import json
from pathlib import Path

import pytest
from pycocotools.coco import COCO

from monai_place.data.phantom.coco import coco_boxes

RECORDS = [
    {"id": "a", "image": "images/a.png", "boxes": [[1, 2, 4, 6], [0, 0, 8, 8]], "box_classes": ["nodule", "edema"]},
    {"id": "b", "image": "images/b.png", "boxes": [], "box_classes": []},
    {"id": "c", "image": "images/c.png", "boxes": [[2, 2, 3, 3]], "box_classes": ["nodule"]},
]
CLASSES = ("edema", "nodule")


def test_pycocotools_reads_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "coco.json"
    path.write_text(json.dumps(coco_boxes(RECORDS, CLASSES, size=8, name="three")))
    coco = COCO(str(path))
    assert [category["name"] for category in coco.loadCats([1, 2])] == list(CLASSES)
    assert coco.getImgIds() == [1, 2, 3]
    annotations = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    assert [(a["category_id"], a["bbox"], a["area"], a["iscrowd"]) for a in annotations] == [
        (2, [1, 2, 3, 4], 12, 0),
        (1, [0, 0, 8, 8], 64, 0),
    ]
    assert coco.getAnnIds(imgIds=[2]) == []


def test_annotation_ids_count_from_one_without_a_gap() -> None:
    annotations = coco_boxes(RECORDS, CLASSES, size=8, name="three")["annotations"]
    assert [annotation["id"] for annotation in annotations] == [1, 2, 3]


def test_a_box_without_a_class_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        coco_boxes([RECORDS[0] | {"box_classes": ["nodule"]}], CLASSES, size=8, name="x")
