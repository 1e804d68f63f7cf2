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
from monai_place.transforms.reading import ImageReading, ReadImage
from monai_place.transforms.replay import ReplayableTransform, replay_transforms
from monai_place.transforms.steps import PictureMove, RadiographStepsd, picture_move
from monai_place.transforms.text import RandSentencesd, SelectSentencesd, SplitReportd, TokenizeReportd

__all__ = [
    "FitGeometry",
    "FitRadiographd",
    "ImageReading",
    "IntensityChange",
    "LoadRadiographd",
    "NormalizeRadiographd",
    "PictureMove",
    "RadiographAffined",
    "RadiographIntensityd",
    "RadiographPose",
    "RadiographStepsd",
    "RandRadiographAffined",
    "RandRadiographIntensityd",
    "RandSentencesd",
    "ReadImage",
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
    "picture_move",
    "pose_matrix",
    "replay_transforms",
    "unfit_image",
    "warp_image",
]
