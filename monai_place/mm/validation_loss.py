"""The loss on the validation data as a metric, for protocols that choose a checkpoint by it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.registry import HOOKS as ROOT_HOOKS
from mmengine.runner import Runner

from monai_place.registry import HOOKS

__all__ = ["ValidationLossHook"]

LOG_NAME = "val_loss"


@ROOT_HOOKS.register_module()
@HOOKS.register_module()
class ValidationLossHook(Hook):
    """Add `loss`, the mean over pictures of the model's training loss, to the results of each validation.

    Then `CheckpointHook(save_best='loss', rule='less')` and `EarlyStoppingHook(monitor='loss')` work in both toolboxes.
    In the log it is `val_loss`, the value itself: under `loss` it would share a curve with the loss of training, and
    be smoothed. The model is in evaluation mode, so dropout and drop path are off and batch statistics stay as they
    are; the price is a second forward pass.

    The truth must be that of the network's input. A segmentation mask is brought to it, so that the annotation may be
    loaded behind `Resize`, as metrics at the size of the picture need it. Boxes must be loaded before `Resize`, and
    then `RadiographAPMetric` has its truth from `instances`; boxes that were left at the size of the picture are an
    error where `instances` can tell.

    On several ranks a picture that the sampler repeats to fill the last batch counts twice.

    Args:
        ignore_index: the label of the mask's pixels beyond the picture, where a batch is padded.
    """

    # Behind RuntimeInfoHook, which logs all results by their names; before LoggerHook and those that choose by them.
    priority = "ABOVE_NORMAL"

    def __init__(self, *, ignore_index: int = 255) -> None:
        self.ignore_index = ignore_index
        self._sum = self._pictures = 0.0

    def before_run(self, runner: Runner) -> None:
        """Have the log show the value of this validation: MMEngine averages what has `loss` in its name over ten."""
        if all(entry["data_src"] != LOG_NAME for entry in runner.log_processor.custom_cfg):
            runner.log_processor.custom_cfg.append({"data_src": LOG_NAME, "method_name": "current"})

    def before_val_epoch(self, runner: Runner) -> None:
        """Begin anew."""
        self._sum = self._pictures = 0.0

    @torch.no_grad()
    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Sequence[Any] | None = None
    ) -> None:
        """Take the loss of a batch.

        Raises:
            ValueError: boxes are not in pixels of the network's input.
        """
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        device = next(model.parameters()).device
        with torch.autocast(device.type, enabled=bool(getattr(runner.val_loop, "fp16", False))):
            data = model.data_preprocessor(data_batch, False)
            samples = data["data_samples"]
            for sample in samples:
                self._fit(sample, data["inputs"].shape[-2:])
            losses = model(**data, mode="loss")
        total, _ = model.parse_losses(losses)
        self._sum += float(total) * len(samples)
        self._pictures += len(samples)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Add the mean over the pictures of all ranks to the results."""
        sums = torch.tensor([self._sum, self._pictures], dtype=torch.float64)
        all_reduce(sums)
        loss = (sums[0] / sums[1]).item() if sums[1] else float("nan")
        runner.message_hub.update_scalar(f"val/{LOG_NAME}", loss)
        if metrics is not None:
            metrics["loss"] = loss

    def _fit(self, sample: Any, input_shape: Sequence[int]) -> None:
        """Bring the truth of a picture to the network's input."""
        if "gt_sem_seg" in sample and "data" in sample.gt_sem_seg:
            mask = sample.gt_sem_seg.data  # (1, H, W)
            height, width = sample.metainfo["img_shape"][:2]
            if mask.shape[-2:] != (height, width):
                # "nearest" takes the pixels that cv2 takes in `Resize`, "nearest-exact" others.
                mask = F.interpolate(mask[None].float(), size=(height, width), mode="nearest")[0].to(mask.dtype)
            beyond = (0, input_shape[1] - width, 0, input_shape[0] - height)
            sample.gt_sem_seg = type(sample.gt_sem_seg)(data=F.pad(mask, beyond, value=self.ignore_index))
        if "gt_instances" in sample and "instances" in sample.metainfo:
            _check_scale(sample)


def _check_scale(sample: Any) -> None:
    scale = tuple(sample.metainfo.get("scale_factor", (1.0, 1.0)))
    original = [instance["bbox"] for instance in sample.metainfo["instances"] if not instance.get("ignore_flag")]
    boxes = sample.gt_instances.bboxes
    boxes = getattr(boxes, "tensor", boxes)
    if scale == (1.0, 1.0) or len(boxes) != len(original) or not original:
        return
    if torch.allclose(boxes, boxes.new_tensor(original)):
        raise ValueError(
            f"the boxes are in pixels of the picture, the network's input is scaled by {scale}: for a validation loss "
            "load the annotation before Resize in the pipeline of the validation"
        )
