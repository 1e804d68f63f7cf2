"""A vendor's reader and steps in the toolboxes' data sets: boxes, masks and pictures of predictions follow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import monai_place.mm
from monai_place.data.datalist import read_datalist
from monai_place.data.radiograph import RadiographError, read_mask
from monai_place.mm.loading import LoadRadiographFromFile, LoadRadiographMask, image_reading
from monai_place.mm.visualization import RadiographVisualizationHook
from tests.support.vendor import BORDER, PACKAGE, SETTINGS, write_archive

CUT = 64 - 2 * BORDER


@pytest.fixture(autouse=True)
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PACKAGE)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive")
    write_archive(folder, studies=8, seed=0, fractions=(0.5, 0.25, 0.25))
    (folder / "ours.json").write_text(json.dumps(SETTINGS), encoding="utf-8")
    return folder


def records(archive: Path) -> list[dict[str, Any]]:
    return read_datalist(archive / "datalist.json").splits["training"]


def cut(mask: Any) -> Any:
    return mask[BORDER:-BORDER, BORDER:-BORDER]


@pytest.mark.parametrize("form", ["file", "dictionary"])
def test_the_reader_takes_what_ours_refuses_and_the_steps_cut_it(archive: Path, form: str) -> None:
    path = archive / records(archive)[0]["image"]
    with pytest.raises(RadiographError, match="a multi-frame object"):
        LoadRadiographFromFile()({"img_path": path})
    load = LoadRadiographFromFile(reading=str(archive / "ours.json") if form == "file" else SETTINGS)
    results = load({"img_path": path})
    assert results["img"].shape == (CUT, CUT, 3)
    assert results["ori_shape"] == results["img_shape"] == (CUT, CUT)
    assert "northside.steps.CollimationCropd" in repr(load)


def test_a_mask_file_is_cut_as_its_picture_is(archive: Path) -> None:
    load = LoadRadiographFromFile(reading=SETTINGS)
    for record in records(archive):
        results = load({"img_path": archive / record["image"], "seg_map_path": archive / record["mask"]})
        found = LoadRadiographMask()({**results, "mask_format": "index", "label_map": {i: i for i in range(8)}})
        np.testing.assert_array_equal(found["gt_seg_map"], cut(read_mask(archive / record["mask"])))


def test_boxes_that_are_filled_move_and_are_clipped(archive: Path) -> None:
    path = archive / records(archive)[0]["image"]
    boxes = [(1, 0.0, 0.0, 20.0, 12.0), (2, 0.0, 0.0, 6.0, 6.0)]
    results = LoadRadiographFromFile(reading=SETTINGS)({"img_path": path, "mask_boxes": boxes})
    assert results["mask_boxes"] == [(1, 0.0, 0.0, 14.0, 6.0)]
    mask = LoadRadiographMask()(results)["gt_seg_map"]
    assert mask.shape == (CUT, CUT)
    assert (mask[:6, :14] == 1).all()
    assert mask.sum() == 84


def test_a_mask_of_another_size_than_the_file_is_refused(archive: Path, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("L", (CUT, CUT)).save(tmp_path / "m.png")
    results = LoadRadiographFromFile(reading=SETTINGS)({"img_path": archive / records(archive)[0]["image"]})
    with pytest.raises(ValueError, match=r"mask 'm\.png' has \(52, 52\) pixels, its image \(64, 64\)"):
        LoadRadiographMask()({**results, "seg_map_path": tmp_path / "m.png"})


def test_mmdetection_has_boxes_and_masks_of_findings_in_step(archive: Path) -> None:
    pytest.importorskip("mmdet", reason="MMDetection is not installed")
    from mmengine.registry import init_default_scope

    from monai_place.mm.detection import RadiographDetDataset

    init_default_scope("mmdet")
    load = {"type": "monai_place.LoadRadiographFromFile", "reading": str(archive / "ours.json")}
    annotations = {"type": "LoadAnnotations", "with_bbox": True, "with_mask": True}
    data = RadiographDetDataset(
        archive / "datalist.json",
        with_masks=True,
        reading=str(archive / "ours.json"),
        pipeline=[load, annotations, {"type": "PackDetInputs"}],
    )
    seen = 0
    for record, item in zip(records(archive), data, strict=True):
        assert item["inputs"].shape == (3, CUT, CUT)
        truth = item["data_samples"].gt_instances
        masks = [finding["mask"] for finding in record["findings"] if finding.get("box")]
        assert len(truth) <= len(masks)
        for box, mask in zip(truth.bboxes.tensor.numpy(), truth.masks.masks, strict=True):
            seen += 1
            rows, columns = np.nonzero(mask)
            extent = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
            np.testing.assert_allclose(box, extent, atol=1)
            assert any(np.array_equal(mask != 0, cut(read_mask(archive / path)) != 0) for path in masks)
    assert seen > 3


def test_mmsegmentation_has_masks_in_step(archive: Path) -> None:
    pytest.importorskip("mmseg", reason="MMSegmentation is not installed")
    from mmengine.registry import init_default_scope

    from monai_place.mm.segmentation import RadiographSegDataset

    init_default_scope("mmseg")
    load = {"type": "monai_place.LoadRadiographFromFile", "reading": SETTINGS}
    mask = {"type": "monai_place.LoadRadiographMask"}
    data = RadiographSegDataset(archive / "datalist.json", pipeline=[load, mask, {"type": "PackSegInputs"}])
    for record, item in zip(records(archive), data, strict=True):
        expected = cut(read_mask(archive / record["mask"]))
        np.testing.assert_array_equal(item["data_samples"].gt_sem_seg.data[0].numpy(), expected)


def test_pictures_of_predictions_are_drawn_over_what_the_model_saw(archive: Path) -> None:
    class Sample:
        img_path = str(archive / records(archive)[0]["image"])

    class Visualizer:
        shapes: ClassVar[list[Any]] = []

        def add_datasample(self, name: str, picture: Any, **_: Any) -> None:
            self.shapes.append((name, picture.shape))

    class Runner:
        visualizer = Visualizer()

    hook = RadiographVisualizationHook(reading=str(archive / "ours.json"))
    hook.after_val_iter(Runner(), 0, outputs=[Sample()])  # type: ignore[arg-type,list-item]
    assert Visualizer.shapes == [("val_0", (CUT, CUT, 3))]


def test_nothing_given_is_our_own_reader() -> None:
    assert image_reading(None).is_ours
    assert monai_place.mm.LoadRadiographFromFile().reading.is_ours
    with pytest.raises(ValueError, match="none of the settings"):
        LoadRadiographFromFile(reading={"steps": []})
