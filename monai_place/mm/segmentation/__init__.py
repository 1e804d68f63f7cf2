"""What needs MMSegmentation: the dataset that reads a datalist, a decode head."""

from __future__ import annotations

import monai_place.mm  # noqa: F401 (puts the operators in place before mmseg asks for them)
from monai_place.mm.segmentation.datasets import RadiographSegDataset
from monai_place.mm.segmentation.heads import TaperedPUPHead

__all__ = ["RadiographSegDataset", "TaperedPUPHead"]
