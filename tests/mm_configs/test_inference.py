"""The toolboxes' own inference functions on files, by our configs as they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from monai_place.config_files import config_path

pytest.importorskip("mmengine")


@pytest.fixture
def radiograph(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (90, 70), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "chest.png")
    return tmp_path / "chest.png"


def test_mmsegmentation_predicts_a_file_in_its_own_size(radiograph: Path) -> None:
    import monai_place.mm  # noqa: F401  (the operators, before a toolbox is imported)

    pytest.importorskip("mmseg")
    from mmseg.apis import inference_model, init_model

    model = init_model(str(config_path("placevit-tiny-frozen_linear_1xb8-2k_phantom-224x224")), device="cpu")
    found = inference_model(model, str(radiograph))
    assert found.pred_sem_seg.data.shape == (1, 90, 70)


def test_mmdetection_predicts_boxes_in_pixels_of_the_file(radiograph: Path, tmp_path: Path) -> None:
    import monai_place.mm  # noqa: F401  (the operators, before a toolbox is imported)

    pytest.importorskip("mmdet")
    from mmdet.apis import inference_detector, init_detector
    from mmdet.registry import MODELS
    from mmengine.config import Config
    from mmengine.registry import init_default_scope

    file = str(config_path("placevit-tiny_retinanet_1xb8-2k_phantom-224x224"))
    config = Config.fromfile(file)
    init_default_scope("mmdet")
    classes = [f"finding {number}" for number in range(config.model.bbox_head.num_classes)]
    meta = {"dataset_meta": {"classes": classes, "palette": [(0, 0, 0)] * len(classes)}}
    torch.save({"state_dict": MODELS.build(config.model).state_dict(), "meta": meta}, tmp_path / "trained.pth")
    model = init_detector(file, str(tmp_path / "trained.pth"), device="cpu")
    model.bbox_head.test_cfg.score_thr = 0.0
    boxes = inference_detector(model, str(radiograph)).pred_instances.bboxes
    assert len(boxes)
    assert float(boxes[:, 2].max()) <= 70
    assert float(boxes[:, 3].max()) <= 90
