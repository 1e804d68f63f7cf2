"""The page of a benchmark suite: its tables, curves over the share of labels, and paired differences."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from monai_place.atomic import write_text_atomic
from monai_place.visualize.curves import plot_linear_probe
from monai_place.visualize.estimates import Estimate, as_estimate, format_number
from monai_place.visualize.page import flatten
from monai_place.visualize.rendering import render_template
from monai_place.visualize.svg import figure_to_svg

__all__ = ["render_suite_page", "write_suite_page"]

SURE = 0.05  # of the corrected p-value


def render_suite_page(table: Mapping[str, Any], *, settings: Mapping[str, Any] | None = None) -> str:
    """Return the page of a suite as HTML; it loads nothing and runs no script.

    Args:
        table: from `SuiteTable.to_dict`.
        settings: what else to list: versions, seeds, seconds.

    Example:
        >>> table = {"name": "A suite", "split": "test", "note": "", "rows": [], "failed": [], "skipped": []}
        >>> "<h1>A suite</h1>" in render_suite_page(table)
        True
    """
    rows = list(table["rows"])
    datasets = dict.fromkeys(row["dataset"] for row in rows)
    return render_template(
        "suite.html",
        title=table["name"],
        subtitle=f"{len(rows)} rows, measured on the {table['split']} split",
        note=table["note"],
        settings=flatten(settings or {}),
        datasets=[
            _dataset(name, [row for row in rows if row["dataset"] == name], n) for n, name in enumerate(datasets)
        ],
        failed=table["failed"],
        skipped=_grouped(table["skipped"]),
    )


def write_suite_page(
    path: str | os.PathLike[str], table: Mapping[str, Any], *, settings: Mapping[str, Any] | None = None
) -> Path:
    """Write the page of a suite (`render_suite_page`), whole or not at all."""
    write_text_atomic(path, render_suite_page(table, settings=settings))
    return Path(path)


def _dataset(name: str, rows: Sequence[Mapping[str, Any]], number: int) -> dict[str, Any]:
    checkpoints = list(dict.fromkeys(checkpoint for row in rows for checkpoint in row["estimates"]))
    return {
        "name": name,
        "checkpoints": checkpoints,
        "rows": [_row(row, checkpoints) for row in rows],
        "curves": list(_curves(rows, f"d{number}")),
        "pairs": [_pair(row, pair) for row in rows for pair in row["differences"]],
    }


def _row(row: Mapping[str, Any], checkpoints: Sequence[str]) -> dict[str, Any]:
    known = {name: row["estimates"].get(name) for name in checkpoints}
    means = [entry["mean"] for entry in known.values() if entry and entry["mean"] is not None]
    best = max(means) if len(means) > 1 else None
    return {
        "title": _title(row),
        "metric": row["metric"],
        "studies": f"{row['studies']:,}",
        "cells": [_cell(entry, best) for entry in known.values()],
    }


def _cell(entry: Mapping[str, Any] | None, best: float | None) -> dict[str, Any]:
    estimate = _estimate(entry)
    spread = None if entry is None else entry["deviation"]
    return {
        "text": estimate.text,
        "interval": estimate.interval,
        "spread": "" if spread is None else f"SD {format_number(spread)}, {entry['seeds']} seeds",  # type: ignore[index]
        "best": best is not None and estimate.value == best,
    }


def _curves(rows: Sequence[Mapping[str, Any]], prefix: str) -> Any:
    for number, task in enumerate(dict.fromkeys(row["task"] for row in rows)):
        of_task = [row for row in rows if row["task"] == task and row["fraction"] is not None]
        if len({row["fraction"] for row in of_task}) < 2:
            continue
        lines: dict[str, dict[float, Estimate]] = {}
        for row in of_task:
            for name, entry in row["estimates"].items():
                lines.setdefault(name, {})[row["fraction"]] = _estimate(entry)
        figure = plot_linear_probe(lines, metric=of_task[0]["metric"])
        label = f"{task}: {of_task[0]['metric']} over the share of training labels"
        svg = figure_to_svg(figure, label=label, prefix=f"{prefix}c{number}")
        yield {"title": task, "figure": Markup(svg)}  # noqa: S704  texts are escaped where they are drawn


def _pair(row: Mapping[str, Any], pair: Mapping[str, Any]) -> dict[str, Any]:
    estimate = as_estimate({"value": pair["mean"], "low": pair["low"], "high": pair["high"]})
    p_value = pair["p_holm"]
    return {
        "title": _title(row),
        "first": pair["first"],
        "second": pair["second"],
        "text": estimate.text,
        "interval": estimate.interval,
        "p": "" if p_value is None else format_number(p_value),
        "sure": p_value is not None and p_value < SURE,
        "better": estimate.value > 0,
    }


def _estimate(entry: Mapping[str, Any] | None) -> Estimate:
    if entry is None:
        return Estimate(math.nan)
    return as_estimate({"value": entry["mean"], "low": entry["low"], "high": entry["high"]})


def _title(row: Mapping[str, Any]) -> str:
    return row["task"] if row["fraction"] is None else f"{row['task']}, {100 * row['fraction']:g} %"


def _grouped(entries: Sequence[Mapping[str, str]]) -> list[tuple[str, str]]:
    """Put what was left out for one reason on one line."""
    by_reason: dict[str, list[str]] = {}
    for entry in entries:
        by_reason.setdefault(entry["reason"], []).append(entry["cell"])
    return [("; ".join(cells), reason) for reason, cells in by_reason.items()]
