"""What needs MMDetection: dataset and inferencer for radiographs, average precision, YOLO assignment at every scale."""

from __future__ import annotations

import monai_place.mm  # noqa: F401 (puts the operators in place before mmdet asks for them)
from monai_place.mm.detection.assigners import EveryScaleGridAssigner
from monai_place.mm.detection.datasets import RadiographDetDataset
from monai_place.mm.detection.inferencer import RadiographDetInferencer
from monai_place.mm.detection.metrics import RadiographAPMetric

__all__ = ["EveryScaleGridAssigner", "RadiographAPMetric", "RadiographDetDataset", "RadiographDetInferencer"]
