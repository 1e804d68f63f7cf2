"""What the commands share: the shape of their output, progress, exit codes."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from monai_place.transforms import ImageReading

__all__ = [
    "FAILED",
    "NOTE",
    "Override",
    "clean_errors",
    "count_progress",
    "format_interval",
    "list_failed",
    "parse_settings",
    "pick_device",
    "print_json",
    "print_table",
    "read_override",
    "reading_of",
    "talk_on_stderr",
]

logger = logging.getLogger(__name__)

FAILED = 1
NOTE = "Research use only. Not a medical device."
NO_NUMBER = "-"

Override = Annotated[
    Path | None,
    typer.Option("--override", help="JSON file with settings of the bundle's configs, such as reader and image_steps."),
]


@contextmanager
def clean_errors() -> Iterator[None]:
    """Turn what a user can cause into one line on stderr and exit code 1; a bug of ours keeps its traceback.

    `monai-place --verbose` logs the traceback in any case.
    """
    try:
        yield
    except Exception as error:
        ours = type(error).__module__.startswith("monai_place.")
        if not ours and not isinstance(error, (ValueError, OSError, ImportError)):
            raise
        logger.info("traceback", exc_info=error)
        typer.echo(f"error: {_describe(error)}", err=True)
        raise typer.Exit(FAILED) from error


def print_json(value: Any) -> None:
    """Print `value` as JSON on stdout; stdout is data, stderr is talk."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def print_table(rows: Sequence[Sequence[str]], *, header: Sequence[str]) -> None:
    """Print aligned columns; the first is text, the others are numbers."""
    cells = [[_shown(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for index, row in enumerate(cells):
        line = [row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        typer.echo("  ".join(line).rstrip())
        if index == 0:
            typer.echo("  ".join("-" * width for width in widths))


@contextmanager
def count_progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yield a function of (done, total) that moves a bar with rate and time left; quiet when not on a terminal."""
    from tqdm import tqdm

    with tqdm(desc=what, disable=not sys.stderr.isatty(), unit="") as bar:

        def update(done: int, total: int) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield update


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
            raise typer.BadParameter(f"{pair!r} is not of the form key=value", param_hint="--set")
        try:
            values[key] = json.loads(text)
        except json.JSONDecodeError:
            values[key] = text
    return values


def read_override(path: Path | None) -> dict[str, Any]:
    """Return the settings of a JSON file that overrides a bundle's config; none for None.

    Raises:
        typer.BadParameter: there is no such file, or it is no JSON object.
    """
    if path is None:
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise typer.BadParameter(f"{path.name}: {error.strerror}", param_hint="--override") from None
    except ValueError as error:
        raise typer.BadParameter(f"{path.name} is no JSON: {error}", param_hint="--override") from None
    if not isinstance(values, dict):
        raise typer.BadParameter(f"{path.name} holds no JSON object", param_hint="--override")
    return values


def reading_of(override: Path | None) -> ImageReading:
    """Return how files are read: by ours, or by the `reader` and the `image_steps` of an override.

    Raises:
        typer.BadParameter: the file cannot be used, or has neither setting.
    """
    from monai_place.transforms import ImageReading

    if override is None:
        return ImageReading()
    try:
        return ImageReading.from_config(read_override(override))
    except (ValueError, TypeError, ImportError) as error:
        raise typer.BadParameter(f"{override.name}: {error}", param_hint="--override") from error


def pick_device(name: str | None) -> str:
    """Return the device that a command runs on: the one that is named, else a GPU where there is one.

    Raises:
        typer.BadParameter: there is no such device on this machine.
    """
    import torch

    gpus = torch.cuda.device_count()
    if name is None:
        return "cuda" if gpus else "cpu"
    known = ["cpu", "cuda", *(f"cuda:{index}" for index in range(gpus))] if gpus else ["cpu"]
    if name not in known:
        raise typer.BadParameter(f"{name!r} is not one of {', '.join(known)} on this machine", param_hint="--device")
    return name


def format_interval(value: Mapping[str, Any]) -> str:
    """Format an estimate with its interval; what is not defined is a dash.

    Example:
        >>> format_interval({"value": 0.75, "low": 0.7, "high": None})
        '0.750 [0.700, -]'
        >>> format_interval({"value": None, "low": None, "high": None})
        '-'
    """
    number, low, high = (
        NO_NUMBER if (entry := value[name]) is None or entry != entry else f"{entry:.3f}"
        for name in ("value", "low", "high")
    )
    return number if (low, high) == (NO_NUMBER, NO_NUMBER) else f"{number} [{low}, {high}]"


def list_failed(failed: Iterable[tuple[str, str]]) -> None:
    """Name each file that could not be used with its reason, and end with exit code 1 if there is one.

    Args:
        failed: (source, reason).
    """
    listed = list(failed)
    for source, reason in listed:
        typer.echo(_shown(f"failed: {source}: {reason.removeprefix(f'{Path(source).name}: ')}"), err=True)
    if listed:
        raise typer.Exit(FAILED)


@contextmanager
def talk_on_stderr() -> Iterator[None]:
    """Send what MONAI's own loggers say to stderr; by themselves they write to stdout, which is for data."""
    import monai.bundle  # noqa: F401  (makes the loggers)

    moved: list[tuple[Any, Any]] = []
    for name, logger_ in logging.root.manager.loggerDict.items():
        if name.startswith("monai.") and isinstance(logger_, logging.Logger):
            moved += [
                (handler, handler.stream) for handler in logger_.handlers if type(handler) is logging.StreamHandler
            ]
    for handler, _ in moved:
        handler.stream = sys.stderr  # setStream would flush the old one, which may be closed
    try:
        yield
    finally:
        for handler, stream in moved:
            handler.stream = stream


def _shown(text: str) -> str:
    """Return a text as a terminal may have it: a line break or an escape in the name of a file stays a name."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def _describe(error: Exception) -> str:
    """Return an error's message; of a file that the system refused, its name alone and not where it lies."""
    if isinstance(error, OSError) and error.strerror and error.filename is not None:
        return f"{Path(str(error.filename)).name}: {error.strerror}"
    return str(error) or type(error).__name__
