from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.structures import BaseDataElement, InstanceData, PixelData
from mmengine.visualization import LocalVisBackend
from PIL import Image

import monai_place.mm  # noqa: F401
from monai_place.data.datalist import load_records
from monai_place.data.phantom import write_phantom
from monai_place.mm.visualization import RadiographVisualizationHook
from monai_place.registry import HOOKS


class Running:
    """What the hook asks of a runner."""

    def __init__(self, visualizer: Any, iteration: int = 7) -> None:
        self.visualizer, self.iter = visualizer, iteration


@pytest.fixture(scope="module")
def dicom(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return DICOM files of 64 pixels."""
    folder = tmp_path_factory.mktemp("dicom")
    path = write_phantom(folder, studies=3, size=64, seed=0, image_format="dicom", fractions=(1.0, 0.0, 0.0))
    return [record["image"] for record in load_records(path, "training")]


def segmented(path: str) -> BaseDataElement:
    segmentation = pytest.importorskip("mmseg.structures")
    mask = torch.zeros(1, 64, 64, dtype=torch.long)
    mask[:, 16:48, 16:48] = 1
    sample = segmentation.SegDataSample(metainfo={"img_path": path})
    sample.gt_sem_seg, sample.pred_sem_seg = PixelData(data=mask), PixelData(data=1 - mask)
    return sample


def detected(path: str) -> BaseDataElement:
    detection = pytest.importorskip("mmdet.structures")
    sample = detection.DetDataSample(metainfo={"img_path": path})
    # The truth ends at the picture's edge, which is no reason for a warning.
    sample.gt_instances = InstanceData(bboxes=torch.tensor([[8.0, 8.0, 64.0, 64.0]]), labels=torch.tensor([1]))
    sample.pred_instances = InstanceData(
        bboxes=torch.tensor([[4.0, 4.0, 32.0, 32.0]]), labels=torch.tensor([1]), scores=torch.tensor([0.9])
    )
    return sample


def visualizer(kind: str, folder: Path) -> Any:
    from mmengine.registry import VISUALIZERS, init_default_scope

    toolbox, name = {"seg": ("mmseg", "SegLocalVisualizer"), "det": ("mmdet", "DetLocalVisualizer")}[kind]
    pytest.importorskip(toolbox)
    init_default_scope(toolbox)
    made = VISUALIZERS.build({"type": f"{toolbox}.{name}", "name": f"{kind}_{folder.name}", "save_dir": str(folder)})
    made._vis_backends = {"files": LocalVisBackend(str(folder))}
    made.dataset_meta = {"classes": ("background", "finding"), "palette": [(0, 0, 0), (255, 0, 0)]}
    return made


@pytest.mark.parametrize(("kind", "make"), [("seg", segmented), ("det", detected)])
def test_truth_and_prediction_are_drawn_over_dicom_under_a_number(
    kind: str, make: Any, dicom: list[str], tmp_path: Path
) -> None:
    hook = RadiographVisualizationHook(pictures=2)
    running = Running(visualizer(kind, tmp_path))
    hook.before_train(running)
    hook.before_val_epoch(running)
    hook.after_val_iter(running, 0, None, [make(path) for path in dicom[:1]])
    hook.after_val_iter(running, 1, None, [make(path) for path in dicom[1:]])  # one of these is too many
    hook.before_test_epoch(running)
    hook.after_test_iter(running, 0, None, [make(dicom[0])])
    drawn = sorted(path.name for path in tmp_path.rglob("*.png"))
    assert drawn == ["test_0_7.png", "val_0_7.png", "val_1_7.png"]
    picture = np.asarray(Image.open(next(tmp_path.rglob("val_0_7.png")))).astype(int)
    assert picture.shape[1] == 2 * picture.shape[0]  # truth beside prediction
    colored = np.abs(picture[..., 0] - picture[..., 2]) > 20
    assert colored[:, :64].any()
    assert colored[:, 64:].any()
    gray = ~colored
    assert picture[gray].std() > 5  # and the radiograph is under it


def test_boxes_that_were_scaled_with_the_picture_are_drawn_where_they_lie_in_the_file(
    dicom: list[str], tmp_path: Path
) -> None:
    # As ValidationLossHook needs them: loaded before Resize, here to half the size. A box to ignore is no truth.
    drawn = []
    for scale in (1.0, 0.5):
        sample = detected(dicom[0])
        sample.gt_instances.bboxes *= scale
        sample.pred_instances = sample.pred_instances[:0]
        truth = {"bbox": [8.0, 8.0, 64.0, 64.0], "bbox_label": 1, "ignore_flag": 0}
        sample.set_metainfo({"instances": [truth, {**truth, "ignore_flag": 1}], "scale_factor": (scale, scale)})
        kept = sample.gt_instances.bboxes.clone()
        RadiographVisualizationHook(1).after_val_iter(
            Running(visualizer("det", tmp_path / str(scale))), 0, None, [sample]
        )
        assert sample.gt_instances.bboxes.equal(kept)
        drawn.append(np.asarray(Image.open(next((tmp_path / str(scale)).rglob("*.png")))))
    assert (drawn[0] == drawn[1]).all()


def test_each_validation_draws_the_same_pictures_again(dicom: list[str], tmp_path: Path) -> None:
    hook = RadiographVisualizationHook(pictures=1)
    drawing = visualizer("seg", tmp_path)
    hook.before_train(Running(drawing))
    for iteration in (5, 9):
        hook.before_val_epoch(Running(drawing, iteration))
        hook.after_val_iter(Running(drawing, iteration), 0, None, [segmented(path) for path in dicom])
    assert sorted(path.name for path in tmp_path.rglob("*.png")) == ["val_0_5.png", "val_0_9.png"]


def test_without_a_training_nothing_of_it_is_asked_for(dicom: list[str], tmp_path: Path) -> None:
    class Testing:
        """A runner whose iterations cannot be had without loading the training's data."""

        def __init__(self, drawing: Any) -> None:
            self.visualizer = drawing

    hook = RadiographVisualizationHook(pictures=1)
    hook.after_test_iter(Testing(visualizer("seg", tmp_path)), 0, None, [segmented(dicom[0])])
    assert [path.name for path in tmp_path.rglob("*.png")] == ["test_0_0.png"]


def test_options_reach_the_visualizer(dicom: list[str], tmp_path: Path) -> None:
    hook = RadiographVisualizationHook(pictures=1, draw_gt=False)
    hook.after_val_iter(Running(visualizer("seg", tmp_path)), 0, None, [segmented(dicom[0])])
    with Image.open(next(tmp_path.rglob("*.png"))) as picture:
        assert picture.width == picture.height


def test_a_config_finds_the_hook_and_a_negative_number_is_refused() -> None:
    assert isinstance(HOOKS.build({"type": "monai_place.RadiographVisualizationHook", "pictures": 0}), Hook)
    with pytest.raises(ValueError, match="got -1"):
        RadiographVisualizationHook(-1)
