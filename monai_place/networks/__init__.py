"""Networks: image encoder, report encoder, observation extractor, correlation head, PLACE of them; report generator."""

from __future__ import annotations

from monai_place.networks.config import PLACEConfig
from monai_place.networks.correlation import (
    CorrelationHead,
    TokenCorrelationHead,
    feature_correlation,
    pixel_correlation,
)
from monai_place.networks.generation import GenerationSettings
from monai_place.networks.generator import GeneratorOutput, ReportGenerator
from monai_place.networks.generator_config import ReportGeneratorConfig
from monai_place.networks.grounding import grounding_maps
from monai_place.networks.image import ConvolutionalStem, RadiographEncoder
from monai_place.networks.observations import ObservationExtractor
from monai_place.networks.outputs import CorrelationOutput, ImageFeatures, PLACEOutput, ReportFeatures
from monai_place.networks.place import PLACEModel
from monai_place.networks.presets import PRESETS, place_preset
from monai_place.networks.report import ReportEncoder, pool_sentences, sentence_keys

__all__ = [
    "PRESETS",
    "ConvolutionalStem",
    "CorrelationHead",
    "CorrelationOutput",
    "GenerationSettings",
    "GeneratorOutput",
    "ImageFeatures",
    "ObservationExtractor",
    "PLACEConfig",
    "PLACEModel",
    "PLACEOutput",
    "RadiographEncoder",
    "ReportEncoder",
    "ReportFeatures",
    "ReportGenerator",
    "ReportGeneratorConfig",
    "TokenCorrelationHead",
    "feature_correlation",
    "grounding_maps",
    "pixel_correlation",
    "place_preset",
    "pool_sentences",
    "sentence_keys",
]
