"""The command that measures several checkpoints on several tasks: benchmark."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from monai_place.cli.common import (
    NOTE,
    clean_errors,
    count_progress,
    list_failed,
    pick_device,
    print_json,
    talk_on_stderr,
)

__all__ = ["COMMANDS"]


def benchmark(
    suite: Annotated[Path, typer.Argument(help="The suite: checkpoints, data sets, tasks, label fractions, seeds.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out", "-o", help="Folder of the results; what is there is not measured again.", file_okay=False
        ),
    ],
    device: Annotated[str | None, typer.Option(help="cpu, cuda:0, ...; by default a GPU if there is one.")] = None,
    bootstrap: Annotated[int, typer.Option(help="Resamples of the intervals.", min=10)] = 1000,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the cells and stop.")] = False,  # noqa: FBT002
    as_json: Annotated[bool, typer.Option("--json", help="Print the table as JSON.")] = False,  # noqa: FBT002
) -> None:
    """Measure tasks x data sets x label fractions x seeds for several checkpoints, into one table with a page.

    A suite that was stopped goes on where it was, and nothing is measured twice. A cell that cannot be measured is
    listed, the others go on, and the exit code is 1.
    """
    from monai_place.cli.machine import check_machine
    from monai_place.suites.run import plan_suite, run_suite
    from monai_place.visualize.suite import write_suite_page

    with clean_errors():
        _, cells, skipped = plan_suite(suite)
        if dry_run:
            for cell in cells:
                typer.echo(cell)
            typer.echo(f"{len(cells)} cells, {len(skipped)} do not apply", err=True)
            return
        begin = time.monotonic()
        with talk_on_stderr(), count_progress("benchmark") as progress:
            table = run_suite(suite, out, device=pick_device(device), resamples=bootstrap, progress=progress)
        facts = {"minutes": round((time.monotonic() - begin) / 60, 1), "cells": len(cells), "resamples": bootstrap}
        write_suite_page(out / "report.html", table.to_dict(), settings={**facts, **check_machine()["versions"]})
    if as_json:
        print_json(table.to_dict())
    else:
        typer.echo(table.to_markdown())
    typer.echo(f"page: {out / 'report.html'}. {NOTE}", err=True)
    list_failed(table.failed)


COMMANDS = (benchmark,)
