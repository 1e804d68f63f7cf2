"""Assignment of boxes to YOLO's anchors as the published protocol does it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from mmdet.models.task_modules import AssignResult, BaseAssigner
from mmengine.registry import TASK_UTILS as ROOT_TASK_UTILS
from mmengine.structures import InstanceData

from monai_place.registry import TASK_UTILS

__all__ = ["EveryScaleGridAssigner"]


@ROOT_TASK_UTILS.register_module()
@TASK_UTILS.register_module()
class EveryScaleGridAssigner(BaseAssigner):
    """Assign each box at every scale: to the one anchor of its cell there that fits its shape best.

    For YOLOV3Head, in `train_cfg=dict(assigner=dict(type='monai_place.EveryScaleGridAssigner'))`. MMDetection's
    `GridAssigner` takes the best anchor of all scales together (and every other one of an IoU above its threshold), so
    that a box trains one scale as a rule; here it trains each.

    The cell of a box is that of its center; shapes are compared by the IoU of box and anchor laid on the same center.
    Other anchors of the cell that fit better than `ignore_iou_thr` are left out of the loss, all the rest is
    background. Where two boxes want the same anchor the later one gets it.

    Args:
        strides: of the head's maps, in any order; each must be an even multiple of the next smaller one.
        ignore_iou_thr: above this an anchor that is not the best is no background.

    Raises:
        ValueError: the strides are not such.
    """

    def __init__(self, strides: Sequence[int] = (32, 16, 8), ignore_iou_thr: float = 0.5) -> None:
        ordered = sorted(strides)
        if not ordered or ordered[0] <= 0 or any(larger % (2 * smaller) for smaller, larger in pairwise(ordered)):
            raise ValueError(f"strides must be even multiples of each other, above 0, got {list(strides)}")
        self.strides = tuple(strides)
        self.ignore_iou_thr = ignore_iou_thr

    def assign(
        self,
        pred_instances: InstanceData,
        gt_instances: InstanceData,
        gt_instances_ignore: InstanceData | None = None,
        **kwargs: Any,
    ) -> AssignResult:
        """Assign boxes to anchors.

        Args:
            pred_instances: `priors` (N, 4), the anchors of all scales, each around the center of its cell, and
                `responsible_flags` (N,), which cells hold the center of a box.
            gt_instances: `bboxes` (K, 4) and `labels` (K,).
            gt_instances_ignore: not used.
            kwargs: not used.

        Returns:
            For each anchor 1 + the index of its box, 0 for background or -1 for neither.
        """
        anchors, boxes = pred_instances.priors, gt_instances.bboxes
        assigned = anchors.new_zeros(len(anchors), dtype=torch.long)
        overlaps = anchors.new_zeros(len(anchors))
        best: list[tuple[int, torch.Tensor]] = []
        candidates = pred_instances.responsible_flags.bool().nonzero().squeeze(1)
        centers = (anchors[candidates, :2] + anchors[candidates, 2:]) / 2
        for index, box in enumerate(boxes):
            fit = _shape_iou(box, anchors[candidates])
            for stride in self.strides:
                cell = (((box[:2] + box[2:]) / 2 / stride).floor() + 0.5) * stride
                # Centers of cells of different strides lie at least half the smaller stride apart.
                here = ((centers - cell).abs() < min(self.strides) / 4).all(dim=1).nonzero().squeeze(1)
                if not len(here):
                    continue
                at = candidates[here]
                overlaps[at] = torch.maximum(overlaps[at], fit[here])
                assigned[at[fit[here] > self.ignore_iou_thr]] = -1
                best.append((index, at[fit[here].argmax()]))
        for index, anchor in best:  # after all that is ignored: a box outweighs another one's near miss
            assigned[anchor] = index + 1
        labels = torch.full_like(assigned, -1)
        taken = assigned > 0
        labels[taken] = gt_instances.labels[assigned[taken] - 1]
        return AssignResult(len(boxes), assigned, overlaps, labels=labels)


def _shape_iou(box: torch.Tensor, anchors: torch.Tensor) -> torch.Tensor:
    """IoU (N,) of a box (4,) and anchors (N, 4), all laid on the same center."""
    size, sizes = box[2:] - box[:2], anchors[:, 2:] - anchors[:, :2]
    both = torch.minimum(size, sizes).prod(dim=1)
    return both / (size.prod() + sizes.prod(dim=1) - both)
