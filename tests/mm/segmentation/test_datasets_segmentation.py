"""The datalist through MMSegmentation's pipelines."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import monai_place.mm  # noqa: F401
from monai_place.data.datalist import read_datalist
from monai_place.data.phantom import PHANTOM_CLASSES
from monai_place.data.radiograph import read_mask

pytest.importorskip("mmseg", reason="MMSegmentation is not installed")

from mmengine.registry import DATASETS, init_default_scope

from monai_place.mm.segmentation import RadiographSegDataset

LOAD = {"type": "monai_place.LoadRadiographFromFile"}
MASK = {"type": "monai_place.LoadRadiographMask"}
RESIZE = {"type": "Resize", "scale": (48, 32), "keep_ratio": False}
PACK = {"type": "PackSegInputs"}


@pytest.fixture(autouse=True)
def scope() -> None:
    init_default_scope("mmseg")


def dataset(folder: Path, **settings: Any) -> Any:
    settings = {"pipeline": [LOAD, MASK, PACK], "datalist": folder / "datalist.json", **settings}
    return RadiographSegDataset(**settings)


def masks(data: Any) -> list[np.ndarray]:
    return [item["data_samples"].gt_sem_seg.data[0].numpy() for item in data]


def stored(folder: Path, split: str = "training") -> list[np.ndarray]:
    """Return the masks of the datalist as they lie in the files."""
    records = read_datalist(folder / "datalist.json").splits[split]
    return [read_mask(folder / record["mask"]) for record in records]


def edited(folder: Path, target: Path, **head: Any) -> Path:
    """Return a copy of the phantom with another head, for tests that change files."""
    shutil.copytree(folder, target, dirs_exist_ok=True)
    content = json.loads((target / "datalist.json").read_text())
    (target / "datalist.json").write_text(json.dumps(content | head))
    return target


def test_every_record_comes_with_its_picture_and_its_mask(phantom_mm: Path) -> None:
    data = dataset(phantom_mm)
    assert len(data) == 4
    assert data.metainfo["classes"] == ("background", *PHANTOM_CLASSES)
    assert len(data.metainfo["palette"]) == 8
    for item, mask in zip(data, stored(phantom_mm), strict=True):
        assert item["inputs"].shape == (3, 64, 64)
        assert item["inputs"].dtype == torch.uint8
        assert (item["data_samples"].gt_sem_seg.data[0].numpy() == mask).all()
    assert any(mask.any() for mask in masks(data))


def test_ids_of_records_stay_with_them(phantom_mm: Path) -> None:
    records = read_datalist(phantom_mm / "datalist.json").splits["validation"]
    data = dataset(phantom_mm, split="validation", test_mode=True)
    assert [data.get_data_info(index)["record_id"] for index in range(2)] == [record["id"] for record in records]


def test_masks_follow_the_picture_through_training_transforms(phantom_mm: Path) -> None:
    flip = {"type": "RandomFlip", "prob": 1.0}
    item = dataset(phantom_mm, pipeline=[LOAD, MASK, RESIZE, flip, PACK])[0]
    assert item["inputs"].shape == (3, 32, 48)
    resized = Image.fromarray(stored(phantom_mm)[0].astype(np.uint8)).resize((48, 32), Image.Resampling.NEAREST)
    found = item["data_samples"].gt_sem_seg.data[0].numpy()
    assert (found == np.asarray(resized)[:, ::-1]).mean() > 0.9  # cv2 and Pillow round differently at edges


def test_evaluation_has_the_mask_at_the_size_of_the_picture(phantom_mm: Path) -> None:
    item = dataset(phantom_mm, pipeline=[LOAD, RESIZE, MASK, PACK], test_mode=True)[0]
    assert item["inputs"].shape == (3, 32, 48)
    assert item["data_samples"].gt_sem_seg.shape == item["data_samples"].ori_shape == (64, 64)


@pytest.mark.parametrize("classes", [None, ["nodule", "edema"]])
def test_mmseg_loads_the_same_masks_from_files(phantom_mm: Path, classes: list[str] | None) -> None:
    own = dataset(phantom_mm, classes=classes)
    stock = dataset(phantom_mm, classes=classes, pipeline=[LOAD, {"type": "LoadAnnotations"}, PACK])
    assert all((a == b).all() for a, b in zip(masks(own), masks(stock), strict=True))


def test_chosen_classes_are_numbered_in_their_order_and_others_are_background(phantom_mm: Path) -> None:
    data = dataset(phantom_mm, classes=["edema", "cardiomegaly"])
    assert data.metainfo["classes"] == ("background", "edema", "cardiomegaly")
    value = {name: 1 + PHANTOM_CLASSES.index(name) for name in ("edema", "cardiomegaly")}
    for mask, original in zip(masks(data), stored(phantom_mm), strict=True):
        expected = np.where(original == value["edema"], 1, np.where(original == value["cardiomegaly"], 2, 0))
        assert (mask == expected).all()
    assert {1, 2} <= set(np.unique(masks(data)))


@pytest.mark.parametrize(("binary", "name"), [(True, "finding"), ("opacity", "opacity")])
def test_all_classes_are_merged_into_one(phantom_mm: Path, binary: bool | str, name: str) -> None:
    data = dataset(phantom_mm, binary=binary)
    assert data.metainfo["classes"] == ("background", name)
    assert all((a == (b > 0)).all() for a, b in zip(masks(data), stored(phantom_mm), strict=True))


def test_masks_of_0_and_255_are_read_on_demand_and_refused_without(phantom_mm: Path, tmp_path: Path) -> None:
    folder = edited(phantom_mm, tmp_path, mask_classes=["lung"])
    for path in (folder / "masks").glob("*.png"):
        Image.fromarray(((read_mask(path) > 0) * 255).astype(np.uint8)).save(path)
    for pipeline in ([LOAD, MASK, PACK], [LOAD, {"type": "LoadAnnotations"}, PACK]):
        data = dataset(folder, mask_format="binary", binary="lung", pipeline=pipeline)
        assert data.metainfo["classes"] == ("background", "lung")
        assert all((a == (b > 0)).all() for a, b in zip(masks(data), stored(phantom_mm), strict=True))
    with pytest.raises(ValueError, match=r"holds 255, expected one of \[0, 1\]; mask_format='binary' is for"):
        masks(dataset(folder))


def test_boxes_are_filled_on_demand(phantom_mm: Path) -> None:
    records = read_datalist(phantom_mm / "datalist.json").splits["training"]
    data = dataset(phantom_mm, mask_from="boxes", binary="opacity")
    for mask, record in zip(masks(data), records, strict=True):
        expected = np.zeros((64, 64), dtype=bool)
        for x0, y0, x1, y1 in record["boxes"]:
            expected[y0:y1, x0:x1] = True
        assert (mask == expected).all()
    assert any(record["boxes"] for record in records)


def test_filled_boxes_have_the_label_of_their_class(phantom_mm: Path) -> None:
    data = dataset(phantom_mm, mask_from="boxes", classes=["cardiomegaly"])
    assert data.metainfo["classes"] == ("background", "cardiomegaly")
    assert sum(mask.any() for mask in masks(data)) == 1


def test_records_without_mask_are_an_error_or_left_out(phantom_mm: Path, tmp_path: Path) -> None:
    folder = edited(phantom_mm, tmp_path)
    content = json.loads((folder / "datalist.json").read_text())
    del content["training"][1]["mask"]
    content["training"][2]["mask"] = None
    (folder / "datalist.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=r"2 of 4 records of split 'training' lack 'mask'"):
        dataset(folder)
    assert len(dataset(folder, missing="skip")) == 2


def test_another_key_may_hold_the_mask(phantom_mm: Path, tmp_path: Path) -> None:
    folder = edited(phantom_mm, tmp_path)
    content = json.loads((folder / "datalist.json").read_text())
    for record in content["training"]:
        record["lesions"] = record.pop("mask")
    (folder / "datalist.json").write_text(json.dumps(content))
    assert len(masks(dataset(folder, mask_key="lesions"))) == 4


def test_label_fractions_are_nested_and_listed_ids_are_found(phantom_mm: Path, tmp_path: Path) -> None:
    def drawn(**settings: Any) -> list[str]:
        data = dataset(phantom_mm, **settings)
        return [data.get_data_info(index)["record_id"] for index in range(len(data))]

    assert len(drawn(fraction=0.01)) == 1
    assert set(drawn(fraction=0.01)) < set(drawn(fraction=0.5)) < set(drawn(fraction=1.0))
    (tmp_path / "one.txt").write_text(drawn()[2] + "\n")
    assert drawn(ids="one.txt", data_root=tmp_path, datalist=phantom_mm / "datalist.json") == drawn()[2:3]


def test_arguments_of_base_seg_dataset_work(phantom_mm: Path) -> None:
    assert len(dataset(phantom_mm, indices=3)) == 3
    assert len(dataset(phantom_mm, indices=[1, 3], serialize_data=False)) == 2
    lazy = dataset(phantom_mm, lazy_init=True)
    assert lazy.metainfo["classes"] == dataset(phantom_mm).metainfo["classes"]
    assert not lazy.data_list
    lazy.full_init()
    assert len(lazy) == 4
    assert dataset(phantom_mm, metainfo={"palette": [[9, 9, 9]] * 8}).metainfo["palette"] == [[9, 9, 9]] * 8
    assert len(dataset(phantom_mm, data_root=phantom_mm, datalist="datalist.json")) == 4


@pytest.mark.parametrize("name", ["RadiographSegDataset", "monai_place.RadiographSegDataset"])
def test_both_names_build_it(name: str, phantom_mm: Path) -> None:
    built = DATASETS.build({"type": name, "datalist": str(phantom_mm / "datalist.json"), "split": "test"})
    assert isinstance(built, RadiographSegDataset)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"mask_from": "box"}, "mask_from must be one of .*, got 'box'", id="mask_from"),
        pytest.param({"mask_format": "rle"}, "mask_format must be one of .*, got 'rle'", id="mask_format"),
        pytest.param({"reduce_zero_label": True}, "reduce_zero_label must be false", id="reduce_zero_label"),
        pytest.param({"metainfo": {"classes": ("a",)}}, "metainfo holds classes: pass classes=", id="metainfo"),
        pytest.param({"classes": ["rib"]}, r"classes \['rib'\] are not annotated", id="classes"),
        pytest.param({"mask_format": "binary", "classes": ["a", "b"]}, "has one class, got classes", id="binary"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str, phantom_mm: Path) -> None:
    with pytest.raises(ValueError, match=message):
        dataset(phantom_mm, **settings)


def test_paths_that_leave_the_folder_are_refused(phantom_mm: Path, tmp_path: Path) -> None:
    folder = edited(phantom_mm, tmp_path / "inner")
    content = json.loads((folder / "datalist.json").read_text())
    content["training"][0]["mask"] = "../../secret.png"
    (folder / "datalist.json").write_text(json.dumps(content))
    with pytest.raises(
        ValueError, match=r"record '.*': key 'mask': path 'secret.png' must stay under its root"
    ) as error:
        dataset(folder)
    assert str(tmp_path) not in str(error.value)


@pytest.mark.parametrize("annotation", [MASK, {"type": "LoadAnnotations"}], ids=["ours", "mmseg's"])
def test_plain_folders_work_with_the_same_pipeline(
    annotation: dict[str, str], phantom_mm: Path, tmp_path: Path
) -> None:
    for index, record in enumerate(read_datalist(phantom_mm / "datalist.json").splits["training"]):
        for kind in ("image", "mask"):
            (tmp_path / kind).mkdir(exist_ok=True)
            shutil.copy(phantom_mm / record[kind], tmp_path / kind / f"{index}.png")
    built = DATASETS.build(
        {
            "type": "mmseg.BaseSegDataset",
            "data_root": str(tmp_path),
            "data_prefix": {"img_path": "image", "seg_map_path": "mask"},
            "img_suffix": ".png",
            "metainfo": {"classes": ("background", *PHANTOM_CLASSES)},
            "pipeline": [LOAD, annotation, PACK],
        }
    )
    assert all((a == b).all() for a, b in zip(masks(built), stored(phantom_mm), strict=True))
