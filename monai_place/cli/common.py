"""What the commands share: the shape of their output, progress, files of a folder, exit codes."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

__all__ = [
    "FAILED",
    "NOTE",
    "clean_errors",
    "image_files",
    "parse_settings",
    "print_json",
    "print_table",
    "progress_bar",
]

FAILED = 1
NOTE = "Research use only. Not a medical device."
IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".dcm", ".dicom", ".nii", ".gz", ""}


@contextmanager
def clean_errors() -> Iterator[None]:
    """Turn what a user can cause into one line on stderr and exit code 1; anything else keeps its traceback."""
    try:
        yield
    except (ValueError, OSError, KeyError) as error:
        text = error.args[0] if isinstance(error, KeyError) and error.args else error
        typer.echo(f"error: {text}", err=True)
        raise typer.Exit(FAILED) from error


def print_json(value: Any) -> None:
    """Print `value` as JSON on stdout; stdout is data, stderr is talk."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False))


def print_table(rows: Sequence[Sequence[str]], *, header: Sequence[str]) -> None:
    """Print aligned columns; the first is text, the others are numbers."""
    cells = [list(header), *[list(row) for row in rows]]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for index, row in enumerate(cells):
        line = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        typer.echo("  ".join(line).rstrip())
        if index == 0:
            typer.echo("  ".join("-" * width for width in widths))


@contextmanager
def progress_bar(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function of (done, total) that moves a bar with rate and time left; quiet when not a terminal."""
    from tqdm import tqdm

    with tqdm(desc=what, disable=not sys.stderr.isatty(), unit="") as bar:

        def update(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield update


def image_files(inputs: Sequence[Path]) -> list[Path]:
    """List files; a folder stands for the images anywhere below it, in order of name.

    Raises:
        FileNotFoundError: an input does not exist, or there is no image.
    """
    files: list[Path] = []
    for entry in inputs:
        if entry.is_dir():
            files += sorted(
                path
                for path in entry.rglob("*")
                if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
            )
        elif entry.exists():
            files.append(entry)
        else:
            raise FileNotFoundError(f"{entry.name!r} does not exist")
    if not files:
        raise FileNotFoundError("there is no image to read")
    return files


def parse_settings(settings: Sequence[str]) -> dict[str, Any]:
    """Read `key=value` pairs; a value is JSON where it can be, else text.

    Raises:
        typer.BadParameter: a pair has no `=`, or a key is empty.

    Example:
        >>> parse_settings(["lr=1e-3", "preset=place_tiny", "loss#pcma_weight=0"])
        {'lr': 0.001, 'preset': 'place_tiny', 'loss#pcma_weight': 0}
    """
    values: dict[str, Any] = {}
    for pair in settings:
        key, separator, text = pair.partition("=")
        if not separator or not key:
            raise typer.BadParameter(f"{pair!r} is not of the form key=value")
        try:
            values[key] = json.loads(text)
        except json.JSONDecodeError:
            values[key] = text
    return values


def interval(value: Mapping[str, Any]) -> str:
    """Format an estimate with its interval."""
    return f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
