"""All commands of `monai-place`."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer

from monai_place.cli import benchmark, check, classification, data, doctor, index, infer, openmmlab, reports
from monai_place.cli import train as training

__all__ = ["app", "main"]

# Heard with --verbose only: the commands list the files that could not be read themselves, each once; and what an
# exporter leaves as it is concerns nobody.
QUIET = ("monai_place.inference.images", "onnxscript.optimizer._constant_folding")

app = typer.Typer(
    name="monai-place",
    help="PLACE: learn from chest radiographs and their reports. Research use only; not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _show_version(value: bool) -> None:  # noqa: FBT001  (typer calls it)
    if value:
        from monai_place import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _settings(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log details and tracebacks.")] = False,  # noqa: FBT002
    _version: Annotated[  # noqa: FBT002
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(lambda record: verbose or record.name not in QUIET)
    level = logging.INFO if verbose else logging.WARNING
    logging.getLogger("monai_place.cli").setLevel(level)  # the root's is changed by a run's logging.conf
    logging.basicConfig(level=level, handlers=[handler], format="%(levelname)s: %(message)s")


for module in (data, check, training, classification, reports, benchmark, infer, index, openmmlab, doctor):
    for command in module.COMMANDS:
        app.command()(command)


def main() -> None:
    """Run the command line."""
    app()
