"""RadGraph F1 and CheXbert through RadEval, where the user has it; its models are the user's to fetch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from monai.utils import optional_import

__all__ = ["RAD_EVAL_SCORES", "rad_eval_scores"]

RAD_EVAL_SCORES = ("radgraph", "chexbert")


def rad_eval_scores(
    references: Sequence[str], written: Sequence[str], scores: Sequence[str] = RAD_EVAL_SCORES
) -> dict[str, Any]:
    """Return what RadEval computes; nothing of it is installed or fetched by monai-place.

    RadEval loads models (RadGraph-XL, CheXbert) of the Hugging Face hub at first use: fetch them before, and set
    `HF_HUB_OFFLINE=1`, where no text and no name may leave the machine. The models run here.

    Args:
        references: B reports.
        written: B reports.
        scores: of `radgraph` and `chexbert`.

    Raises:
        ValueError: a score is unknown, or the lists have different lengths.
        ImportError: RadEval is not installed.
    """
    if unknown := sorted(set(scores) - set(RAD_EVAL_SCORES)):
        raise ValueError(f"scores must be of {RAD_EVAL_SCORES}, got {unknown}")
    if len(references) != len(written):
        raise ValueError(f"references and written must have one length, got {len(references)} and {len(written)}")
    rad_eval, there = optional_import("RadEval", name="RadEval")
    if not there:
        raise ImportError(
            "RadGraph F1 and CheXbert need RadEval, which is not installed: pip install RadEval, and see its page for "
            "the models that it fetches. The findings of ReportLabeller need neither."
        )
    evaluator = rad_eval(**{f"do_{name}": True for name in scores})
    return dict(evaluator(refs=list(references), hyps=list(written)))
