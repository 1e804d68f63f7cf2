"""The numbers of a training and of an evaluation as tables for people."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import typer

from monai_place.cli.common import format_interval, print_table

__all__ = ["ResultTable", "evaluation_tables", "print_tables", "report_tables", "validation_table"]

BEST = "val_loss"
SYSTEMS = {"generator": "generator", "best_f1": "best constant report", "most_frequent": "most frequent report"}
GROUNDING_SIDES = ("model", "prior", "chance")


class ResultTable(NamedTuple):
    """A table for people: the first column is text, the others are numbers.

    Args:
        title: above it.
        header: names of the columns.
        rows: cells as they are printed.
    """

    title: str
    header: list[str]
    rows: list[list[str]]


def print_tables(tables: Iterable[ResultTable]) -> None:
    """Print tables with their titles, a blank line before each."""
    for table in tables:
        typer.echo(f"\n{table.title}")
        print_table(table.rows, header=table.header)


def validation_table(history: Sequence[Mapping[str, Any]]) -> ResultTable | None:
    """Return the numbers of a run's last validation, beside those of the model that was kept; None without one.

    Args:
        history: from `monai_place.engines.read_history`.

    Example:
        >>> rows = [{"kind": "validation", "epoch": epoch, "val_loss": loss} for epoch, loss in ((1, 2.0), (2, 2.5))]
        >>> validation_table(rows)[1:]
        (['validation', 'epoch 2, last', 'epoch 1, kept'], [['val_loss', '2.500', '2.000']])
    """
    found = [row for row in history if row.get("kind") == "validation"]
    if not found:
        return None
    last = found[-1]
    finite = [row for row in found if row.get(BEST) is not None]
    kept = min(finite, key=lambda row: row[BEST]) if finite else last  # of equal ones the first, as the handler keeps
    columns = [(f"epoch {last['epoch']}, last", last)]
    if kept is not last:
        columns.append((f"epoch {kept['epoch']}, kept", kept))
    names = [name for name in last if name not in ("kind", "epoch", "iteration")]
    rows = [[name, *[_number(row.get(name)) for _, row in columns]] for name in names]
    return ResultTable("Validation", ["validation", *[title for title, _ in columns]], rows)


def evaluation_tables(values: Mapping[str, Any]) -> list[ResultTable]:
    """Return the tables of an evaluation; a part that the data could not answer is left out.

    Args:
        values: from `monai_place.inference.evaluate_place`.
    """
    found = (
        _zero_shot(values["zero_shot"]),
        _probe(values.get("linear_probe") or {}),
        _classification(values.get("classification") or {}),
        _retrieval(values["retrieval"]),
        _class_retrieval(values.get("class_retrieval") or {}),
        _grounding(values["grounding"]),
        *[_downstream(task) for task in values.get("downstream") or ()],
    )
    rows = [[name, _number(value)] for name, value in values["diagnostics"].items()]
    return [*[table for table in found if table is not None], ResultTable("Diagnostics", ["name", "value"], rows)]


def report_tables(values: Mapping[str, Any]) -> list[ResultTable]:
    """Return the numbers of `evaluate_reports` as tables.

    Args:
        values: from `evaluate_reports`.
    """
    columns = [*SYSTEMS.values()]
    findings = [
        [f"{mean} {kind}", *[format_interval(values[system]["clinical"][mean][kind]) for system in SYSTEMS]]
        for mean in ("micro", "macro")
        for kind in ("precision", "recall", "f1")
    ]
    texts = [
        [name, *[format_interval(values[system]["text"][name]) for system in SYSTEMS]]
        for name in values["generator"]["text"]
    ]
    gains = [
        [SYSTEMS[name], *[format_interval(found["clinical"][key]) for key in ("micro_f1", "macro_f1")]]
        for name, found in values["differences"].items()
    ]
    return [
        ResultTable("Findings that are asserted [95 % interval]", ["", *columns], findings),
        ResultTable("Text [95 % interval]", ["", *columns], texts),
        ResultTable("Generator minus constant, paired [95 % interval]", ["", "micro F1", "macro F1"], gains),
    ]


def _zero_shot(values: Mapping[str, Any]) -> ResultTable | None:
    modes = [mode for mode, found in values.items() if found]
    if not modes:
        return None
    first = values[modes[0]]
    rows = []
    for name in first["per_finding"]:
        share = f"{first['positives'][name]}/{first['positives'][name] + first['negatives'][name]}"
        rows.append([name, *[format_interval(values[mode]["per_finding"][name]) for mode in modes], share])
    rows.append(["macro", *[format_interval(values[mode]["macro"]) for mode in modes], ""])
    if "accuracy" in first:
        rows.append(["accuracy", *[format_interval(values[mode]["accuracy"]) for mode in modes], ""])
    return ResultTable("Zero-shot AUROC [95 % interval]", ["finding", *modes, "positive"], rows)


def _probe(networks: Mapping[str, Any]) -> ResultTable | None:
    if not networks:
        return None
    shares = list(next(iter(networks.values())))
    rows = [[name, *[format_interval(row[share]) for share in shares]] for name, row in networks.items()]
    title = "Linear probe, macro AUROC [95 % interval] by share of labels"
    return ResultTable(title, ["network", *[f"{100 * float(share):g} %" for share in shares]], rows)


def _classification(measures: Mapping[str, Any]) -> ResultTable | None:
    if not measures:
        return None
    rows = [[name, format_interval(value)] for name, value in measures.items()]
    return ResultTable("Classification by linear_probe.json, macro [95 % interval]", ["measure", "value"], rows)


def _downstream(task: Mapping[str, Any]) -> ResultTable:
    rows = [[name, *[_number(number) for number in numbers]] for name, numbers in task["scores"].items()]
    seeds = [f"seed {number}" for number in range(len(rows[0]) - 1)]
    return ResultTable(f"{task['task']} ({task['metric']})", ["start", *seeds], rows)


def _retrieval(sides: Mapping[str, Any]) -> ResultTable | None:
    if not sides:
        return None
    names = next(iter(sides.values()))["intervals"]
    rows = [
        [name.replace("_", " "), *[format_interval(side["intervals"][name]) for side in sides.values()]]
        for name in names
    ]
    rows.append(["median rank", *[_number(side["median_rank"], "g") for side in sides.values()]])
    return ResultTable("Retrieval [95 % interval]", ["retrieval", *[side.replace("_", " ") for side in sides]], rows)


def _class_retrieval(values: Mapping[str, Any]) -> ResultTable | None:
    if not values:
        return None
    sides = values["sides"]
    names = dict.fromkeys(
        name for side in sides.values() for name, entry in side.items() if isinstance(entry, Mapping) and "std" in entry
    )
    rows = [
        [name.replace("_", " "), *[_with_spread(side[name]) if name in side else "" for side in sides.values()]]
        for name in names
    ]
    drawn = f"{len(values['tasks'])} x {values['per_class']} studies, {len(values['samplings'])} draws"
    title = f"Retrieval by class, {drawn}, by chance {values['chance']:.3f} [95 % interval] (spread of the draws)"
    return ResultTable(title, ["retrieval", *[side.replace("_", " ") for side in sides]], rows)


def _with_spread(value: Mapping[str, Any]) -> str:
    return format_interval(value) + (f" ({value['std']:.3f})" if value["std"] is not None else "")


def _grounding(values: Mapping[str, Any]) -> ResultTable | None:
    measures = {name: entry for name, entry in values.items() if isinstance(entry, Mapping) and "model" in entry}
    if not measures:
        return None
    rows = [
        [name.replace("_", " "), *[format_interval(entry[side]) if side in entry else "" for side in GROUNDING_SIDES]]
        for name, entry in measures.items()
    ]
    return ResultTable("Grounding beside a text-only location prior", ["measure", *GROUNDING_SIDES], rows)


def _number(value: float | None, form: str = ".3f") -> str:
    return "-" if value is None or not math.isfinite(value) else format(value, form)
