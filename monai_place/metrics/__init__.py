"""Classification, zero-shot and not, retrieval, grounding, bootstrap intervals, and the diagnostics of PLACE."""

from __future__ import annotations

from monai_place.metrics.bootstrap import BootstrapInterval, bootstrap_intervals, bootstrap_mean, weighted_mean
from monai_place.metrics.classification import ClassificationMeasures, measure_classification
from monai_place.metrics.diagnostics import (
    ImageVarianceMeter,
    SlotCosineMeter,
    explained_image_variance,
    slot_image_cosine,
    slot_usage_perplexity,
)
from monai_place.metrics.grounding import (
    GroundingScores,
    contrast_to_noise,
    grounding_scores,
    mean_threshold_iou,
    pointing_game,
    region_area,
)
from monai_place.metrics.location_prior import LocationPrior
from monai_place.metrics.operating import OperatingPoints, choose_operating_points
from monai_place.metrics.retrieval import (
    RetrievalResult,
    image_text_retrieval,
    precision_by_class,
    retrieval_ranks,
    retrieval_result,
)
from monai_place.metrics.zeroshot import ZeroShotAuroc, auroc_of_resamples, zero_shot_auroc, zero_shot_intervals

__all__ = [
    "BootstrapInterval",
    "ClassificationMeasures",
    "GroundingScores",
    "ImageVarianceMeter",
    "LocationPrior",
    "OperatingPoints",
    "RetrievalResult",
    "SlotCosineMeter",
    "ZeroShotAuroc",
    "auroc_of_resamples",
    "bootstrap_intervals",
    "bootstrap_mean",
    "choose_operating_points",
    "contrast_to_noise",
    "explained_image_variance",
    "grounding_scores",
    "image_text_retrieval",
    "mean_threshold_iou",
    "measure_classification",
    "pointing_game",
    "precision_by_class",
    "region_area",
    "retrieval_ranks",
    "retrieval_result",
    "slot_image_cosine",
    "slot_usage_perplexity",
    "weighted_mean",
    "zero_shot_auroc",
    "zero_shot_intervals",
]
