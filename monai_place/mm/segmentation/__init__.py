"""What needs MMSegmentation: dataset and inferencer for radiographs, a decode head."""

from __future__ import annotations

import monai_place.mm  # noqa: F401 (puts the operators in place before mmseg asks for them)
from monai_place.mm.segmentation.datasets import RadiographSegDataset
from monai_place.mm.segmentation.heads import TaperedPUPHead
from monai_place.mm.segmentation.inferencer import RadiographSegInferencer

__all__ = ["RadiographSegDataset", "RadiographSegInferencer", "TaperedPUPHead"]
