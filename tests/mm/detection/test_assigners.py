"""Assignment at every scale, in numbers worked by hand, against MMDetection's own, and in its head."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import monai_place.mm  # noqa: F401

pytest.importorskip("mmdet", reason="MMDetection is not installed")

from mmdet.models.task_modules import GridAssigner, YOLOAnchorGenerator
from mmdet.registry import MODELS, TASK_UTILS
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData

from monai_place.mm.detection import EveryScaleGridAssigner

STRIDES = (32, 16, 8)
# Anchors of COCO's YOLOv3 at 224 pixels, as the protocol has them: x 224 / 416.
SIZES = [
    [(62.5, 48.5), (84.0, 106.6), (200.8, 175.5)],
    [(16.2, 32.8), (33.4, 24.2), (31.8, 64.1)],
    [(5.4, 7.0), (8.6, 16.2), (17.8, 12.4)],
]


@pytest.fixture(autouse=True)
def scope() -> None:
    init_default_scope("mmdet")


def head(assigner: dict[str, Any]) -> Any:
    """Return YOLO's head for one class with an assigner."""
    return MODELS.build(
        {
            "type": "YOLOV3Head",
            "num_classes": 1,
            "in_channels": [4, 4, 4],
            "out_channels": [4, 4, 4],
            "anchor_generator": {"type": "YOLOAnchorGenerator", "base_sizes": SIZES, "strides": list(STRIDES)},
            "train_cfg": {"assigner": assigner},
        }
    )


def scene(boxes: list[list[float]], size: int = 224) -> tuple[InstanceData, InstanceData, list[int]]:
    """Return anchors and truth as the head hands them over, and the number of anchors of each scale."""
    maps = [(size // stride, size // stride) for stride in STRIDES]
    generator = YOLOAnchorGenerator(strides=list(STRIDES), base_sizes=SIZES)
    priors = generator.grid_priors(maps, device="cpu")
    bboxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    flags = head({"type": "GridAssigner", "pos_iou_thr": 0.5, "neg_iou_thr": 0.5}).responsible_flags(
        maps, bboxes, "cpu"
    )
    truth = InstanceData(bboxes=bboxes, labels=torch.zeros(len(boxes), dtype=torch.long))
    anchors = InstanceData(priors=torch.cat(priors), responsible_flags=torch.cat(flags))
    return anchors, truth, [len(level) for level in priors]


def place(level: int, row: int, column: int, anchor: int, size: int = 224) -> int:
    """Return the index of an anchor among those of all scales."""
    before = sum((size // stride) ** 2 * 3 for stride in STRIDES[:level])
    return before + 3 * (row * (size // STRIDES[level]) + column) + anchor


def test_a_box_gets_the_best_anchor_of_its_cell_at_each_scale() -> None:
    # Center (70, 100): cells (3, 2) of 32 pixels, (6, 4) of 16, (12, 8) of 8. Size 30 x 60: IoU of shapes with
    # 62.5 x 48.5 is 1455 / 3376 = .43, with 84 x 106.6 1800 / 8954 = .20 -> anchor 0; with 31.8 x 64.1
    # 1800 / 2038 = .88 -> anchor 2; with 8.6 x 16.2 139 / 1800 = .08, with 17.8 x 12.4 221 / 1800 = .12 -> anchor 2.
    anchors, truth, _ = scene([[55, 70, 85, 130]])
    result = EveryScaleGridAssigner().assign(anchors, truth)
    expected = [place(0, 3, 2, 0), place(1, 6, 4, 2), place(2, 12, 8, 2)]
    assert (result.gt_inds == 1).nonzero().squeeze(1).tolist() == expected
    assert result.max_overlaps[expected].tolist() == pytest.approx([1455 / 3376.25, 0.883, 0.1226], abs=1e-3)
    assert (result.labels[expected] == 0).all()
    assert (result.labels >= 0).sum() == 3


def test_other_anchors_of_the_cell_that_fit_are_no_background() -> None:
    anchors, truth, _ = scene([[20, 20, 50, 42]])  # 30 x 22: 33.4 x 24.2 has .82, 17.8 x 12.4 .33, 62.5 x 48.5 .22
    loose = EveryScaleGridAssigner(ignore_iou_thr=0.1).assign(anchors, truth).gt_inds
    assert (EveryScaleGridAssigner().assign(anchors, truth).gt_inds == -1).sum() == 0
    cell = [place(1, 1, 2, anchor) for anchor in range(3)]
    assert loose[cell].tolist() == [-1, 1, -1]
    assert (loose[: place(1, 0, 0, 0)] == -1).sum() < 3
    elsewhere = torch.ones(len(loose), dtype=torch.bool)
    elsewhere[[place(level, *at, a) for level, at in enumerate([(0, 1), (1, 2), (3, 4)]) for a in range(3)]] = False
    assert (loose[elsewhere] == 0).all()


def test_mmdets_assigner_takes_one_scale_where_ours_takes_all() -> None:
    # The second box lies around the center of a cell: MMDetection compares anchors at their place, not shapes alone.
    anchors, truth, levels = scene([[55, 70, 85, 130], [104, 21, 112, 35]])
    stock = GridAssigner(pos_iou_thr=0.5, neg_iou_thr=0.5).assign(anchors, truth)
    ours = EveryScaleGridAssigner().assign(anchors, truth)

    def scales(gt_inds: torch.Tensor, box: int) -> list[int]:
        return [int((part == box).sum()) for part in gt_inds.split(levels)]

    assert [scales(stock.gt_inds, box) for box in (1, 2)] == [[0, 1, 0], [0, 0, 1]]
    assert [scales(ours.gt_inds, box) for box in (1, 2)] == [[1, 1, 1], [1, 1, 1]]
    # Where both assign they agree: the best of all scales is the best of its scale.
    taken = stock.gt_inds > 0
    assert (ours.gt_inds[taken] == stock.gt_inds[taken]).all()


def test_the_later_of_two_boxes_that_want_the_same_anchor_gets_it() -> None:
    anchors, truth, _ = scene([[55, 70, 85, 130], [56, 70, 86, 130]])
    result = EveryScaleGridAssigner().assign(anchors, truth)
    assert set(result.gt_inds.unique().tolist()) == {0, 2}
    assert result.num_gts == 2


def test_a_best_anchor_outweighs_the_near_miss_of_another_box() -> None:
    anchors, truth, _ = scene([[55, 84, 85, 116], [55, 70, 85, 130]])  # 30 x 32 and 30 x 60 in the same cell
    for order in ([0, 1], [1, 0]):
        result = EveryScaleGridAssigner(ignore_iou_thr=0.3).assign(anchors, truth[order])
        assert {1, 2} <= set(result.gt_inds.unique().tolist())


def test_no_boxes_are_all_background() -> None:
    anchors, truth, _ = scene([])
    result = EveryScaleGridAssigner().assign(anchors, truth)
    assert (result.gt_inds == 0).all()
    assert (result.labels == -1).all()


def test_maps_that_are_not_square_and_a_box_in_the_last_cell() -> None:
    maps = [(2, 4), (4, 8), (8, 16)]
    priors = YOLOAnchorGenerator(strides=list(STRIDES), base_sizes=SIZES).grid_priors(maps, device="cpu")
    truth = InstanceData(bboxes=torch.tensor([[110.0, 50.0, 127.0, 63.0]]), labels=torch.zeros(1, dtype=torch.long))
    built = head({"type": "monai_place.EveryScaleGridAssigner"})
    flags = built.responsible_flags(maps, truth.bboxes, "cpu")
    anchors = InstanceData(priors=torch.cat(priors), responsible_flags=torch.cat(flags))
    result = built.assigner.assign(anchors, truth)
    assert [int((part == 1).sum()) for part in result.gt_inds.split([len(level) for level in priors])] == [1, 1, 1]


@pytest.mark.parametrize(
    ("assigner", "scales"),
    [
        pytest.param(
            {"type": "monai_place.EveryScaleGridAssigner", "strides": [32, 16, 8]}, [True, True, True], id="ours"
        ),
        pytest.param(
            {"type": "GridAssigner", "pos_iou_thr": 0.5, "neg_iou_thr": 0.5}, [False, True, False], id="mmdet's"
        ),
    ],
)
def test_the_head_learns_the_box_at_the_scales_it_is_assigned_at(assigner: dict[str, Any], scales: list[bool]) -> None:
    built = head(assigner)
    _, truth, _ = scene([[55, 70, 85, 130]])
    generator = torch.Generator().manual_seed(0)
    features = [torch.randn(1, 4, 224 // stride, 224 // stride, generator=generator) for stride in STRIDES]
    losses = built.loss_by_feat(built(features)[0], [truth], [{"img_shape": (224, 224)}])
    total = sum(sum(values) for values in losses.values())
    total.backward()
    assert total.isfinite()
    assert [loss.item() > 0 for loss in losses["loss_xy"]] == scales  # of background no place is learnt


@pytest.mark.parametrize("name", ["EveryScaleGridAssigner", "monai_place.EveryScaleGridAssigner"])
def test_both_names_build_it(name: str) -> None:
    assert isinstance(TASK_UTILS.build({"type": name}), EveryScaleGridAssigner)


@pytest.mark.parametrize("strides", [(), (8, 8), (24, 8), (0, 8), (-8,)])
def test_strides_that_cannot_be_told_apart_are_refused(strides: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="strides must be even multiples of each other, above 0, got"):
        EveryScaleGridAssigner(strides)
