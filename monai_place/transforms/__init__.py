"""MONAI dictionary transforms for studies: reading, text, geometry, augmentation."""

from __future__ import annotations

from monai_place.transforms.augment import (
    RadiographAffined,
    RadiographPose,
    RandRadiographAffined,
    pose_matrix,
    warp_image,
)
from monai_place.transforms.collate import StudyCollate, collate_studies
from monai_place.transforms.geometry import FitGeometry, FitRadiographd, fit_geometry, fit_image, unfit_image
from monai_place.transforms.images import image_transforms
from monai_place.transforms.intensity import (
    IntensityChange,
    NormalizeRadiographd,
    RadiographIntensityd,
    RandRadiographIntensityd,
    change_intensity,
)
from monai_place.transforms.load import LoadRadiographd
from monai_place.transforms.replay import ReplayableTransform, replay_transforms
from monai_place.transforms.text import RandSentencesd, SelectSentencesd, SplitReportd, TokenizeReportd

__all__ = [
    "FitGeometry",
    "FitRadiographd",
    "IntensityChange",
    "LoadRadiographd",
    "NormalizeRadiographd",
    "RadiographAffined",
    "RadiographIntensityd",
    "RadiographPose",
    "RandRadiographAffined",
    "RandRadiographIntensityd",
    "RandSentencesd",
    "ReplayableTransform",
    "SelectSentencesd",
    "SplitReportd",
    "StudyCollate",
    "TokenizeReportd",
    "change_intensity",
    "collate_studies",
    "fit_geometry",
    "fit_image",
    "image_transforms",
    "pose_matrix",
    "replay_transforms",
    "unfit_image",
    "warp_image",
]
