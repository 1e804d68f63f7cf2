"""Dataset, loading, loss, metric and choice by validation loss together, in MMSegmentation's own training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

import monai_place.mm  # noqa: F401

pytest.importorskip("mmseg", reason="MMSegmentation is not installed")

from mmengine.config import Config
from mmengine.runner import Runner

LOAD = {"type": "monai_place.LoadRadiographFromFile"}
MASK = {"type": "monai_place.LoadRadiographMask"}
RESIZE = {"type": "Resize", "scale": (32, 32), "keep_ratio": False}
PACK = {"type": "PackSegInputs"}


def dataloader(folder: Path, split: str, *pipeline: dict[str, Any]) -> dict[str, Any]:
    return {
        "batch_size": 2,
        "num_workers": 0,
        "sampler": {"type": "DefaultSampler", "shuffle": False},
        "dataset": {
            "type": "monai_place.RadiographSegDataset",
            "datalist": str(folder / "datalist.json"),
            "split": split,
            "binary": "opacity",
            "test_mode": split != "training",
            "pipeline": list(pipeline),
        },
    }


def runner(folder: Path, work_dir: Path) -> Runner:
    model = {
        "type": "EncoderDecoder",
        "data_preprocessor": {
            "type": "SegDataPreProcessor",
            "mean": [127.5] * 3,
            "std": [63.75] * 3,
            "size": (32, 32),
        },
        "backbone": {"type": "monai_place.PLACEViT", "arch": "place_tiny", "img_size": 32, "frozen_stages": 4},
        "decode_head": {
            "type": "FCNHead",
            "in_channels": 192,
            "channels": 8,
            "num_convs": 1,
            "concat_input": False,
            "dropout_ratio": 0.5,
            "num_classes": 2,
            "out_channels": 1,
            "threshold": 0.5,
            "loss_decode": {"type": "monai_place.FocalLogDiceLoss"},
        },
        "test_cfg": {"mode": "whole"},
    }
    config = Config(
        {
            "model": model,
            "work_dir": str(work_dir),
            "train_dataloader": dataloader(folder, "training", LOAD, MASK, RESIZE, PACK),
            "train_cfg": {"by_epoch": True, "max_epochs": 2, "val_interval": 1},
            "optim_wrapper": {"optimizer": {"type": "AdamW", "lr": 1e-2}},
            "val_dataloader": dataloader(folder, "validation", LOAD, RESIZE, MASK, PACK),
            "val_cfg": {},
            "val_evaluator": [{"type": "monai_place.PerImageDiceMetric", "threshold": 0.5}, {"type": "IoUMetric"}],
            "custom_hooks": [
                {"type": "monai_place.ValidationLossHook"},
                {"type": "EarlyStoppingHook", "monitor": "loss", "patience": 10},
            ],
            "default_hooks": {"checkpoint": {"type": "CheckpointHook", "save_best": "loss", "rule": "less"}},
            "default_scope": "mmseg",
            "randomness": {"seed": 0},
            "experiment_name": work_dir.name,
        }
    )
    return Runner.from_cfg(config)


def test_training_evaluates_and_chooses_by_the_loss_on_validation_data(phantom_mm: Path, tmp_path: Path) -> None:
    running = runner(phantom_mm, tmp_path)
    before = [value.clone() for value in running.model.decode_head.parameters()]
    running.train()
    assert any(not torch.equal(a, b) for a, b in zip(before, running.model.decode_head.parameters(), strict=True))
    assert len(list(tmp_path.glob("best_loss_epoch_*.pth"))) == 1
    found = running.val()
    assert found["loss"] == pytest.approx(loss_by_hand(running), rel=1e-5)
    assert 0 <= found["Dice"] <= 1
    assert "mIoU" in found


def loss_by_hand(running: Runner) -> float:
    """Return the mean over the validation data of the loss, with masks loaded as in training."""
    model = running.model.eval()
    loader = dataloader(Path(), "validation", LOAD, MASK, RESIZE, PACK)
    stored = running.cfg.val_dataloader.dataset
    loader["dataset"]["datalist"] = stored.datalist
    losses = []
    for batch in Runner.build_dataloader(loader):
        with torch.no_grad():
            values = model(**model.data_preprocessor(batch, True), mode="loss")
        losses.append(float(values["decode.loss_focal_dice"]))
    return sum(losses) / len(losses)  # both batches are full
