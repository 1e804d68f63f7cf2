"""The parts of the run report as plain values for its template: numbers written, figures drawn, pictures embedded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from monai_place.visualize.curves import plot_linear_probe, plot_loss_curves, plot_validation_curves
from monai_place.visualize.downstream import build_downstream
from monai_place.visualize.drafts import build_drafts
from monai_place.visualize.estimates import NOTHING, Estimate, as_estimate, format_number
from monai_place.visualize.figures import as_labels, panel_columns
from monai_place.visualize.history import history_rows, loss_terms_of, validation_terms_of
from monai_place.visualize.inputs import Diagnostic, GroundingExample, RetrievalExample, RocScores, RunReport
from monai_place.visualize.pictures import embed_heat, embed_image, outline_path
from monai_place.visualize.roc import finding_auroc, plot_roc
from monai_place.visualize.sheets import rank_line, score_line, shorten
from monai_place.visualize.svg import figure_to_svg
from monai_place.visualize.theme import SERIES

__all__ = ["build_page", "flatten"]

MOST_RETRIEVAL, MOST_GROUNDING = 6, 8  # examples on the page, which stays small
_THUMBNAIL, _PICTURE, _HEAT = 176, 288, 112  # longer side in pixels


def build_page(report: RunReport, *, show_text: bool) -> dict[str, Any]:
    """Turn the inputs of a report into what its template shows; a part without content is None or empty.

    Args:
        report: the inputs.
        show_text: hand over texts of reports.
    """
    history = list(report.history)
    grounding = report.grounding_examples[:MOST_GROUNDING]
    return {
        "title": report.title,
        "subtitle": report.subtitle,
        "data_note": report.data_note.rstrip("."),
        "tile_columns": panel_columns(len(report.metrics)),
        "tiles": [_number(name, value) for name, value in report.metrics.items()],
        "settings": flatten(report.settings),
        "versions": flatten(report.versions),
        "losses": _losses(history),
        "validation": _validation(history),
        "zero_shot": None if report.roc is None else _zero_shot(report.roc),
        "probe": _probe(report.linear_probe),
        "classification": _classification(report.classification),
        "diagnostics": [_diagnostic(diagnostic) for diagnostic in report.diagnostics],
        "retrieval": [
            _retrieval(example, show_text=show_text) for example in report.retrieval_examples[:MOST_RETRIEVAL]
        ],
        "retrieval_left": max(0, len(report.retrieval_examples) - MOST_RETRIEVAL),
        "grounding": [_grounding(example, show_text=show_text) for example in grounding],
        "grounding_left": max(0, len(report.grounding_examples) - MOST_GROUNDING),
        "drafts": build_drafts(report.drafts, report.draft_scores, show_text=show_text),
        "downstream": build_downstream(report.downstream),
        "has_prior": any(example.prior is not None for example in grounding),
        "has_outline": any(example.mask is not None for example in grounding),
        "has_gap": any(np.isnan(example.heat).any() for example in grounding),
        "notes": [str(note) for note in report.notes],
        "show_text": show_text,
    }


def flatten(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """List settings as (name, text); nested names are joined by points, what is not known is an en dash.

    Args:
        values: settings, possibly nested.
        prefix: put before each name.

    Example:
        >>> flatten({"lr": 5e-4, "loss": {"pcma_weight": 1}, "amp": False, "seed": None})
        [('lr', '0.0005'), ('loss.pcma_weight', '1'), ('amp', 'no'), ('seed', '–')]
    """
    rows = []
    for name, value in values.items():
        if isinstance(value, Mapping):
            rows += flatten(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", _write(value)))
    return rows


def _write(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return NOTHING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(_write(item) for item in value) or NOTHING
    return str(value)


def _svg(figure: Figure, label: str, prefix: str) -> Markup:
    return Markup(figure_to_svg(figure, label=label, prefix=prefix))  # noqa: S704  texts are escaped where they are drawn


def _number(name: str, value: Any) -> dict[str, Any]:
    estimate = as_estimate(value)
    return {
        "name": name,
        "number": estimate.number,
        "unit": estimate.unit,
        "text": estimate.text,
        "interval": estimate.interval,
        "note": estimate.note,
    }


def _losses(history: list[Mapping[str, Any]]) -> Markup | None:
    terms = loss_terms_of(history_rows(history))
    if not terms:
        return None
    return _svg(plot_loss_curves(history), f"Curves over the training run of {', '.join(terms)}", "loss")


def _validation(history: list[Mapping[str, Any]]) -> Markup | None:
    terms = validation_terms_of(history_rows(history))
    if not terms:
        return None
    return _svg(plot_validation_curves(history), f"Curves over the validation of {', '.join(terms)}", "validation")


def _zero_shot(data: RocScores) -> dict[str, Any]:
    auroc = finding_auroc(data)
    labels = np.asarray(data.labels, dtype=np.float64)
    everything = [estimate for estimates in auroc.values() for estimate in estimates]
    macro = {name: as_estimate(value) for name, value in data.macro.items()}
    axis = _axis([*everything, *macro.values()])
    rows = [
        {
            "name": name,
            "positive": str(int(np.nansum(labels[:, column]))),
            "known": str(int(np.isfinite(labels[:, column]).sum())),
            **_auroc_cells({way: auroc[way][column] for way in auroc}, axis),
        }
        for column, name in enumerate(as_labels(data.classes))
    ]
    average = {way: macro.get(way, Estimate(_mean([e.value for e in auroc[way]]))) for way in auroc}
    rows.append({"name": "Mean over findings", "positive": "", "known": "", **_auroc_cells(average, axis)})
    figure = plot_roc(data.scores, data.labels, classes=data.classes, intervals=auroc)
    return {
        "figure": _svg(figure, f"Zero-shot ROC curves of {', '.join(map(str, data.classes))}", "roc"),
        "curves_left": len(data.classes) - len(figure.axes),
        "ways": [{"name": way, "color": SERIES[number % len(SERIES)]} for number, way in enumerate(auroc)],
        "rows": rows,
        "axis": [{"x": _place(tick, axis), "text": f"{tick:g}".lstrip("0")} for tick in (0.5, 0.75, 1.0)],
        "has_intervals": any(estimate.has_interval for estimate in everything),
        "explain": {"global", "local"} <= set(auroc),
    }


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _axis(estimates: Sequence[Estimate]) -> tuple[float, float]:
    """Choose the ends of the intervals' axis: one half and 1 are always on it."""
    lows = [end for e in estimates for end in (e.value, e.low) if math.isfinite(end)]
    return math.floor(min([0.4, *lows]) * 10) / 10, 1.0


def _place(value: float, axis: tuple[float, float]) -> float:
    """Return where a value lies in a drawing 100 wide."""
    return round(100 * (value - axis[0]) / (axis[1] - axis[0]), 2)


def _auroc_cells(estimates: Mapping[str, Estimate], axis: tuple[float, float]) -> dict[str, Any]:
    marks = []
    for number, estimate in enumerate(estimates.values()):
        if math.isnan(estimate.value):
            continue
        ends = (estimate.low, estimate.high) if estimate.has_interval else (estimate.value, estimate.value)
        x1, x2 = (_place(end, axis) for end in ends)
        mark = {"x": _place(estimate.value, axis), "x1": x1, "x2": x2, "color": SERIES[number % len(SERIES)]}
        marks.append({**mark, "y": round(24 * (number + 1) / (len(estimates) + 1), 2)})
    half = _place(0.5, axis)
    return {"cells": [_number(name, estimate) for name, estimate in estimates.items()], "marks": marks, "half": half}


def _probe(results: Mapping[str, Mapping[Any, Any]]) -> dict[str, Any] | None:
    shares = sorted({float(share) for line in results.values() for share in line})
    if not shares:
        return None
    lines = {name: {float(share): as_estimate(v) for share, v in line.items()} for name, line in results.items()}
    blank = Estimate(math.nan)
    rows = [
        {"name": name, "cells": [_number("", line.get(share, blank)) for share in shares]}
        for name, line in lines.items()
    ]
    first, *others = lines.values()
    gains = [
        format_number(first.get(share, blank).value - others[0].get(share, blank).value, digits=3) for share in shares
    ] if others else []  # fmt: skip
    return {
        "figure": _svg(plot_linear_probe(lines), "Linear probe over the share of training labels", "probe"),
        "shares": [f"{100 * share:g} %" for share in shares],
        "rows": rows,
        "gains": [gain if gain.startswith(("\N{MINUS SIGN}", NOTHING)) else f"+{gain}" for gain in gains],
        "compared": list(lines)[:2],
        "has_intervals": any(estimate.has_interval for line in lines.values() for estimate in line.values()),
    }


def _classification(rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any] | None:
    measures = list(dict.fromkeys(measure for row in rows.values() for measure in row))
    if not measures:
        return None
    return {
        "measures": measures,
        "rows": [
            {"name": name, "cells": [_number(measure, row.get(measure)) for measure in measures]}
            for name, row in rows.items()
        ],
    }


def _diagnostic(diagnostic: Diagnostic) -> dict[str, Any]:
    estimates = {label: as_estimate(value) for label, value in diagnostic.values.items()}
    known = [abs(e.value) for e in estimates.values() if math.isfinite(e.value)]
    top = diagnostic.maximum or max(known, default=0.0) or 1.0
    bars = []
    for number, (label, estimate) in enumerate(estimates.items()):
        share = min(1.0, max(0.0, estimate.value / top)) if math.isfinite(estimate.value) else 0.0
        digits = 2 if abs(estimate.value) >= 2 else 3
        written = Estimate(**{"digits": digits, **{k: v for k, v in asdict(estimate).items() if v is not None}})
        bars.append({**_number(label, written), "width": round(100 * share, 2), "first": number == 0})
    verdict = {True: "passed", False: "not passed", None: ""}[diagnostic.passed]
    return {
        "name": diagnostic.name,
        "unit": diagnostic.unit,
        "bars": bars,
        "reading": diagnostic.reading,
        "verdict": verdict,
        "passed": bool(diagnostic.passed),
    }


def _retrieval(example: RetrievalExample, *, show_text: bool) -> dict[str, Any]:
    def picture(image: Any) -> str:
        return "" if image is None else embed_image(image, largest=_THUMBNAIL)

    answers = [
        {
            "rank": rank,
            "score": format_number(item.score, digits=2),
            "right": item.right,
            "text": shorten(item.text) if show_text and item.text else "",
            "has_text": bool(item.text),
            "image": picture(item.image),
        }
        for rank, item in enumerate(example.items, start=1)
    ]
    return {
        "query_image": picture(example.query_image),
        "query_text": shorten(example.query_text or "") if show_text else "",
        "by_image": example.query_image is not None,
        "rank": rank_line(example),
        "answers": answers,
    }


def _grounding(example: GroundingExample, *, show_text: bool) -> dict[str, Any]:
    height, width = np.shape(example.image)
    image = embed_image(example.image, largest=_PICTURE)
    outline = "" if example.mask is None else outline_path(example.mask)
    layers = [
        ("true region" if outline else "image", ""),
        ("map of the model", embed_heat(example.heat, largest=_HEAT)),
    ]
    if example.prior is not None:
        layers.append(("text-only prior", embed_heat(example.prior, largest=_HEAT)))
    return {
        "sentence": shorten(example.sentence, 240) if show_text else "",
        "width": width,
        "height": height,
        "image": image,
        "outline": outline,
        "layers": [{"name": name, "heat": heat} for name, heat in layers],
        "scores": [{"name": name, "value": score_line(value)} for name, value in example.scores.items()],
    }
