"""PLACEPredictor: embed, classify, retrieve and ground from files. Not a medical device."""

from __future__ import annotations

from monai_place.inference.bundle import (
    add_prompt_bank,
    bundle_classifier,
    complete_bundle,
    evaluate_bundle,
    ground_folder,
    load_classifier_weights,
)
from monai_place.inference.classifier import PLACEFindingClassifier, ScoreMode
from monai_place.inference.collect import CollectedStudies, GroundingRow, collect_studies, fit_location_prior
from monai_place.inference.evaluate import evaluate_place, evaluate_studies
from monai_place.inference.export import (
    build_classifier,
    export_backbone,
    export_classifier,
    export_onnx,
    export_torchscript,
)
from monai_place.inference.findings_handlers import ClassifierWeightsHandler, FindingsWriterHandler
from monai_place.inference.fingerprint import model_fingerprint
from monai_place.inference.image_folder import ImageFolderDataset, image_records, require_images
from monai_place.inference.index import EmbeddingIndex, SearchResult
from monai_place.inference.loading import LoadedPLACE, find_model_folder, load_place
from monai_place.inference.predictor import PLACEPredictor, load
from monai_place.inference.probe import linear_probe_auroc, probe_features
from monai_place.inference.prompts import FindingPrompts, PromptSet, builtin_prompt_sets, load_prompts, prompts_for
from monai_place.inference.report_results import GeneratedReport, GeneratedReports, GeneratedSentence
from monai_place.inference.report_writer import ReportWriter, load_report_generator
from monai_place.inference.results import (
    Classification,
    FailedImage,
    FindingScores,
    GroundedSentence,
    ImageEmbeddings,
)
from monai_place.inference.text import TextEmbeddings, embed_reports, embed_sentences
from monai_place.inference.writers import write_findings_csv, write_findings_json, write_overlays

__all__ = [
    "Classification",
    "ClassifierWeightsHandler",
    "CollectedStudies",
    "EmbeddingIndex",
    "FailedImage",
    "FindingPrompts",
    "FindingScores",
    "FindingsWriterHandler",
    "GeneratedReport",
    "GeneratedReports",
    "GeneratedSentence",
    "GroundedSentence",
    "GroundingRow",
    "ImageEmbeddings",
    "ImageFolderDataset",
    "LoadedPLACE",
    "PLACEFindingClassifier",
    "PLACEPredictor",
    "PromptSet",
    "ReportWriter",
    "ScoreMode",
    "SearchResult",
    "TextEmbeddings",
    "add_prompt_bank",
    "build_classifier",
    "builtin_prompt_sets",
    "bundle_classifier",
    "collect_studies",
    "complete_bundle",
    "embed_reports",
    "embed_sentences",
    "evaluate_bundle",
    "evaluate_place",
    "evaluate_studies",
    "export_backbone",
    "export_classifier",
    "export_onnx",
    "export_torchscript",
    "find_model_folder",
    "fit_location_prior",
    "ground_folder",
    "image_records",
    "linear_probe_auroc",
    "load",
    "load_classifier_weights",
    "load_place",
    "load_prompts",
    "load_report_generator",
    "model_fingerprint",
    "probe_features",
    "prompts_for",
    "require_images",
    "write_findings_csv",
    "write_findings_json",
    "write_overlays",
]
