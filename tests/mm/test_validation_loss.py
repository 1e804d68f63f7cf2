"""The loss on validation data in MMEngine's own loops; the toolboxes' models are in their folders."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.hooks import EarlyStoppingHook
from mmengine.model import BaseModel
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement, InstanceData, PixelData

from monai_place.mm.validation_loss import ValidationLossHook
from tests.support.processes import in_group, run_ranks


class Line(BaseModel):
    """A weight whose loss is its mean distance from the values, so that the best one is known; in training 1 more."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.dropout = torch.nn.Dropout(0.5)

    def forward(self, inputs: torch.Tensor, data_samples: Any = None, mode: str = "tensor") -> Any:
        if mode == "predict":
            return data_samples
        distance = (inputs - self.weight).abs().mean() + (self.dropout(torch.ones(9)) - 1).abs().mean()
        return {"loss_a": 0.25 * distance, "loss_b": [0.75 * distance], "acc": torch.tensor(50.0)}


class Silent(BaseMetric):
    """A metric of nothing, which validation cannot do without."""

    default_prefix = ""

    def process(self, data_batch: Any, data_samples: Sequence[Any]) -> None:
        self.results.extend(data_samples)

    def compute_metrics(self, results: list[Any]) -> dict[str, float]:
        return {"pictures": float(len(results))}


def loader(values: Sequence[float], batch_size: int) -> dict[str, Any]:
    items = [{"inputs": torch.full((1, 2, 2), value), "data_samples": BaseDataElement()} for value in values]
    return {
        "dataset": items,
        "batch_size": batch_size,
        "sampler": {"type": "DefaultSampler", "shuffle": False},
        "collate_fn": {"type": "default_collate"},
        "num_workers": 0,
    }


def runner(folder: Path, values: Sequence[float] = (1.0, 2.0, 6.0), *, epochs: int = 6, **settings: Any) -> Runner:
    """Return a runner that moves the weight by 1 an epoch and validates on `values`, two in the first batch."""
    options: dict[str, Any] = {
        "custom_hooks": [{"type": "monai_place.ValidationLossHook"}],
        **settings,
    }
    return Runner(
        model=Line(),
        work_dir=str(folder),
        train_dataloader=loader([99.0], 1),
        train_cfg={"by_epoch": True, "max_epochs": epochs, "val_interval": 1},
        optim_wrapper={"optimizer": {"type": "SGD", "lr": 1.0}},
        val_dataloader=loader(values, 2),
        val_cfg={},
        val_evaluator=[Silent()],
        default_scope="mmengine",
        randomness={"seed": 0},
        experiment_name=folder.name,
        **options,
    )


def logged(folder: Path) -> list[float]:
    """Return the losses of the validations in the log."""
    (log,) = folder.glob("*/vis_data/scalars.json")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert all("loss" not in line for line in lines if "pictures" in line)  # that is the name of training
    return [line["val_loss"] for line in lines if "pictures" in line]


def test_loss_is_the_mean_over_pictures_and_not_over_batches(tmp_path: Path) -> None:
    # At weight 0: batch (1, 2) has 1.5, batch (6) has 6. Pictures: (1 + 2 + 6) / 3 = 3.
    found = runner(tmp_path).val()
    assert found == {"pictures": 3.0, "loss": pytest.approx(3.0)}


def test_the_best_checkpoint_is_that_of_the_least_loss_and_the_log_has_it(tmp_path: Path) -> None:
    choose = {"type": "CheckpointHook", "save_best": "loss", "rule": "less"}
    running = runner(tmp_path, default_hooks={"checkpoint": choose})
    running.train()
    # Weight 1 to 6: mean distances from 1, 2 and 6 are 2, 5/3, 2, 7/3, 8/3, 3.
    assert logged(tmp_path) == pytest.approx([2, 5 / 3, 2, 7 / 3, 8 / 3, 3], abs=1e-4)
    assert [path.name for path in tmp_path.glob("best_*")] == ["best_loss_epoch_2.pth"]
    assert running.model.weight.item() == 6


def test_early_stopping_ends_the_run(tmp_path: Path) -> None:
    stop = EarlyStoppingHook(monitor="loss", patience=2)
    running = runner(tmp_path, custom_hooks=[{"type": "ValidationLossHook"}, stop])
    running.train()
    assert running.epoch == 4
    assert stop.best_score == pytest.approx(5 / 3)


def test_weights_do_not_move(tmp_path: Path) -> None:
    running = runner(tmp_path, epochs=2)
    running.train()
    assert running.model.weight.item() == 2  # two steps of training


def test_each_validation_begins_anew(tmp_path: Path) -> None:
    running = runner(tmp_path)
    assert running.val()["loss"] == running.val()["loss"] == pytest.approx(3.0)


def segmented(mask: list[list[int]], img_shape: tuple[int, int]) -> BaseDataElement:
    return BaseDataElement(
        gt_sem_seg=PixelData(data=torch.tensor(mask)[None]), metainfo={"img_shape": img_shape, "ori_shape": img_shape}
    )


def test_masks_are_brought_to_the_network_and_what_is_beyond_is_ignored() -> None:
    sample = segmented([[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]], (2, 2))
    ValidationLossHook(ignore_index=9)._fit(sample, (3, 4))
    assert sample.gt_sem_seg.data.tolist() == [[[0, 1, 9, 9], [2, 3, 9, 9], [9, 9, 9, 9]]]
    assert sample.gt_sem_seg.data.dtype == torch.int64


def test_masks_that_fit_stay_as_they_are() -> None:
    sample = segmented([[0, 5], [7, 1]], (2, 2))
    ValidationLossHook()._fit(sample, (2, 2))
    assert sample.gt_sem_seg.data.tolist() == [[[0, 5], [7, 1]]]


def boxed(boxes: list[list[float]], scale: tuple[float, float]) -> BaseDataElement:
    instances = [{"bbox": [10, 10, 20, 20], "bbox_label": 0}, {"bbox": [0, 0, 9, 9], "ignore_flag": 1}]
    return BaseDataElement(
        gt_instances=InstanceData(bboxes=torch.tensor(boxes)), metainfo={"instances": instances, "scale_factor": scale}
    )


def test_boxes_in_pixels_of_the_picture_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"scaled by \(0.5, 0.5\): for a validation loss load the annotation before"):
        ValidationLossHook()._fit(boxed([[10.0, 10, 20, 20]], (0.5, 0.5)), (32, 32))


@pytest.mark.parametrize(
    ("boxes", "scale"),
    [
        pytest.param([[5.0, 5, 10, 10]], (0.5, 0.5), id="scaled"),
        pytest.param([[10.0, 10, 20, 20]], (1.0, 1.0), id="same size"),
        pytest.param([[0.0, 0, 0, 0]][:0], (0.5, 0.5), id="none"),
    ],
)
def test_boxes_of_the_network_pass(boxes: list[list[float]], scale: tuple[float, float]) -> None:
    sample = boxed(boxes, scale)
    ValidationLossHook()._fit(sample, (32, 32))
    assert sample.gt_instances.bboxes.tolist() == boxes


def test_no_picture_is_no_answer(tmp_path: Path) -> None:
    running, metrics = runner(tmp_path), {}
    hook = ValidationLossHook()
    hook.before_val_epoch(running)
    hook.after_val_epoch(running, metrics)
    assert math.isnan(metrics["loss"])


@pytest.mark.parametrize("name", ["ValidationLossHook", "monai_place.ValidationLossHook"])
def test_both_names_build_it(name: str) -> None:
    assert isinstance(HOOKS.build({"type": name}), ValidationLossHook)


@pytest.mark.dist
def test_ranks_report_the_mean_over_the_pictures_of_all(tmp_path: Path) -> None:
    run_ranks(validate_among_ranks, tmp_path)


def validate_among_ranks(rank: int, folder: Path) -> None:
    os.chdir(folder)
    with in_group(rank, folder):
        running = runner(folder / str(rank), [1.0, 2.0, 6.0, 3.0])  # rank 0 has 1 and 6, rank 1 has 2 and 3
        assert running.val()["loss"] == pytest.approx(3.0)
