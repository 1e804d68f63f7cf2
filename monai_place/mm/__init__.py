"""PLACE for MMDetection and MMSegmentation: `custom_imports=dict(imports=['monai_place.mm'])`.

Importing this package puts the operators in place that `mmcv.ops` needs (compiled ones win where they are there), and
registers what needs no toolbox: the backbone, the neck, losses, the reading of radiographs, layer-wise decay.

What needs MMSegmentation lies in `monai_place.mm.segmentation`, what needs MMDetection in `monai_place.mm.detection`;
with the prefix `monai_place.` a type is found without any import.
"""

from __future__ import annotations

from monai_place.mm.ops import install

install()  # before anything below imports mmcv.ops

from monai_place.mm.dice import PerImageDiceMetric  # noqa: E402
from monai_place.mm.layer_decay import PLACELayerDecayConstructor  # noqa: E402
from monai_place.mm.loading import LoadRadiographFromFile, LoadRadiographMask  # noqa: E402
from monai_place.mm.losses import FocalLogDiceLoss  # noqa: E402
from monai_place.mm.placevit import PLACEViT  # noqa: E402
from monai_place.mm.pyramid import PLACEPyramid  # noqa: E402
from monai_place.mm.resume import ExactResumeHook, ResumableSampler, SeedSample  # noqa: E402
from monai_place.mm.validation_loss import ValidationLossHook  # noqa: E402
from monai_place.mm.visualization import RadiographVisualizationHook  # noqa: E402

__all__ = [
    "ExactResumeHook",
    "FocalLogDiceLoss",
    "LoadRadiographFromFile",
    "LoadRadiographMask",
    "PLACELayerDecayConstructor",
    "PLACEPyramid",
    "PLACEViT",
    "PerImageDiceMetric",
    "RadiographVisualizationHook",
    "ResumableSampler",
    "SeedSample",
    "ValidationLossHook",
]
