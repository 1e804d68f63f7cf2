"""Run a suite: each cell once, what is there already never again, and one table at the end."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from monai_place.atomic import write_json_atomic, write_text_atomic
from monai_place.inference.writers import NOTE
from monai_place.suites.compare import compare_checkpoints
from monai_place.suites.context import CellContext
from monai_place.suites.spec import SuiteCell, SuiteSpec, read_suite
from monai_place.suites.store import CellResult, CellStore
from monai_place.suites.tables import SuiteRow, SuiteTable
from monai_place.suites.tasks import TASKS

__all__ = ["plan_suite", "run_suite"]

logger = logging.getLogger(__name__)

Found = dict[SuiteCell, CellResult]


def plan_suite(suite: str | os.PathLike[str]) -> tuple[SuiteSpec, list[SuiteCell], list[tuple[SuiteCell, str]]]:
    """Read a suite and list its cells.

    Args:
        suite: the JSON file.

    Returns:
        The suite, the cells to measure, and those that do not apply, each with the reason.

    Raises:
        ValueError: the file is not a suite.
    """
    spec = read_suite(suite, tasks=TASKS)
    for task in spec.tasks:
        TASKS[task.task].check(task.settings, f"{Path(suite).name}: task {task.title!r}")
    trains = {name: task.trains != "no" for name, task in TASKS.items()}
    shares = {name: task.trains == "on labels" for name, task in TASKS.items()}
    cells = list(spec.cells(trains=trains, shares=shares))
    obstacles = [(cell, TASKS[cell.task.task].obstacle(cell)) for cell in cells]
    skipped = [(cell, reason) for cell, reason in obstacles if reason is not None]
    return spec, [cell for cell, reason in obstacles if reason is None], skipped


def run_suite(
    suite: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    device: str = "cpu",
    resamples: int = 1000,
    progress: Callable[[int, int], None] | None = None,
) -> SuiteTable:
    """Measure what a suite asks for, and write `results.json`, `.csv`, `.md` and the cells into a folder.

    A cell that is there already, with the same weights, data, settings and version of the package, is not measured
    again; so a suite that was stopped goes on, and one more checkpoint costs only its own cells. A cell that fails is
    listed, and the others go on.

    Args:
        suite: the JSON file.
        out: folder of the results; made where it is missing.
        device: where networks run.
        resamples: of the intervals.
        progress: called with (cells done, cells in all).

    Returns:
        The table; `failed` lists what could not be measured.

    Raises:
        ValueError: the file is not a suite.
    """
    spec, cells, skipped = plan_suite(suite)
    out = Path(out)
    context, store = CellContext(out, spec.split, device), CellStore(out / "cells")
    found: Found = {}
    failed: list[tuple[str, str]] = []
    for done, cell in enumerate(_by_checkpoint(cells), 1):
        try:
            found[cell] = _measure(cell, context, store)
        except Exception as error:  # one cell that cannot be measured must not cost the others
            logger.warning("%s: %s: %s", cell, type(error).__name__, error)
            logger.info("traceback", exc_info=error)
            failed.append((str(cell), f"{type(error).__name__}: {error}"))
        if progress is not None:
            progress(done, len(cells))
    rows = [_row(group, found, resamples) for group in _groups(cells, found)]
    names = [checkpoint.name for checkpoint in spec.checkpoints]
    left = [(str(cell), reason) for cell, reason in skipped]
    table = SuiteTable(spec.name, spec.split, rows, names, failed, left, NOTE)
    write_json_atomic(out / "results.json", table.to_dict())
    write_text_atomic(out / "results.csv", table.to_csv())
    write_text_atomic(out / "results.md", table.to_markdown())
    return table


def _measure(cell: SuiteCell, context: CellContext, store: CellStore) -> CellResult:
    key = cell.key(context.identity(cell.checkpoint, cell.dataset))
    if key in store:
        return store.load(key)
    shutil.rmtree(context.work, ignore_errors=True)
    begin = time.monotonic()
    result = TASKS[cell.task.task].measure(cell, context)
    result = replace(result, seconds=time.monotonic() - begin)
    store.save(key, result, about={"cell": str(cell)})
    shutil.rmtree(context.work, ignore_errors=True)
    return result


def _by_checkpoint(cells: Sequence[SuiteCell]) -> list[SuiteCell]:
    """Put the cells of a network and data set side by side, so that it is loaded once and its images are read once."""
    order = list(dict.fromkeys((cell.checkpoint, cell.dataset) for cell in cells))
    return sorted(cells, key=lambda cell: order.index((cell.checkpoint, cell.dataset)))


def _groups(cells: Sequence[SuiteCell], found: Found) -> list[list[SuiteCell]]:
    """The cells of each line of the table, those that were measured, in the order of the file."""
    lines: dict[tuple[str, str, float | None], list[SuiteCell]] = {}
    for cell in cells:
        if cell in found:
            lines.setdefault((cell.dataset.name, cell.task.title, cell.fraction), []).append(cell)
    return list(lines.values())


def _row(cells: Sequence[SuiteCell], found: Found, resamples: int) -> SuiteRow:
    first = cells[0]
    task = TASKS[first.task.task]
    by_checkpoint: dict[str, list[CellResult]] = {}
    seeds: dict[str, list[int | None]] = {}
    for cell in cells:
        by_checkpoint.setdefault(cell.checkpoint.name, []).append(found[cell])
        seeds.setdefault(cell.checkpoint.name, []).append(cell.seed)
    estimates, differences = compare_checkpoints(
        by_checkpoint, task.statistic(first.task.settings), seeds=seeds, resamples=resamples
    )
    return SuiteRow(
        task=first.task.title,
        dataset=first.dataset.name,
        fraction=first.fraction,
        metric=task.metric(first.task.settings),
        studies=len(found[first].ids),
        estimates=estimates,
        differences=differences,
        metrics={name: _mean_metrics(results) for name, results in by_checkpoint.items()},
    )


def _mean_metrics(results: Sequence[CellResult]) -> dict[str, float | None]:
    means: dict[str, float | None] = {}
    for name in results[0].metrics:
        known = [value for result in results if (value := result.metrics.get(name)) is not None]
        means[name] = sum(known) / len(known) if known else None
    return means
