"""The numbers of a pretrained model on a split, with bootstrap intervals over studies. Not a medical device."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from monai_place.inference.collect import CollectedStudies, GroundingRow, collect_studies
from monai_place.inference.loading import LoadedPLACE
from monai_place.inference.writers import NOTE
from monai_place.metrics.bootstrap import BootstrapInterval, bootstrap_mean
from monai_place.metrics.location_prior import LocationPrior
from monai_place.metrics.retrieval import KS, image_text_retrieval, retrieval_ranks
from monai_place.metrics.zeroshot import zero_shot_auroc, zero_shot_intervals

__all__ = ["evaluate_place", "evaluate_studies"]

GROUNDING_NAMES = ("pointing", "contrast_to_noise", "signed_contrast_to_noise", "miou")


def evaluate_place(
    loaded: LoadedPLACE,
    records: Sequence[Mapping[str, Any]],
    *,
    classes: Sequence[str] | None = None,
    prior: LocationPrior | None = None,
    batch_size: int = 64,
    bootstrap: int = 1000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Measure retrieval, zero-shot classification, grounding and the diagnostics of pretraining.

    Args:
        loaded: the model.
        records: from `monai_place.data.load_records`.
        classes: names of the entries of `label`; None takes those of the model.
        prior: from `fit_location_prior`, on training records, to stand beside the grounding.
        batch_size: studies at a time.
        bootstrap: resamples.
        seed: of the bootstrap.
        progress: called with (studies done, studies in all).

    Returns:
        Plain JSON values, see `evaluate_studies`.

    Raises:
        ValueError: there are no records, or their labels do not fit the classes.
    """
    collected = collect_studies(loaded, records, classes=classes, prior=prior, batch_size=batch_size, progress=progress)
    return evaluate_studies(collected, bootstrap=bootstrap, seed=seed)


def evaluate_studies(collected: CollectedStudies, *, bootstrap: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Sum up what was collected; None stands for a number that is not defined.

    Args:
        collected: from `collect_studies`.
        bootstrap: resamples.
        seed: of the bootstrap.

    Returns:
        `studies`, `studies_with_text`, `reports_cut` (longer than the model reads), `failed` (with reasons),
        `retrieval` (both directions: R@k and Precision@k, median rank, intervals of R@k), `zero_shot` (global, local,
        mean: AUROC by finding and macro, each with its interval), `grounding` (each number for the model, the location
        prior and, for pointing, chance), `diagnostics`, `note`.
    """
    options: dict[str, Any] = {"resamples": bootstrap, "seed": seed}
    return {
        "note": NOTE,
        "studies": len(collected.ids),
        "studies_with_text": int((~collected.reports.isnan().any(dim=1)).sum()),
        "reports_cut": collected.reports_cut,
        "failed": [{"source": failure.source, "reason": failure.reason} for failure in collected.failed],
        "bootstrap": {"resamples": bootstrap, "seed": seed, "confidence": 0.95},
        "retrieval": _retrieval(collected, options),
        "zero_shot": {mode: _zero_shot(scores, collected, options) for mode, scores in collected.scores.items()},
        "grounding": _grounding(collected.grounding, options),
        "diagnostics": {name: _json(value) for name, value in collected.diagnostics.items()},
    }


def _retrieval(collected: CollectedStudies, options: dict[str, Any]) -> dict[str, Any]:
    has_text = ~collected.reports.isnan().any(dim=1)
    if not has_text.any():
        return {}
    images, reports, labels = collected.images[has_text], collected.reports[has_text], collected.labels[has_text]
    texts = [" ".join(text.split()) for text, chosen in zip(collected.report_texts, has_text, strict=True) if chosen]
    known = labels.shape[1] > 0 and not labels.isnan().all()
    results = image_text_retrieval(
        images,
        reports,
        reports=texts,
        labels=labels if known else None,
        classes=collected.classes if known else None,
    )
    sides = {"image_to_text": (images, reports), "text_to_image": (reports, images)}
    values: dict[str, Any] = {}
    for name, (queries, gallery) in sides.items():
        ranks = retrieval_ranks(queries, gallery, query_keys=texts, gallery_keys=texts)
        intervals = {f"recall_at_{k}": bootstrap_mean((ranks <= k).double().numpy(), **options).to_dict() for k in KS}
        values[name] = results[name].to_dict() | {"intervals": intervals}
    return values


def _zero_shot(scores: torch.Tensor, collected: CollectedStudies, options: dict[str, Any]) -> dict[str, Any]:
    if collected.labels.isnan().all():
        return {}
    findings = list(collected.classes)
    intervals = zero_shot_intervals(scores, collected.labels, findings=findings, **options)
    counts = zero_shot_auroc(scores, collected.labels, findings=findings)
    return {
        "macro": intervals["macro"].to_dict(),
        "per_finding": {name: intervals[name].to_dict() for name in findings},
        "positives": dict(counts.positives),
        "negatives": dict(counts.negatives),
    }


def _grounding(rows: Sequence[GroundingRow], options: dict[str, Any]) -> dict[str, Any]:
    if not rows:
        return {}
    studies = [row.study for row in rows]

    def mean(pick: Callable[[GroundingRow], float]) -> dict[str, Any]:
        interval: BootstrapInterval = bootstrap_mean([pick(row) for row in rows], groups=studies, **options)
        return interval.to_dict()

    values: dict[str, Any] = {"sentences": len(rows), "studies": len(set(studies))}
    for name in GROUNDING_NAMES:
        values[name] = {"model": mean(lambda row, name=name: row.model[name])}  # type: ignore[misc]
        if all(row.prior for row in rows):
            values[name]["prior"] = mean(lambda row, name=name: row.prior[name])  # type: ignore[misc]
    values["pointing"]["chance"] = mean(lambda row: row.model["area"])
    by_finding: dict[str, list[GroundingRow]] = {}
    for row in rows:
        by_finding.setdefault(row.finding, []).append(row)
    values["pointing_by_finding"] = {
        finding: {
            "sentences": len(group),
            "model": _mean([row.model["pointing"] for row in group]),
            "prior": _mean([row.prior["pointing"] for row in group if row.prior]),
        }
        for finding, group in sorted(by_finding.items())
    }
    return values


def _mean(values: Sequence[float]) -> float | None:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else None


def _json(value: float) -> float | None:
    return value if math.isfinite(value) else None
