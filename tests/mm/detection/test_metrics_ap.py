"""Average precision, by hand, against pycocotools and MMDetection's own, and in the published way."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

import monai_place.mm  # noqa: F401

pytest.importorskip("mmdet", reason="MMDetection is not installed")

from mmdet.evaluation import CocoMetric
from mmengine.registry import METRICS
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from monai_place.mm.detection import RadiographAPMetric

Box = Sequence[float]
THRESHOLDS = [0.40, 0.45, 0.50, 0.55, 0.60, 0.65, 0.70, 0.75]
A, B = (10, 10, 50, 50), (60, 60, 90, 90)


def picture(
    truth: Sequence[tuple[int, Box]], found: Sequence[tuple[int, Box, float]], *, ignored: Sequence[int] = ()
) -> dict[str, Any]:
    """Return what MMDetection hands over of one picture: (label, box) of the truth, (label, box, score) as found."""
    return {
        "img_id": 7,  # the same for all: nothing may depend on it
        "ori_shape": (100, 100),
        "instances": [
            {"bbox": list(box), "bbox_label": label, "ignore_flag": int(number in ignored)}
            for number, (label, box) in enumerate(truth)
        ],
        "pred_instances": {
            "labels": torch.tensor([label for label, _, _ in found], dtype=torch.long),
            "bboxes": torch.tensor([box for _, box, _ in found], dtype=torch.float32).reshape(-1, 4),
            "scores": torch.tensor([score for _, _, score in found]),
        },
    }


def evaluate(pictures: Sequence[dict[str, Any]], classes: Sequence[str] = ("opacity",), **settings: Any) -> Any:
    metric = RadiographAPMetric(**settings)
    metric.dataset_meta = {"classes": tuple(classes)}
    for start in range(0, len(pictures), 3):
        metric.process({}, pictures[start : start + 3])
    return metric.evaluate(len(pictures))


def random_pictures(count: int = 40) -> list[dict[str, Any]]:
    """Return pictures of two classes: true boxes found more or less well, missed ones, false alarms, normals."""
    rng = np.random.default_rng(0)
    pictures = []
    for number in range(count):
        corners = rng.uniform(0, 60, (0 if number % 4 == 0 else rng.integers(1, 4), 2))
        truth = [(int(rng.integers(2)), (x, y, x + rng.uniform(10, 40), y + rng.uniform(10, 40))) for x, y in corners]
        found = [
            (label, np.array(box) + rng.normal(0, 3, 4), rng.uniform(0.3, 1))
            for label, box in truth
            if rng.random() < 0.8
        ]
        for x, y in rng.uniform(0, 60, (rng.integers(0, 3), 2)):
            found.append((int(rng.integers(2)), np.array([x, y, x + 20, y + 20]), rng.uniform(0, 0.8)))
        pictures.append(picture(truth, [(label, tuple(box), float(score)) for label, box, score in found]))
    return pictures


def by_pycocotools(pictures: Sequence[dict[str, Any]]) -> np.ndarray:
    """Return the precision (thresholds, recalls, classes, areas, limits) of pycocotools, used as its manual says."""
    truth, found = [], []
    for number, entry in enumerate(pictures, start=1):
        for instance in entry["instances"]:
            x0, y0, x1, y1 = instance["bbox"]
            box = {"bbox": [x0, y0, x1 - x0, y1 - y0], "area": (x1 - x0) * (y1 - y0), "iscrowd": 0}
            truth.append({"id": len(truth) + 1, "image_id": number, "category_id": instance["bbox_label"] + 1, **box})
        predicted = entry["pred_instances"]
        for box, score, label in zip(*(predicted[key].tolist() for key in ("bboxes", "scores", "labels")), strict=True):
            x0, y0, x1, y1 = box
            entry_found = {"image_id": number, "category_id": label + 1, "bbox": [x0, y0, x1 - x0, y1 - y0]}
            found.append({**entry_found, "score": score})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": number} for number in range(1, len(pictures) + 1)],
            "categories": [{"id": 1}, {"id": 2}],
            "annotations": truth,
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found), "bbox")
        evaluation.params.iouThrs = np.array(THRESHOLDS)
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"]


def test_perfect_predictions_score_1() -> None:
    pictures = [picture([(0, A), (0, B)], [(0, A, 0.9), (0, B, 0.8)]), picture([], [])]
    assert evaluate(pictures) == {"mAP": pytest.approx(1), "AP50": pytest.approx(1), "AP75": pytest.approx(1)}


def test_case_worked_by_hand() -> None:
    # Two boxes to find. Sorted by score: a hit, a false alarm, a hit. Precision by recall: 1 up to 0.5, 2/3 up to 1.
    # Of the 101 recalls 0, 0.01, ..., 1 the first 51 have precision 1, the other 50 have 2/3.
    pictures = [picture([(0, A)], [(0, A, 0.9), (0, B, 0.8)]), picture([(0, B)], [(0, B, 0.7)])]
    assert evaluate(pictures)["mAP"] == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_thresholds_are_those_of_the_protocol() -> None:
    # 40 x 40 against 40 x 24 inside it: IoU 0.6, a hit at 0.40 to 0.60, five of eight.
    pictures = [picture([(0, (10, 10, 50, 50))], [(0, (10, 10, 50, 34.001), 0.9)])]
    assert evaluate(pictures) == pytest.approx({"mAP": 5 / 8, "AP50": 1, "AP75": 0})
    assert evaluate(pictures, iou_thrs=[0.7]) == {"mAP": 0}


def test_equals_pycocotools_used_directly() -> None:
    pictures = random_pictures()
    precision = by_pycocotools(pictures)[:, :, :, 0, -1]
    found = evaluate(pictures, ("a", "b"), classwise=True)
    assert found["mAP"] == pytest.approx(precision.mean())
    assert found["AP50"] == pytest.approx(precision[2].mean())
    assert found["AP75"] == pytest.approx(precision[7].mean())
    assert [found["mAP.a"], found["mAP.b"]] == pytest.approx(precision.mean(axis=(0, 1)))
    assert 0.1 < found["mAP"] < 0.9


def test_equals_mmdets_metric_to_its_three_digits() -> None:
    pictures = [{**entry, "img_id": number} for number, entry in enumerate(random_pictures())]
    stock = CocoMetric(iou_thrs=np.array(THRESHOLDS), proposal_nums=(1, 10, 100))
    stock.dataset_meta = {"classes": ("a", "b")}
    stock.process({}, pictures)
    with contextlib.redirect_stdout(io.StringIO()):
        expected = stock.evaluate(len(pictures))
    assert evaluate(pictures, ("a", "b"))["mAP"] == pytest.approx(expected["coco/bbox_mAP"], abs=6e-4)


def test_false_alarms_on_normals_lower_clean_and_not_mgca() -> None:
    right = [picture([(0, A)], [(0, A, 0.8)])]
    alarms = [*right, picture([], [(0, B, 0.9)])]
    assert evaluate(alarms)["mAP"] < evaluate(right)["mAP"] == pytest.approx(1)
    assert evaluate(alarms, mode="mgca")["mAP"] == pytest.approx(1)


def test_complete_misses_lower_clean_and_not_mgca() -> None:
    # One of two found: precision 1 up to recall 0.5, which 51 of the 101 recalls are.
    pictures = [picture([(0, A)], [(0, A, 0.8)]), picture([(0, B)], [])]
    assert evaluate(pictures)["mAP"] == pytest.approx(51 / 101)
    assert evaluate(pictures, mode="mgca")["mAP"] == pytest.approx(1)


def test_a_box_missed_beside_one_found_counts_in_both_modes() -> None:
    pictures = [picture([(0, A), (0, B)], [(0, A, 0.8)])]
    assert evaluate(pictures)["mAP"] == evaluate(pictures, mode="mgca")["mAP"] == pytest.approx(51 / 101)


def test_scores_below_the_cut_go_first_in_mgca() -> None:
    pictures = [picture([(0, A), (0, B)], [(0, A, 0.5), (0, B, 0.49)]), picture([(0, A)], [(0, A, 0.3)])]
    assert evaluate(pictures)["mAP"] == pytest.approx(1)
    assert evaluate(pictures, mode="mgca")["mAP"] == pytest.approx(51 / 101)
    assert evaluate(pictures, mode="mgca", score_cut=0.2)["mAP"] == pytest.approx(1)
    assert evaluate(pictures, score_cut=0.4)["mAP"] < 0.7


def test_nothing_found_is_0_and_nothing_to_find_is_no_answer() -> None:
    missed, normal = picture([(0, A)], []), picture([], [(0, B, 0.9)])
    for mode in ("clean", "mgca"):
        assert evaluate([missed, normal], mode=mode)["mAP"] == 0
        assert math.isnan(evaluate([normal], mode=mode)["mAP"])


def test_a_class_without_truth_takes_no_part_in_the_mean() -> None:
    found = evaluate([picture([(0, A)], [(0, A, 0.9), (1, B, 0.9)])], ("a", "b"), classwise=True)
    assert found["mAP"] == found["mAP.a"] == pytest.approx(1)
    assert math.isnan(found["mAP.b"])


def test_a_box_of_another_class_is_no_hit() -> None:
    assert evaluate([picture([(0, A), (1, B)], [(1, A, 0.9)])], ("a", "b"))["mAP"] == 0


def test_ignored_boxes_are_neither_missed_nor_false_alarms() -> None:
    assert evaluate([picture([(0, A), (0, B)], [(0, A, 0.8), (0, B, 0.9)], ignored=[1])])["mAP"] == pytest.approx(1)
    assert evaluate([picture([(0, A), (0, B)], [(0, A, 0.8)], ignored=[1])])["mAP"] == pytest.approx(1)


def test_only_the_best_of_too_many_predictions_count() -> None:
    pictures = [picture([(0, A)], [(0, B, 0.9), (0, A, 0.8)])]
    assert evaluate(pictures)["mAP"] == pytest.approx(0.5)
    assert evaluate(pictures, max_detections=1)["mAP"] == 0


def test_one_evaluation_does_not_reach_the_next_and_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    metric = RadiographAPMetric(mode="mgca", prefix="lungs")
    metric.dataset_meta = {"classes": ("lung",)}
    for box, expected in ((A, 1), (B, 0)):
        metric.process({}, [picture([(0, A)], [(0, box, 0.9)])])
        assert metric.evaluate(1)["lungs/mAP"] == pytest.approx(expected)
    assert "Accumulating" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["RadiographAPMetric", "monai_place.RadiographAPMetric"])
def test_both_names_build_it(name: str) -> None:
    assert METRICS.build({"type": name, "mode": "mgca"}).score_cut == 0.5


def test_what_cannot_be_evaluated_is_refused() -> None:
    with pytest.raises(ValueError, match=r"mode must be one of .*, got 'paper'"):
        RadiographAPMetric(mode="paper")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"iou_thrs must be numbers above 0 and at most 1, got \[50\]"):
        RadiographAPMetric([50])
    entry = picture([], [])
    del entry["instances"]
    with pytest.raises(ValueError, match="add 'instances' to the meta_keys of PackDetInputs"):
        evaluate([entry])
