"""Non-maximum suppression, hard and soft. Letters: N boxes."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
import torchvision
from torch import Tensor

from monai_place.mm.ops.plain import plainly, widened

__all__ = ["nms", "softnms"]

NAIVE, LINEAR = 0, 1

Array: TypeAlias = npt.NDArray[Any]


@plainly
def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Return the indices of the boxes that no better one overlaps by more than the threshold, the best first.

    Args:
        boxes: (N, 4) x0, y0, x1, y1.
        scores: (N,).
        iou_threshold: intersection over union above which the worse box goes.
        offset: 1 where the last pixel belongs to a box (a width is x1 - x0 + 1), else 0.
    """
    boxes = widened(boxes)
    # Sorted here as the compiled operator sorts, so that of equal scores the same one comes first.
    order = scores.sort(descending=True).indices
    boxes = boxes[order]
    if offset:
        boxes[:, 2:] += offset
    rank = torch.arange(len(boxes), 0, -1, dtype=boxes.dtype, device=boxes.device)
    # The compiled operator holds the threshold in single precision, and ties are decided there.
    return order[torchvision.ops.nms(boxes, rank, float(np.float32(iou_threshold)))]


@plainly
def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Lower the scores of boxes that better ones overlap, drop those below a limit, and return the others' indices.

    Which box is seen first among equals is as in the compiled operator, which fills a gap with the last box.

    Args:
        boxes: (N, 4) x0, y0, x1, y1, on the CPU as mmcv hands them over.
        scores: (N,).
        dets: (N, 5), filled with the boxes that stay and their new scores, in the order of the indices.
        iou_threshold: overlap from which methods 0 and 1 lower a score.
        sigma: width of method 2.
        min_score: a box is dropped when its score falls below it.
        method: 0 sets the score to zero, 1 takes 1 - overlap of it, 2 exp(-overlap^2 / sigma).
        offset: as in `nms`.
    """
    count = len(boxes)
    # x0, y0, x1, y1, score, area: one row each, so that a step reads contiguous memory.
    table = np.empty((6, count), dtype=widened(boxes).cpu().numpy().dtype)
    table[:4], table[4] = widened(boxes).t().cpu().numpy(), widened(scores).cpu().numpy()
    table[5] = (table[2] - table[0] + offset) * (table[3] - table[1] + offset)
    order = np.arange(count)
    step = 0
    while step < count:
        best = step + _best(table[4, step:count])
        table[:, [step, best]], order[[step, best]] = table[:, [best, step]], order[[best, step]]
        others = table[:, step + 1 : count]
        overlap = _overlap(table[:, step], others, offset)
        if method in (NAIVE, LINEAR):
            lowered = 0 * overlap if method == NAIVE else 1 - overlap
            others[4] *= np.where(overlap >= iou_threshold, lowered, 1)
        else:
            others[4] *= np.exp(-(overlap * overlap) / sigma)
        stay = ~(others[4] < min_score)
        left = int(stay.sum())
        gaps, last = np.flatnonzero(~stay[:left]), np.flatnonzero(stay[left:])[::-1] + left
        others[:, gaps] = others[:, last]
        order[step + 1 + gaps] = order[step + 1 + last]
        count = step + 1 + left
        step += 1
    dets[:count].copy_(torch.from_numpy(table[:5, :count].T))
    return torch.from_numpy(order[:count].copy())


def _best(scores: Array) -> int:
    """Return the place of the first largest score; one that is not a number is never larger, and never beaten."""
    best = int(scores.argmax())
    if np.isnan(scores[best]):
        best = 0 if np.isnan(scores[0]) else int(np.nanargmax(scores))
    return best


def _overlap(box: Array, others: Array, offset: int) -> Array:
    """Return intersection over union of one box (6,) with others (6, N), in rows as in `softnms`; 0 / 0 is NaN."""
    width = np.minimum(box[2], others[2]) - np.maximum(box[0], others[0]) + offset
    height = np.minimum(box[3], others[3]) - np.maximum(box[1], others[1]) + offset
    shared = np.maximum(width, 0) * np.maximum(height, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        overlap: Array = shared / (box[5] + others[5] - shared)
    return overlap
