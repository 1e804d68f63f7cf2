"""The numbers of a pretrained model on a split, with bootstrap intervals over studies. Not a medical device."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from monai_place.data.class_draws import draw_per_class, single_classes
from monai_place.inference.class_retrieval import class_prompts, drawn_classes, retrieval_5x200
from monai_place.inference.collect import CollectedStudies, GroundingRow, collect_studies
from monai_place.inference.labels import label_table
from monai_place.inference.loading import LoadedPLACE
from monai_place.inference.prompts import PromptSet
from monai_place.inference.writers import NOTE
from monai_place.metrics.bootstrap import BootstrapInterval, bootstrap_mean
from monai_place.metrics.location_prior import LocationPrior
from monai_place.metrics.retrieval import KS, precision_by_class, retrieval_ranks, retrieval_result
from monai_place.metrics.zeroshot import zero_shot_auroc, zero_shot_intervals

__all__ = ["evaluate_place", "evaluate_studies"]

GROUNDING_NAMES = ("pointing", "contrast_to_noise", "signed_contrast_to_noise", "miou")


def evaluate_place(
    loaded: LoadedPLACE,
    records: Sequence[Mapping[str, Any]],
    *,
    classes: Sequence[str] | None = None,
    prompts: PromptSet | None = None,
    prior: LocationPrior | None = None,
    batch_size: int = 64,
    bootstrap: int = 1000,
    seed: int = 0,
    per_class: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Measure retrieval, zero-shot classification, grounding and the diagnostics of pretraining.

    Args:
        loaded: the model.
        records: from `monai_place.data.load_records`.
        classes: names of the entries of `label`; None takes those of the model.
        prompts: see `collect_studies`.
        prior: from `fit_location_prior`, on training records, to stand beside the grounding.
        batch_size: studies at a time.
        bootstrap: resamples.
        seed: of the bootstrap.
        per_class: measure retrieval by class, too, on draws of so many studies of each: 200 is the 5x200 protocol.
        progress: called with (studies done, studies in all).

    Returns:
        Plain JSON values, see `evaluate_studies`; with `per_class` also `class_retrieval`, see `retrieval_5x200`.

    Raises:
        ValueError: there are no records, their labels do not fit the classes, or a class has too few studies to draw.
    """
    names = loaded.classes if classes is None else tuple(classes)
    if per_class is not None:  # before the work, not after it
        draw_per_class(single_classes(label_table(records, names).tolist(), names), drawn_classes(names), per_class)
    collected = collect_studies(
        loaded, records, classes=classes, prompts=prompts, prior=prior, batch_size=batch_size, progress=progress
    )
    values = evaluate_studies(collected, bootstrap=bootstrap, seed=seed)
    if per_class is not None:
        patients = {str(record.get("id", place)): record.get("patient_id") for place, record in enumerate(records)}
        values["class_retrieval"] = retrieval_5x200(
            collected.images,
            None if collected.reports.isnan().all() else collected.reports,
            collected.labels,
            collected.ids,
            classes=collected.classes,
            per_class=per_class,
            reports=collected.report_texts,
            patients=[patients[name] or name for name in collected.ids],
            prompts=class_prompts(loaded.model, loaded.tokenizer, drawn_classes(names)),
            bootstrap=bootstrap,
            seed=seed,
        )
    return values


def evaluate_studies(collected: CollectedStudies, *, bootstrap: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Sum up what was collected; None stands for a number that is not defined.

    Args:
        collected: from `collect_studies`.
        bootstrap: resamples.
        seed: of the bootstrap.

    Returns:
        `studies`, `studies_with_text`, `reports_cut` (longer than the model reads), `failed` (with reasons),
        `retrieval` (both directions: R@k and Precision@k, median rank, intervals of R@k, and how many studies
        have the report of another one word for word: either is a right answer), `zero_shot` (global, local,
        mean: AUROC by finding and macro, each with its interval; where exactly one class is true of each study, also
        the `accuracy` of the likeliest class), `grounding` (each number for the model, the location
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
    holders = Counter(texts)
    known = labels.shape[1] > 0 and not labels.isnan().all()
    values: dict[str, Any] = {}
    for name, (queries, gallery) in {"image_to_text": (images, reports), "text_to_image": (reports, images)}.items():
        ranks = retrieval_ranks(queries, gallery, query_keys=texts, gallery_keys=texts)
        precision = precision_by_class(queries, gallery, labels, labels, classes=collected.classes) if known else None
        result = retrieval_result(ranks, gallery=len(gallery), precision_of=precision)
        intervals = {f"recall_at_{k}": bootstrap_mean((ranks <= k).double().numpy(), **options).to_dict() for k in KS}
        identical = sum(holders[text] > 1 for text in texts)
        values[name] = result.to_dict() | {"identical_reports": identical, "intervals": intervals}
    return values


def _zero_shot(scores: torch.Tensor, collected: CollectedStudies, options: dict[str, Any]) -> dict[str, Any]:
    if collected.labels.isnan().all():
        return {}
    findings = list(collected.classes)
    intervals = zero_shot_intervals(scores, collected.labels, findings=findings, **options)
    counts = zero_shot_auroc(scores, collected.labels, findings=findings)
    values = {
        "macro": intervals["macro"].to_dict(),
        "per_finding": {name: intervals[name].to_dict() for name in findings},
        "positives": dict(counts.positives),
        "negatives": dict(counts.negatives),
    }
    hits = _top_class_hits(scores, collected.labels)
    return values if hits is None else values | {"accuracy": bootstrap_mean(hits, **options).to_dict()}


def _top_class_hits(scores: torch.Tensor, labels: torch.Tensor) -> list[float] | None:
    """Return 1 where the class of the highest score is the true one, NaN where nothing is known.

    The softmax over the classes does not change which is the highest. None where the classes do not exclude each other.
    """
    known = ~labels.isnan().any(dim=1)
    blank = labels.isnan().all(dim=1)
    exclusive = bool((known | blank).all()) and bool((labels[known].sum(dim=1) == 1).all())
    if labels.shape[1] < 2 or not exclusive or not known.any():
        return None
    hits = (scores.argmax(dim=1) == labels.nan_to_num().argmax(dim=1)).double()
    return hits.masked_fill(~known, torch.nan).tolist()


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
