from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

METHODS = {"naive": 0, "linear": 1, "gaussian": 2}
COUNTS = [0, 1, 2, 7, 64, 257]


def random_boxes(count: int, *, seed: int, whole: bool = False) -> tuple[Tensor, Tensor]:
    """Draw boxes that overlap much, some of them twice, some void, with scores some of which are equal."""
    draw = torch.Generator().manual_seed(seed)
    corner = 40 * torch.rand(count, 2, generator=draw)
    boxes = torch.cat([corner, corner + 30 * torch.rand(count, 2, generator=draw)], dim=1)
    boxes[5::5] = boxes[:1].clone()
    boxes[3::7, 2:] = boxes[3::7, :2]
    scores = torch.rand(count, generator=draw).mul(50).round().div(50)
    return (boxes.round() if whole else boxes), scores


def soft(ext: Any, boxes: Tensor, scores: Tensor, **kwargs: Any) -> tuple[Tensor, Tensor]:
    dets = boxes.new_full((len(boxes), 5), -1)
    kept = ext.softnms(boxes.clone(), scores.clone(), dets, **kwargs)
    return dets[: len(kept)], kept


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.7, 1.0])
@pytest.mark.parametrize("count", COUNTS)
def test_nms_keeps_what_the_compiled_one_keeps(
    compiled: ModuleType, stand_in: ModuleType, count: int, threshold: float, offset: int
) -> None:
    for whole in (False, True):  # whole pixels make overlaps that lie on the threshold
        boxes, scores = random_boxes(count, seed=count, whole=whole)
        kept = stand_in.nms(boxes, scores, iou_threshold=threshold, offset=offset)
        assert kept.dtype == torch.int64
        torch.testing.assert_close(kept, compiled.nms(boxes, scores, iou_threshold=threshold, offset=offset))


@pytest.mark.parametrize("offset", [0, 1])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("count", COUNTS)
def test_soft_nms_keeps_and_scores_as_the_compiled_one(
    compiled: ModuleType, stand_in: ModuleType, count: int, method: str, offset: int
) -> None:
    for min_score in (0.0, 1e-3, 0.2):
        boxes, scores = random_boxes(count, seed=count)
        settings = {"iou_threshold": 0.3, "sigma": 0.5, "min_score": min_score, "method": METHODS[method]}
        dets, kept = soft(stand_in, boxes, scores, offset=offset, **settings)
        expected, expected_kept = soft(compiled, boxes, scores, offset=offset, **settings)
        assert kept.tolist() == expected_kept.tolist()
        # Two void boxes overlap by 0 / 0 in the compiled one, too.
        torch.testing.assert_close(dets, expected, rtol=1e-4, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_give_what_the_same_numbers_give_in_single(stand_in: ModuleType, dtype: torch.dtype) -> None:
    boxes, scores = (value.to(dtype) for value in random_boxes(64, seed=1, whole=True))
    kept = stand_in.nms(boxes, scores, iou_threshold=0.5, offset=0)
    assert torch.equal(kept, stand_in.nms(boxes.float(), scores.float(), iou_threshold=0.5, offset=0))
    settings = {"iou_threshold": 0.3, "sigma": 0.5, "min_score": 1e-3, "method": 1, "offset": 0}
    dets, kept = soft(stand_in, boxes, scores, **settings)
    expected, expected_kept = soft(stand_in, boxes.float(), scores.float(), **settings)
    assert dets.dtype == dtype
    assert torch.equal(kept, expected_kept)
    torch.testing.assert_close(dets.float(), expected, rtol=1e-2, atol=1e-2)


def test_nms_takes_boxes_in_half_with_scores_in_single(stand_in: ModuleType) -> None:
    # What a head under autocast hands over.
    boxes, scores = random_boxes(20, seed=2, whole=True)
    kept = stand_in.nms(boxes.half(), scores, iou_threshold=0.5, offset=0)
    assert torch.equal(kept, stand_in.nms(boxes, scores, iou_threshold=0.5, offset=0))


def test_nms_leaves_the_boxes_as_they_are(stand_in: ModuleType) -> None:
    boxes, scores = random_boxes(20, seed=3)
    before = boxes.clone()
    stand_in.nms(boxes, scores, iou_threshold=0.5, offset=1)
    assert torch.equal(boxes, before)


def test_public_nms_takes_arrays_limits_and_a_least_score(mmcv_ops: ModuleType) -> None:
    boxes, scores = random_boxes(30, seed=4)
    dets, kept = mmcv_ops.nms(boxes.numpy(), scores.numpy(), 0.5, score_threshold=0.2, max_num=5)
    assert isinstance(dets, np.ndarray)
    assert dets.shape == (5, 5)
    assert (dets[:, 4] > 0.2).all()
    assert (np.diff(dets[:, 4]) <= 0).all()
    np.testing.assert_array_equal(dets[:, :4], boxes.numpy()[kept])


@pytest.mark.parametrize("kind", ["nms", "soft_nms"])
@pytest.mark.parametrize("split_thr", [10000, 8])
def test_public_batched_nms_keeps_classes_apart(mmcv_ops: ModuleType, kind: str, split_thr: int) -> None:
    boxes, scores = random_boxes(60, seed=5)
    classes = torch.arange(60) % 3
    config = {"type": kind, "iou_threshold": 0.5, "split_thr": split_thr}
    dets, kept = mmcv_ops.batched_nms(boxes, scores, classes, config)
    alone = [
        mmcv_ops.batched_nms(boxes[classes == c], scores[classes == c], classes[classes == c], config) for c in range(3)
    ]
    assert len(dets) == sum(len(part) for part, _ in alone)
    found = {(int(c), *row) for c, row in zip(classes[kept], dets.numpy().round(4).tolist(), strict=True)}
    assert found == {(c, *row) for c, (part, _) in enumerate(alone) for row in part.numpy().round(4).tolist()}


def test_public_batched_nms_of_nothing_is_nothing(mmcv_ops: ModuleType) -> None:
    # mmcv takes the largest coordinate, which nothing has: mmdet asks only where there are boxes.
    dets, kept = mmcv_ops.nms(torch.zeros(0, 4), torch.zeros(0), 0.5)
    assert dets.shape == (0, 5)
    assert kept.shape == (0,)
    dets, kept = mmcv_ops.soft_nms(torch.zeros(0, 4), torch.zeros(0), 0.5)
    assert dets.shape == (0, 5)
    assert kept.shape == (0,)
