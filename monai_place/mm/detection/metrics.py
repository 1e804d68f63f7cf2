"""Average precision over the IoU thresholds 0.40:0.05:0.75, in the clean and in the published way."""

from __future__ import annotations

import contextlib
import io
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmengine.registry import METRICS as ROOT_METRICS
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from monai_place.registry import METRICS

__all__ = ["RadiographAPMetric"]

Mode: TypeAlias = Literal["clean", "mgca"]
PROTOCOL_THRESHOLDS = (0.40, 0.45, 0.50, 0.55, 0.60, 0.65, 0.70, 0.75)
SCORE_CUT = {"clean": 0.0, "mgca": 0.5}


@ROOT_METRICS.register_module()
@METRICS.register_module()
class RadiographAPMetric(BaseMetric):
    """COCO's average precision of boxes, averaged over IoU thresholds and classes, by pycocotools.

    The truth is `instances` of the data set, in pixels of the picture as predictions are; `PackDetInputs` hands it on
    with `meta_keys=(..., 'instances')`. Reported are `mAP`, `AP50` and `AP75` where those thresholds are among them,
    and `mAP.<class>`. What there is no truth for is NaN; a class without truth takes no part in the mean.

    Args:
        iou_thrs: the IoU thresholds.
        mode: `clean` evaluates all pictures. `mgca` repeats what published code does: predictions below the cut go
            first, and then every picture without a prediction is left out together with its truth, and every picture
            without truth together with its predictions, so that complete misses and false alarms on normals do not
            count. If no picture is left, but there was truth, the result is 0.
        score_cut: the lowest score that counts; None takes 0 in `clean` and 0.5 in `mgca`.
        max_detections: so many of each picture and class count, those of the highest scores.
        classwise: report each class, too.
        collect_device: `cpu` or `gpu`, see BaseMetric.
        prefix: of the names of the results.

    Raises:
        ValueError: an argument is out of range.
    """

    default_prefix = ""  # none, said on purpose

    def __init__(
        self,
        iou_thrs: Sequence[float] = PROTOCOL_THRESHOLDS,
        mode: Mode = "clean",
        *,
        score_cut: float | None = None,
        max_detections: int = 100,
        classwise: bool = False,
        collect_device: str = "cpu",
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if mode not in get_args(Mode):
            raise ValueError(f"mode must be one of {get_args(Mode)}, got {mode!r}")
        if not iou_thrs or not all(0 < threshold <= 1 for threshold in iou_thrs):
            raise ValueError(f"iou_thrs must be numbers above 0 and at most 1, got {list(iou_thrs)}")
        self.iou_thrs = np.array(sorted(iou_thrs))
        self.mode = mode
        self.score_cut = SCORE_CUT[mode] if score_cut is None else score_cut
        self.max_detections = max_detections
        self.classwise = classwise

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Keep the truth and the predictions of each picture.

        Raises:
            ValueError: a picture comes without truth.
        """
        for sample in data_samples:
            if "instances" not in sample:
                raise ValueError("a picture comes without truth: add 'instances' to the meta_keys of PackDetInputs")
            predicted = sample["pred_instances"]
            boxes, scores, labels = (_array(predicted[key]) for key in ("bboxes", "scores", "labels"))
            kept = scores >= self.score_cut
            truth = [
                (instance["bbox"], int(instance["bbox_label"]), int(instance.get("ignore_flag", 0)))
                for instance in sample["instances"]
            ]
            self.results.append({"truth": truth, "found": (boxes[kept], scores[kept], labels[kept])})

    def compute_metrics(self, results: list[dict[str, Any]]) -> dict[str, float]:
        """Evaluate all pictures, or those that mode `mgca` leaves."""
        classes = list((self.dataset_meta or {})["classes"])
        pictures = results
        if self.mode == "mgca":
            pictures = [picture for picture in results if picture["truth"] and len(picture["found"][1])]
            print_log(
                f"mode 'mgca' leaves out {len(results) - len(pictures)} of {len(results)} pictures without truth or "
                f"without a prediction of a score of at least {self.score_cut}",
                logger="current",
                level=logging.INFO,
            )
        precision: npt.NDArray[np.float64] = np.zeros((len(self.iou_thrs), len(classes)))
        if pictures or not any(picture["truth"] for picture in results):
            precision = _average_precision(pictures, len(classes), self.iou_thrs, self.max_detections)
        found = {"mAP": _mean(precision)}
        for percent in (50, 75):
            place = np.flatnonzero(np.isclose(self.iou_thrs, percent / 100))
            found |= {f"AP{percent}": _mean(precision[index]) for index in place}
        if self.classwise:
            found |= {f"mAP.{name}": _mean(precision[:, label]) for label, name in enumerate(classes)}
        return found


def _average_precision(
    pictures: Sequence[Mapping[str, Any]], classes: int, iou_thrs: npt.NDArray[np.float64], max_detections: int
) -> npt.NDArray[np.float64]:
    """Return (thresholds, classes); NaN for a class without truth."""
    truth: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for picture, entry in enumerate(pictures, start=1):
        truth += [
            _annotation(picture, label, box, iscrowd=ignored, number=len(truth) + number)
            for number, (box, label, ignored) in enumerate(entry["truth"], start=1)
        ]
        found += [
            _annotation(picture, int(label), box, score=float(score), number=len(found) + number)
            for number, (box, score, label) in enumerate(zip(*entry["found"], strict=True), start=1)
        ]
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints what it does
        evaluation = COCOeval(_coco(len(pictures), classes, truth), _coco(len(pictures), classes, found), "bbox")
        evaluation.params.iouThrs = iou_thrs
        evaluation.params.maxDets = [max_detections]
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, 0]  # (thresholds, recalls, classes)
    return np.where(precision > -1, precision, np.nan).mean(axis=1)


def _annotation(picture: int, label: int, box: Any, *, number: int, iscrowd: int = 0, **more: Any) -> dict[str, Any]:
    x0, y0, x1, y1 = map(float, box)
    width, height = x1 - x0, y1 - y0
    return {
        "id": number,  # from 1: pycocotools takes the number 0 for no match
        "image_id": picture,
        "category_id": label,
        "bbox": [x0, y0, width, height],
        "area": width * height,
        "iscrowd": iscrowd,
        **more,
    }


def _coco(pictures: int, classes: int, annotations: list[dict[str, Any]]) -> COCO:
    coco = COCO()
    coco.dataset = {
        "images": [{"id": picture} for picture in range(1, pictures + 1)],
        "categories": [{"id": label} for label in range(classes)],
        "annotations": annotations,
    }
    coco.createIndex()
    return coco


def _mean(precision: npt.NDArray[np.float64]) -> float:
    known = precision[~np.isnan(precision)]
    return float(known.mean()) if known.size else math.nan


def _array(values: Any) -> npt.NDArray[Any]:
    """A tensor, or MMDetection's boxes, as an array."""
    tensor = getattr(values, "tensor", values)
    return tensor.detach().cpu().numpy()
