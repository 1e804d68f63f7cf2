"""What MONAI's trainer and evaluator need from this project: data order, batch preparation, handlers, exact resume."""

from __future__ import annotations

from monai_place.engines.checkpoint import CorruptCheckpointError, load_training_state, save_training_state
from monai_place.engines.checkpoint_manager import CheckpointManager
from monai_place.engines.dataset import StudyDataset, StudyError
from monai_place.engines.diagnostics import PretrainingDiagnostics
from monai_place.engines.distribution import distribute_network, freeze_untrained_parameters
from monai_place.engines.handlers import (
    EXIT_RESUMABLE,
    BestModelFolderHandler,
    BestModelHandler,
    DiagnosticsHandler,
    ExactCheckpointHandler,
    FiniteMetricComparison,
    GradientPolicyHandler,
    HandlerGroup,
    PreemptionHandler,
    SkippedStudiesHandler,
    StudyLossMetric,
    TrainingCurvesHandler,
    TrainingHistoryHandler,
    TrainingProgressHandler,
    read_history,
)
from monai_place.engines.loader import study_loader
from monai_place.engines.optimizer import build_adamw, parameter_groups
from monai_place.engines.prepare import AutocastInferer, PrepareStudyBatch, TermsLoss, loss_terms, prepare_study_batch
from monai_place.engines.random_state import (
    capture_random_state,
    derive_seed,
    isolated_random,
    restore_random_state,
)
from monai_place.engines.ranks import run_on_first_rank
from monai_place.engines.sampling import StudySampler
from monai_place.engines.schedule import IterationScheduleHandler, build_warmup_cosine, warmup_cosine_factor
from monai_place.engines.setup import build_place_model, fast_autocast, fit_report_tokenizer
from monai_place.engines.steps import NonFiniteLossError

__all__ = [
    "EXIT_RESUMABLE",
    "AutocastInferer",
    "BestModelFolderHandler",
    "BestModelHandler",
    "CheckpointManager",
    "CorruptCheckpointError",
    "DiagnosticsHandler",
    "ExactCheckpointHandler",
    "FiniteMetricComparison",
    "GradientPolicyHandler",
    "HandlerGroup",
    "IterationScheduleHandler",
    "NonFiniteLossError",
    "PreemptionHandler",
    "PrepareStudyBatch",
    "PretrainingDiagnostics",
    "SkippedStudiesHandler",
    "StudyDataset",
    "StudyError",
    "StudyLossMetric",
    "StudySampler",
    "TermsLoss",
    "TrainingCurvesHandler",
    "TrainingHistoryHandler",
    "TrainingProgressHandler",
    "build_adamw",
    "build_place_model",
    "build_warmup_cosine",
    "capture_random_state",
    "derive_seed",
    "distribute_network",
    "fast_autocast",
    "fit_report_tokenizer",
    "freeze_untrained_parameters",
    "isolated_random",
    "load_training_state",
    "loss_terms",
    "parameter_groups",
    "prepare_study_batch",
    "read_history",
    "restore_random_state",
    "run_on_first_rank",
    "save_training_state",
    "study_loader",
    "warmup_cosine_factor",
]
