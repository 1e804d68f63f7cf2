"""Handlers for MONAI's trainer and evaluator."""

from __future__ import annotations

from monai_place.engines.handlers.best_model import BestModelHandler, FiniteMetricComparison
from monai_place.engines.handlers.checkpoints import ExactCheckpointHandler
from monai_place.engines.handlers.curves import TrainingCurvesHandler
from monai_place.engines.handlers.diagnostics import DiagnosticsHandler
from monai_place.engines.handlers.gradients import GradientPolicyHandler
from monai_place.engines.handlers.group import HandlerGroup
from monai_place.engines.handlers.history import TrainingHistoryHandler, read_history
from monai_place.engines.handlers.loss_metric import StudyLossMetric
from monai_place.engines.handlers.model_folder import BestModelFolderHandler
from monai_place.engines.handlers.preemption import EXIT_RESUMABLE, PreemptionHandler
from monai_place.engines.handlers.progress import TrainingProgressHandler
from monai_place.engines.handlers.skipped import SkippedStudiesHandler

__all__ = [
    "EXIT_RESUMABLE",
    "BestModelFolderHandler",
    "BestModelHandler",
    "DiagnosticsHandler",
    "ExactCheckpointHandler",
    "FiniteMetricComparison",
    "GradientPolicyHandler",
    "HandlerGroup",
    "PreemptionHandler",
    "SkippedStudiesHandler",
    "StudyLossMetric",
    "TrainingCurvesHandler",
    "TrainingHistoryHandler",
    "TrainingProgressHandler",
    "read_history",
]
