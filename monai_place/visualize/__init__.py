"""Curves, ROC and precision-recall plots, retrieval sheets, grounding overlays, the run report."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from monai_place.visualize.curves import plot_linear_probe, plot_loss_curves, plot_validation_curves
    from monai_place.visualize.diagnostics import (
        grounding_diagnostic,
        report_use_diagnostic,
        slot_sameness_diagnostic,
        slot_use_diagnostic,
        swapped_image_diagnostic,
    )
    from monai_place.visualize.downstream import DownstreamExample, DownstreamTask
    from monai_place.visualize.drafts import DraftExample, DraftScores, DraftSentence, judge_draft
    from monai_place.visualize.estimates import Estimate, as_estimate
    from monai_place.visualize.figures import save_figure
    from monai_place.visualize.inputs import (
        Diagnostic,
        GroundingExample,
        RetrievalExample,
        RetrievedItem,
        RocScores,
        RunReport,
    )
    from monai_place.visualize.overlay import heat_layer, overlay_heat, write_overlay
    from monai_place.visualize.report import render_run_report, write_run_report
    from monai_place.visualize.roc import plot_precision_recall, plot_roc
    from monai_place.visualize.sheets import plot_grounding_sheet, plot_retrieval_sheet

_HOMES = {
    "Diagnostic": "inputs",
    "DownstreamExample": "downstream",
    "DownstreamTask": "downstream",
    "DraftExample": "drafts",
    "DraftScores": "drafts",
    "DraftSentence": "drafts",
    "Estimate": "estimates",
    "GroundingExample": "inputs",
    "RetrievalExample": "inputs",
    "RetrievedItem": "inputs",
    "RocScores": "inputs",
    "RunReport": "inputs",
    "as_estimate": "estimates",
    "grounding_diagnostic": "diagnostics",
    "heat_layer": "overlay",
    "judge_draft": "drafts",
    "overlay_heat": "overlay",
    "plot_grounding_sheet": "sheets",
    "plot_linear_probe": "curves",
    "plot_loss_curves": "curves",
    "plot_precision_recall": "roc",
    "plot_retrieval_sheet": "sheets",
    "plot_roc": "roc",
    "plot_validation_curves": "curves",
    "render_run_report": "report",
    "report_use_diagnostic": "diagnostics",
    "save_figure": "figures",
    "slot_sameness_diagnostic": "diagnostics",
    "slot_use_diagnostic": "diagnostics",
    "swapped_image_diagnostic": "diagnostics",
    "write_overlay": "overlay",
    "write_run_report": "report",
}

__all__ = [
    "Diagnostic",
    "DownstreamExample",
    "DownstreamTask",
    "DraftExample",
    "DraftScores",
    "DraftSentence",
    "Estimate",
    "GroundingExample",
    "RetrievalExample",
    "RetrievedItem",
    "RocScores",
    "RunReport",
    "as_estimate",
    "grounding_diagnostic",
    "heat_layer",
    "judge_draft",
    "overlay_heat",
    "plot_grounding_sheet",
    "plot_linear_probe",
    "plot_loss_curves",
    "plot_precision_recall",
    "plot_retrieval_sheet",
    "plot_roc",
    "plot_validation_curves",
    "render_run_report",
    "report_use_diagnostic",
    "save_figure",
    "slot_sameness_diagnostic",
    "slot_use_diagnostic",
    "swapped_image_diagnostic",
    "write_overlay",
    "write_run_report",
]


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `import monai_place.visualize` needs no Matplotlib."""
    if name in _HOMES:
        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
