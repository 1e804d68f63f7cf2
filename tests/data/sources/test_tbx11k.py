from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monai_place.data.datalist import read_datalist
from monai_place.data.sources import PrepareReport, prepare_source
from monai_place.data.sources import tbx11k as module
from monai_place.data.verify import verify_datalist
from tests.support.source_files import ids_by_split, read_mask_of, records_by_id, write_picture

CATEGORIES = [
    {"id": 1, "name": "ActiveTuberculosis"},
    {"id": 2, "name": "ObsoletePulmonaryTuberculosis"},
    {"id": 3, "name": "PulmonaryTuberculosis"},
]


def coco(images: dict[str, list[tuple[int, list[float]]]]) -> dict[str, Any]:
    """Return a COCO file; boxes are [x, y, w, h]."""
    numbered = list(enumerate(images, 1))
    return {
        "info": [{"description": "TBX11K Dataset"}],
        "images": [{"id": number, "file_name": name, "height": 512, "width": 512} for number, name in numbered],
        "categories": CATEGORIES,
        "annotations": [
            {"id": 1, "image_id": number, "category_id": category, "bbox": box}
            for number, name in numbered
            for category, box in images[name]
        ],
    }


TRAIN = {
    **{f"health/h{n:04}.png": [] for n in range(10)},
    **{f"sick/s{n:04}.png": [] for n in range(10)},
    **{f"tb/tb{n:04}.png": [(1, [4.0, 5.0, 10.0, 8.0])] for n in range(8)},
    "tb/tb0135.png": [(1, [4, 5, 10, 8]), (2, [20, 20, 30, 4])],
    "tb/tb0500.png": [(2, [1, 1, 2, 2])],
    "tb/tb0600.png": [(3, [1, 1, 2, 2])],
    "tb/tb1199.png": [],
}
VAL = {
    "health/h1000.png": [],
    "sick/s1000.png": [],
    "tb/tb1000.png": [(1, [0, 0, 3, 3])],
    "tb/gone.png": [(1, [0, 0, 3, 3])],
}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "source"
    json_files = root / "TBX11K" / "annotations" / "json"
    json_files.mkdir(parents=True)
    for name in [*TRAIN, *VAL, "test/t1.png"]:
        if name != "tb/gone.png":
            write_picture(root / "TBX11K" / "imgs" / name, 32, 40)
    (json_files / "TBX11K_train.json").write_text(json.dumps(coco(TRAIN)))
    (json_files / "TBX11K_val.json").write_text(json.dumps(coco(VAL)), encoding="utf-8-sig")
    (json_files / "all_test.json").write_text(
        json.dumps({"images": coco({"test/t1.png": []})["images"], "categories": []})
    )
    return root


def prepare(source: Path, **options: Any) -> PrepareReport:
    return prepare_source("tbx11k", source, source.parent / "out", **{"check_counts": False, **options})


def test_the_result_passes_verification(source: Path) -> None:
    for split in ("held_out", "official", "random"):
        assert verify_datalist(prepare(source, split=split).datalist) == []


def test_the_source_may_be_the_folder_itself(source: Path) -> None:
    report = prepare_source("tbx11k", source / "TBX11K", source.parent / "out2", check_counts=False)
    assert ids_by_split(report.datalist) == ids_by_split(prepare(source).datalist)
    assert verify_datalist(report.datalist) == []


def test_official_validation_images_test_and_a_part_of_training_validates(source: Path) -> None:
    report = prepare(source, validation=0.3)
    splits = ids_by_split(report.datalist)
    assert splits["test"] == ["health/h1000.png", "sick/s1000.png", "tb/tb1000.png"]
    assert set(splits["training"]) | set(splits["validation"]) == set(TRAIN) - {"tb/tb1199.png"}
    assert len(splits["validation"]) == 9
    assert {name.split("/")[0] for name in splits["validation"]} == {"health", "sick", "tb"}
    assert ids_by_split(prepare(source, validation=0.3, seed=1).datalist) != splits


def test_what_is_left_out_is_listed(source: Path) -> None:
    assert prepare(source).left_out == {"tuberculosis without a box": 1, "image file missing": 1}


def test_the_official_test_has_no_labels(source: Path) -> None:
    report = prepare(source, split="official")
    splits, records = ids_by_split(report.datalist), records_by_id(report.datalist)
    assert splits["test"] == ["test/t1.png"]
    assert len(splits["training"]) == 31
    assert set(records["test/t1.png"]) == {"id", "image"}


def test_labels_boxes_and_masks(source: Path) -> None:
    report = prepare(source)
    records, datalist = records_by_id(report.datalist), read_datalist(report.datalist)
    assert datalist.classes == ["Tuberculosis", "ActiveTuberculosis", "ObsoletePulmonaryTuberculosis"]
    assert records["tb/tb0001.png"]["label"] == [1, 1, 0]
    assert records["tb/tb0135.png"]["label"] == [1, 1, 1]
    assert records["tb/tb0500.png"]["label"] == [1, 0, 1]
    assert records["tb/tb0600.png"]["label"] == [1, None, None]
    assert records["sick/s0001.png"]["label"] == [0, 0, 0]
    assert records["tb/tb0135.png"]["boxes"] == [[4, 5, 14, 13], [20, 20, 40, 24]]  # cut at the edge
    assert records["tb/tb0135.png"]["box_classes"] == ["ActiveTuberculosis", "ObsoletePulmonaryTuberculosis"]
    assert records["health/h0001.png"]["boxes"] == []
    assert records["sick/s0001.png"]["finding"] == "sick but no tuberculosis"
    mask = read_mask_of(report.datalist, records["tb/tb0001.png"])
    expected = np.zeros((32, 40))
    expected[5:13, 4:14] = 1
    np.testing.assert_array_equal(mask, expected)
    assert not read_mask_of(report.datalist, records["health/h0001.png"]).any()
    assert datalist.extra["mask_classes"] == ["Tuberculosis"]


def test_a_random_split_has_the_sizes_of_benchx() -> None:
    def images(folder: str, count: int, box: bool) -> list[Any]:
        drawn = [("ActiveTuberculosis", (0.0, 0.0, 1.0, 1.0))] if box else []
        return [module._Image(f"{folder}/{n}.png", drawn) for n in range(count)]

    whole = [*images("health", 3800, False), *images("sick", 3800, False), *images("tb", 799, True)]
    divided = module._divide({"training": whole, "validation": []}, "random", 0.1, 0)
    sizes = {part: len(found) for part, found in divided.items()}
    assert sizes == {"training": 5879, "validation": 1260, "test": 1260}


def test_other_counts_than_published_are_refused_with_both_numbers(source: Path) -> None:
    message = "training images: expected 6600, found 32; training boxes: expected 902, found 12"
    with pytest.raises(ValueError, match=message):
        prepare(source, check_counts=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"categories": [{"id": 1, "name": "Cat"}]}, "unknown category 'Cat'", id="category"),
        pytest.param({"images": None}, "TypeError", id="no images"),
        pytest.param({"annotations": [{"image_id": 1, "category_id": 1, "bbox": [1]}]}, "ValueError", id="box"),
    ],
)
def test_a_file_that_is_not_the_sets_is_named(source: Path, change: Any, message: str) -> None:
    path = source / "TBX11K" / "annotations" / "json" / "TBX11K_train.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=rf"TBX11K_train\.json: not TBX11K's COCO file: .*{message}"):
        prepare(source)


def test_images_in_both_files_are_refused(source: Path) -> None:
    path = source / "TBX11K" / "annotations" / "json" / "TBX11K_val.json"
    path.write_text(json.dumps(coco({**VAL, "tb/tb0001.png": []})))
    with pytest.raises(ValueError, match="1 images are listed twice"):
        prepare(source)


def test_a_wrong_option_or_a_missing_file_is_named(source: Path) -> None:
    with pytest.raises(ValueError, match="split must be one of"):
        prepare(source, split="benchx")
    with pytest.raises(ValueError, match="validation must be above 0"):
        prepare(source, validation=1)
    (source / "TBX11K" / "annotations" / "json" / "TBX11K_val.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"TBX11K_val\.json is not in annotations/json"):
        prepare(source)


def test_boxes_twice_or_without_area_are_counted_and_not_taken(source: Path) -> None:
    path = source / "TBX11K" / "annotations" / "json" / "TBX11K_train.json"
    odd = {**TRAIN, "tb/tb0001.png": TRAIN["tb/tb0001.png"] * 2, "tb/tb0002.png": [(1, [4.0, 5.0, 0.0, 8.0])]}
    path.write_text(json.dumps(coco(odd)))
    report = prepare(source)
    assert report.notes["boxes listed twice, taken once"] == 1
    assert report.notes["boxes without area, not taken"] == 1
    assert ("tb/tb0002.png", "tuberculosis without a box") in report.entries  # no negative
    records = records_by_id(report.datalist)
    assert records["tb/tb0001.png"]["boxes"] == [[4, 5, 14, 13]]
    assert records["tb/tb0001.png"]["box_classes"] == ["ActiveTuberculosis"]


def test_two_images_of_one_number_are_refused(source: Path) -> None:
    path = source / "TBX11K" / "annotations" / "json" / "TBX11K_train.json"
    content = coco(TRAIN)
    content["images"][3]["id"] = content["images"][4]["id"]
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"TBX11K_train\.json: .* 32 images have 31 ids"):
        prepare(source)


def test_a_wrong_annotation_is_named_by_its_number(source: Path) -> None:
    path = source / "TBX11K" / "annotations" / "json" / "TBX11K_train.json"
    for change, error in (({"image_id": 99999}, "KeyError: 99999"), ({"bbox": [1, 2, 3]}, "ValueError: not enough")):
        content = coco(TRAIN)
        content["annotations"][2] |= change
        path.write_text(json.dumps(content))
        with pytest.raises(ValueError, match=rf"TBX11K_train\.json: .*: annotation 3: {error}"):
            prepare(source)
