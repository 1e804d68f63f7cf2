"""All commands of `monai-place`."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer

from monai_place.cli import data, infer, machine
from monai_place.cli import train as training

__all__ = ["app", "main"]

app = typer.Typer(
    name="monai-place",
    help="PLACE: learn from chest radiographs and their reports. Research use only; not a medical device.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def _settings(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log details.")] = False,  # noqa: FBT002
) -> None:
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, stream=sys.stderr, format="%(levelname)s: %(message)s")


for module in (data, training, infer, machine):
    module.register(app)


def main() -> None:
    """Run the command line."""
    app()
