"""Pictures of predictions over radiographs, while a training runs, in both toolboxes."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS as ROOT_HOOKS
from mmengine.runner import Runner
from mmengine.structures import InstanceData

from monai_place.mm.loading import Reading, image_reading
from monai_place.registry import HOOKS

__all__ = ["RadiographVisualizationHook", "boxes_at_the_edge"]


@contextmanager
def boxes_at_the_edge() -> Iterator[None]:
    """Draw without a warning for each box that ends at the picture's edge: MMEngine takes it for one that leaves it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Warning: The .* is out of bounds", UserWarning)
        yield


@ROOT_HOOKS.register_module()
@HOOKS.register_module()
class RadiographVisualizationHook(Hook):
    """Draw truth and prediction over the first pictures of each validation and test.

    Takes the place of SegVisualizationHook and DetVisualizationHook, which read neither DICOM nor NIfTI. The pictures
    go to every backend of the runner's visualizer (files, TensorBoard, ...) as `val_0`, `val_1`, ...: by number, since
    names of files may tell of a patient, and always the same ones, so that they can be watched.

    Args:
        pictures: so many of each validation and test.
        reading: a team's own reader and steps, as of `LoadRadiographFromFile`.
        options: more arguments of the visualizer's `add_datasample`, such as `pred_score_thr`.

    Raises:
        ValueError: the number is negative.
    """

    def __init__(self, pictures: int = 4, *, reading: Reading = None, **options: Any) -> None:
        if pictures < 0:
            raise ValueError(f"pictures must be at least 0, got {pictures}")
        self.pictures, self.options = pictures, options
        self.reading = image_reading(reading)
        self._drawn = 0
        self._training = False

    def before_train(self, runner: Runner) -> None:
        """Note that there are iterations to count by: outside a training asking for them would load its data."""
        self._training = True

    def before_val_epoch(self, runner: Runner) -> None:
        """Begin anew."""
        self._drawn = 0

    def before_test_epoch(self, runner: Runner) -> None:
        """Begin anew."""
        self._drawn = 0

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        """Draw what is still to be drawn."""
        self._draw(runner, "val", outputs or ())

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        """Draw what is still to be drawn."""
        self._draw(runner, "test", outputs or ())

    def _draw(self, runner: Runner, stage: str, outputs: Sequence[Any]) -> None:
        step = runner.iter if self._training else 0
        for sample in outputs[: self.pictures - self._drawn]:
            values = self.reading(sample.img_path).pixels.numpy()
            pixels = np.rint(values * np.float32(255)).astype(np.uint8)
            picture = np.repeat(pixels[..., None], 3, axis=2)  # (H, W) -> (H, W, 3)
            with boxes_at_the_edge():
                runner.visualizer.add_datasample(
                    f"{stage}_{self._drawn}", picture, data_sample=_in_picture(sample), step=step, **self.options
                )
            self._drawn += 1


def _in_picture(sample: Any) -> Any:
    """The sample, its boxes in pixels of the picture: loaded before `Resize` they are in those of the network's input.

    `instances` tells, which such a pipeline hands on for its metric.
    """
    instances = getattr(sample, "instances", None)
    if instances is None or not hasattr(sample, "gt_instances"):
        return sample
    counted = [instance for instance in instances if not instance.get("ignore_flag")]
    boxes = torch.tensor([instance["bbox"] for instance in counted], dtype=torch.float32).reshape(-1, 4)
    loaded = sample.gt_instances.bboxes
    loaded = getattr(loaded, "tensor", loaded).float().cpu()
    if loaded.shape == boxes.shape and torch.allclose(loaded, boxes):
        return sample
    moved = sample.clone()
    labels = torch.tensor([instance["bbox_label"] for instance in counted], dtype=torch.long)
    moved.gt_instances = InstanceData(bboxes=boxes, labels=labels)
    return moved
