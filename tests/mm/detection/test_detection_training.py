"""Dataset, loading, assigner, metric and choice by validation loss together, in MMDetection's own training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import monai_place.mm  # noqa: F401

pytest.importorskip("mmdet", reason="MMDetection is not installed")

from mmengine.config import Config
from mmengine.runner import Runner

LOAD = {"type": "monai_place.LoadRadiographFromFile"}
ANNOTATIONS = {"type": "LoadAnnotations", "with_bbox": True}
RESIZE = {"type": "Resize", "scale": (96, 96), "keep_ratio": False}
PACK = {
    "type": "PackDetInputs",
    "meta_keys": ("img_id", "img_path", "ori_shape", "img_shape", "scale_factor", "instances"),
}


def dataloader(folder: Path, split: str, *pipeline: dict[str, Any]) -> dict[str, Any]:
    return {
        "batch_size": 2,
        "num_workers": 0,
        "sampler": {"type": "DefaultSampler", "shuffle": False},
        "dataset": {
            "type": "monai_place.RadiographDetDataset",
            "datalist": str(folder / "datalist.json"),
            "split": split,
            "class_agnostic": "opacity",
            "test_mode": split != "training",
            "pipeline": list(pipeline),
        },
    }


def runner(folder: Path, work_dir: Path, *val_pipeline: dict[str, Any]) -> Runner:
    model = {
        "type": "YOLOV3",
        "data_preprocessor": {
            "type": "DetDataPreprocessor",
            "mean": [127.5] * 3,
            "std": [63.75] * 3,
            "pad_size_divisor": 32,
        },
        "backbone": {"type": "monai_place.PLACEViT", "arch": "place_tiny", "img_size": 96, "frozen_stages": 4},
        "neck": [
            {"type": "monai_place.PLACEPyramid", "in_channels": 192, "out_channels": 16, "strides": (8, 16, 32)},
            {"type": "YOLOV3Neck", "num_scales": 3, "in_channels": [16] * 3, "out_channels": [16, 16, 16]},
        ],
        "bbox_head": {
            "type": "YOLOV3Head",
            "num_classes": 1,
            "in_channels": [16] * 3,
            "out_channels": [16] * 3,
            "anchor_generator": {
                "type": "YOLOAnchorGenerator",
                "base_sizes": [[(48, 48)], [(24, 24)], [(12, 12)]],
                "strides": [32, 16, 8],
            },
        },
        "train_cfg": {"assigner": {"type": "monai_place.EveryScaleGridAssigner"}},
        "test_cfg": {
            "nms_pre": 100,
            "score_thr": 0.0,
            "nms": {"type": "nms", "iou_threshold": 0.5},
            "max_per_img": 100,
        },
    }
    config = Config(
        {
            "model": model,
            "work_dir": str(work_dir),
            "train_dataloader": dataloader(folder, "training", LOAD, ANNOTATIONS, RESIZE, PACK),
            "train_cfg": {"by_epoch": True, "max_epochs": 2, "val_interval": 1},
            "optim_wrapper": {"optimizer": {"type": "AdamW", "lr": 1e-2}},
            "val_dataloader": dataloader(folder, "validation", *(val_pipeline or (LOAD, ANNOTATIONS, RESIZE, PACK))),
            "val_cfg": {},
            "val_evaluator": [
                {"type": "monai_place.RadiographAPMetric"},
                {"type": "monai_place.RadiographAPMetric", "mode": "mgca", "prefix": "mgca"},
            ],
            "custom_hooks": [{"type": "monai_place.ValidationLossHook"}, {"type": "NumClassCheckHook"}],
            "default_hooks": {"checkpoint": {"type": "CheckpointHook", "save_best": "loss", "rule": "less"}},
            "default_scope": "mmdet",
            "randomness": {"seed": 0},
            "experiment_name": work_dir.name,
        }
    )
    return Runner.from_cfg(config)


def test_training_evaluates_and_chooses_by_the_loss_on_validation_data(phantom_mm: Path, tmp_path: Path) -> None:
    running = runner(phantom_mm, tmp_path)
    running.train()
    assert len(list(tmp_path.glob("best_loss_epoch_*.pth"))) == 1
    found = running.val()
    assert {"mAP", "AP50", "AP75", "mgca/mAP", "mgca/AP50", "mgca/AP75", "loss"} == found.keys()
    assert all(0 <= value <= 1 for key, value in found.items() if key != "loss")
    (batch,) = running.val_dataloader
    model = running.model.eval()
    with torch.no_grad():
        losses = model(**model.data_preprocessor(batch, False), mode="loss")
    assert found["loss"] == pytest.approx(model.parse_losses(losses)[0].item(), rel=1e-5)


def test_a_head_with_more_classes_than_the_data_is_found_out(phantom_mm: Path, tmp_path: Path) -> None:
    running = runner(phantom_mm, tmp_path)
    running.model.bbox_head.num_classes = 2
    with pytest.raises(AssertionError, match=r"`num_classes` \(2\) in YOLOV3Head"):
        running.train()


def test_boxes_loaded_behind_resize_are_found_out(phantom_mm: Path, tmp_path: Path) -> None:
    running = runner(phantom_mm, tmp_path, LOAD, RESIZE, ANNOTATIONS, PACK)
    with pytest.raises(ValueError, match="load the annotation before Resize in the pipeline of the validation"):
        running.val()
