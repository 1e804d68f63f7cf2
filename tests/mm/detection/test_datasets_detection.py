"""The datalist through MMDetection's pipelines."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import monai_place.mm  # noqa: F401
from monai_place.data.datalist import read_datalist
from monai_place.data.phantom import PHANTOM_CLASSES, write_phantom
from monai_place.data.radiograph import RadiographError, read_mask

pytest.importorskip("mmdet", reason="MMDetection is not installed")

from mmdet.evaluation import CocoMetric
from mmengine.registry import DATASETS, init_default_scope

from monai_place.mm.detection import RadiographDetDataset

LOAD = {"type": "monai_place.LoadRadiographFromFile"}
ANNOTATIONS = {"type": "LoadAnnotations", "with_bbox": True}
RESIZE = {"type": "Resize", "scale": (96, 32), "keep_ratio": False}
META = ("img_id", "record_id", "img_path", "ori_shape", "img_shape", "scale_factor", "instances")
PACK = {"type": "PackDetInputs", "meta_keys": META}


@pytest.fixture(autouse=True)
def scope() -> None:
    init_default_scope("mmdet")


def dataset(folder: Path, **settings: Any) -> Any:
    settings = {"pipeline": [LOAD, ANNOTATIONS, PACK], "datalist": folder / "datalist.json", **settings}
    return RadiographDetDataset(**settings)


def records(folder: Path, split: str = "training") -> list[dict[str, Any]]:
    return read_datalist(folder / "datalist.json").splits[split]


def edited(folder: Path, target: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """Return a copy of the phantom whose content has been changed."""
    shutil.copytree(folder, target, dirs_exist_ok=True)
    content = json.loads((target / "datalist.json").read_text())
    change(content)
    (target / "datalist.json").write_text(json.dumps(content))
    return target


def truth(data: Any) -> list[tuple[list[list[float]], list[int]]]:
    """Return boxes and labels of each picture."""
    instances = [item["data_samples"].gt_instances for item in data]
    return [(entry.bboxes.tensor.tolist(), entry.labels.tolist()) for entry in instances]


def test_every_record_comes_with_its_boxes(phantom_mm: Path) -> None:
    data = dataset(phantom_mm)
    assert len(data) == 4
    assert data.metainfo["classes"] == PHANTOM_CLASSES
    assert len(data.metainfo["palette"]) == 7
    for (boxes, labels), record in zip(truth(data), records(phantom_mm), strict=True):
        assert boxes == record["boxes"]
        assert [PHANTOM_CLASSES[label] for label in labels] == record["box_classes"]
    assert sum(len(boxes) for boxes, _ in truth(data)) == 6


def test_pictures_carry_their_size_their_number_and_their_record(phantom_mm: Path) -> None:
    data = dataset(phantom_mm, indices=[3, 1])
    infos = [data.get_data_info(index) for index in range(2)]
    assert [(info["height"], info["width"]) for info in infos] == [(64, 64)] * 2
    assert [info["img_id"] for info in infos] == [4, 2]
    assert [info["record_id"] for info in infos] == [records(phantom_mm)[index]["id"] for index in (3, 1)]
    assert data[0]["data_samples"].record_id == infos[0]["record_id"]
    assert data.get_cat_ids(0) == [instance["bbox_label"] for instance in infos[0]["instances"]]


def test_boxes_follow_the_picture_and_instances_stay(phantom_mm: Path) -> None:
    flip = {"type": "RandomFlip", "prob": 1.0}
    item = dataset(phantom_mm, pipeline=[LOAD, ANNOTATIONS, RESIZE, flip, PACK])[0]
    assert item["inputs"].shape == (3, 32, 96)
    original = np.array(records(phantom_mm)[0]["boxes"], dtype=float)
    x0, y0, x1, y1 = (original * [1.5, 0.5, 1.5, 0.5]).T
    expected = np.stack([96 - x1, y0, 96 - x0, y1], axis=1)
    np.testing.assert_allclose(item["data_samples"].gt_instances.bboxes.tensor.numpy(), expected)
    assert [instance["bbox"] for instance in item["data_samples"].instances] == original.tolist()


def test_chosen_classes_are_numbered_in_their_order_and_others_are_left_out(phantom_mm: Path) -> None:
    chosen = ["edema", "cardiomegaly"]
    data = dataset(phantom_mm, classes=chosen)
    assert data.metainfo["classes"] == ("edema", "cardiomegaly")
    for (boxes, labels), record in zip(truth(data), records(phantom_mm), strict=True):
        kept = [(b, c) for b, c in zip(record["boxes"], record["box_classes"], strict=True) if c in chosen]
        assert list(zip(boxes, [chosen[label] for label in labels], strict=True)) == kept
    assert sum(len(boxes) for boxes, _ in truth(data)) == 2


@pytest.mark.parametrize(("class_agnostic", "name"), [(True, "finding"), ("opacity", "opacity")])
def test_all_classes_are_merged_into_one(phantom_mm: Path, class_agnostic: bool | str, name: str) -> None:
    data = dataset(phantom_mm, class_agnostic=class_agnostic)
    assert data.metainfo["classes"] == (name,)
    assert [labels for _, labels in truth(data)] == [[0] * len(record["boxes"]) for record in records(phantom_mm)]


def test_empty_and_small_pictures_are_left_out_of_training_only(phantom_mm: Path) -> None:
    empty = {"filter_cfg": {"filter_empty_gt": True}}
    assert len(dataset(phantom_mm, **empty)) == 3
    assert len(dataset(phantom_mm, **empty, classes=["edema"])) == 1
    assert len(dataset(phantom_mm, **empty, test_mode=True)) == 4
    assert len(dataset(phantom_mm, filter_cfg={"min_size": 64})) == 4
    with pytest.raises(ValueError, match=r"filter_cfg \{'min_size': 65\} leaves none of 4 pictures"):
        dataset(phantom_mm, filter_cfg={"min_size": 65})


@pytest.mark.parametrize("class_agnostic", [False, True])
def test_masks_of_findings_go_with_their_boxes(phantom_mm: Path, class_agnostic: bool) -> None:
    load = {"type": "LoadAnnotations", "with_bbox": True, "with_mask": True}
    data = dataset(phantom_mm, with_masks=True, class_agnostic=class_agnostic, pipeline=[LOAD, load, PACK])
    seen = 0
    for item, record in zip(data, records(phantom_mm), strict=True):
        masks = item["data_samples"].gt_instances.masks.masks
        assert len(masks) == len(record["findings"])
        for mask, finding in zip(masks, record["findings"], strict=True):
            assert (mask == (read_mask(phantom_mm / finding["mask"]) > 0)).all()
            rows, columns = np.nonzero(mask)
            assert [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1] == finding["box"]
            seen += 1
    assert seen == 6


def test_masks_follow_the_picture(phantom_mm: Path) -> None:
    load = {"type": "LoadAnnotations", "with_bbox": True, "with_mask": True}
    item = dataset(phantom_mm, with_masks=True, pipeline=[LOAD, load, RESIZE, PACK])[0]
    assert item["data_samples"].gt_instances.masks.masks.shape[1:] == (32, 96)


def test_a_finding_with_half_a_box_is_named(phantom_mm: Path, tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["training"][0]["findings"][0]["box"] = [1, 2, 3]

    folder = edited(phantom_mm, tmp_path, change)
    with pytest.raises(ValueError, match=r"record '.*': the box of a finding is \[1, 2, 3\], expected \[x0, y0, x1"):
        len(dataset(folder, with_masks=True))


def test_a_box_without_a_class_is_not_of_the_one_chosen_of_several(phantom_mm: Path, tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["training"][0]["box_classes"] = None

    folder = edited(phantom_mm, tmp_path, change)
    with pytest.raises(ValueError, match="key 'box_classes' is missing, the classes are"):
        len(dataset(folder, classes=["edema"]))


def test_a_box_without_a_mask_is_an_error_where_masks_are_asked_for(phantom_mm: Path, tmp_path: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        del content["training"][0]["findings"][0]["mask"]

    folder = edited(phantom_mm, tmp_path, change)
    with pytest.raises(
        ValueError, match=r"record '.*': no finding has a mask for the box \[.*\] of 'pleural effusion'"
    ):
        dataset(folder, with_masks=True)
    assert len(dataset(folder)) == 4


def test_records_without_boxes_are_an_error_or_left_out_and_empty_lists_are_none_of_them(
    phantom_mm: Path, tmp_path: Path
) -> None:
    def change(content: dict[str, Any]) -> None:
        content["training"][0]["boxes"] = None
        content["training"][0]["box_classes"] = None

    folder = edited(phantom_mm, tmp_path, change)
    with pytest.raises(ValueError, match=r"1 of 4 records of split 'training' lack 'boxes'"):
        dataset(folder)
    data = dataset(folder, missing="skip")
    assert [data.get_data_info(index)["img_id"] for index in range(3)] == [2, 3, 4]


def test_boxes_are_cut_to_the_picture_and_those_outside_are_counted(
    phantom_mm: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def change(content: dict[str, Any]) -> None:
        boxes = [[-5, 10, 20.5, 90], [70, 10, 80, 20], [10, 10, 10.4, 30]]
        content["training"][0] |= {"boxes": boxes, "box_classes": ["edema"] * 3}

    data = dataset(edited(phantom_mm, tmp_path, change))
    assert truth(data)[0] == ([[0, 10, 20.5, 64]], [PHANTOM_CLASSES.index("edema")])
    assert "2 boxes of split 'training' are left out" in caplog.text


def test_label_fractions_are_nested_and_listed_ids_are_found(phantom_mm: Path, tmp_path: Path) -> None:
    def drawn(**settings: Any) -> list[str]:
        data = dataset(phantom_mm, **settings)
        return [data.get_data_info(index)["record_id"] for index in range(len(data))]

    assert set(drawn(fraction=0.01)) < set(drawn(fraction=0.5)) < set(drawn(fraction=1.0))
    (tmp_path / "two.txt").write_text("\n".join(drawn()[1:3]))
    assert drawn(ids="two.txt", data_root=tmp_path, datalist=phantom_mm / "datalist.json") == drawn()[1:3]


def test_arguments_of_base_det_dataset_work(phantom_mm: Path) -> None:
    lazy = dataset(phantom_mm, lazy_init=True, serialize_data=False)
    assert lazy.metainfo["classes"] == PHANTOM_CLASSES
    assert not lazy.data_list
    lazy.full_init()
    assert len(lazy) == 4
    assert len(dataset(phantom_mm, data_root=phantom_mm, datalist="datalist.json", split="test", test_mode=True)) == 2


def test_sizes_of_dicom_files_are_read(tmp_path: Path) -> None:
    write_phantom(tmp_path, studies=3, size=48, seed=0, image_format="dicom", fractions=(1.0, 0.0, 0.0))
    data = dataset(tmp_path)
    assert {(data.get_data_info(index)["height"], data[index]["inputs"].shape) for index in range(3)} == {
        (48, (3, 48, 48))
    }


def test_a_missing_picture_is_named(phantom_mm: Path, tmp_path: Path) -> None:
    folder = edited(phantom_mm, tmp_path, lambda content: None)
    (folder / records(folder)[1]["image"]).unlink()
    with pytest.raises(RadiographError, match="the file does not exist") as error:
        dataset(folder)
    assert str(tmp_path) not in str(error.value)


@pytest.mark.parametrize("name", ["RadiographDetDataset", "monai_place.RadiographDetDataset"])
def test_both_names_build_it(name: str, phantom_mm: Path) -> None:
    built = DATASETS.build({"type": name, "datalist": str(phantom_mm / "datalist.json"), "split": "test"})
    assert isinstance(built, RadiographDetDataset)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"metainfo": {"classes": ("a",)}}, "metainfo holds classes: pass classes=", id="metainfo"),
        pytest.param({"filter_cfg": {"filter_empty": True}}, r"filter_cfg holds \['filter_empty'\]", id="filter"),
        pytest.param({"classes": ["rib"]}, r"classes \['rib'\] are not annotated", id="classes"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str, phantom_mm: Path) -> None:
    with pytest.raises(ValueError, match=message):
        dataset(phantom_mm, **settings)


def test_plain_coco_works_with_the_same_pipeline(phantom_mm: Path) -> None:
    coco = DATASETS.build(
        {
            "type": "mmdet.CocoDataset",
            "ann_file": str(phantom_mm / "coco_training.json"),
            "data_prefix": {"img": str(phantom_mm)},
            "metainfo": {"classes": PHANTOM_CLASSES},
            "pipeline": [LOAD, ANNOTATIONS, PACK],
        }
    )
    own = dataset(phantom_mm)
    assert truth(coco) == truth(own)
    assert all((a["inputs"] == b["inputs"]).all() for a, b in zip(coco, own, strict=True))
    assert [item["data_samples"].img_id for item in coco] == [item["data_samples"].img_id for item in own]


def test_mmdets_metric_evaluates_boxes_and_masks_of_it(phantom_mm: Path, capsys: pytest.CaptureFixture[str]) -> None:
    load = {"type": "LoadAnnotations", "with_bbox": True, "with_mask": True}
    data = dataset(phantom_mm, with_masks=True, split="validation", pipeline=[LOAD, load, PACK], test_mode=True)
    metric = CocoMetric(metric=["bbox", "segm"])
    metric.dataset_meta = data.metainfo
    for item in data:
        sample = item["data_samples"].to_dict()
        found = item["data_samples"].gt_instances
        scores = found.bboxes.tensor[:, 0] * 0 + 1
        masks = found.masks.to_tensor(bool, "cpu")
        sample["pred_instances"] = {
            "bboxes": found.bboxes.tensor,
            "labels": found.labels,
            "scores": scores,
            "masks": masks,
        }
        metric.process({}, [sample])
    results = metric.evaluate(len(data))
    assert results["coco/bbox_mAP"] == results["coco/segm_mAP"] == 1


def test_nothing_is_logged_where_nothing_is_wrong(phantom_mm: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "monai_place")
    dataset(phantom_mm)
    assert not [entry for entry in caplog.records if entry.name.startswith("monai_place")]


def test_without_its_file_a_lazy_data_set_is_made_for_init_detector_and_cannot_be_read(tmp_path: Path) -> None:
    dataset = RadiographDetDataset(tmp_path / "datalist.json", "test", lazy_init=True)
    assert dataset.metainfo["classes"] == ()
    assert "palette" not in dataset.metainfo
    with pytest.raises(FileNotFoundError, match=r"datalist\.json was not there when the data set was made"):
        dataset.full_init()
    with pytest.raises(FileNotFoundError):
        RadiographDetDataset(tmp_path / "datalist.json", "test")
