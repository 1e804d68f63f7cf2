"""Losses: instance alignment, pathological-level alignment, correlation exploration, their sum; report tokens."""

from __future__ import annotations

from monai_place.losses.alignment import GlobalAlignmentLoss
from monai_place.losses.correlation import PatchCorrelationLoss
from monai_place.losses.gather import gather_across_ranks, local_offset
from monai_place.losses.observation import ObservationAlignmentLoss, observation_scores
from monai_place.losses.report import ReportTokenLoss
from monai_place.losses.total import PLACELoss

__all__ = [
    "GlobalAlignmentLoss",
    "ObservationAlignmentLoss",
    "PLACELoss",
    "PatchCorrelationLoss",
    "ReportTokenLoss",
    "gather_across_ranks",
    "local_offset",
    "observation_scores",
]
