"""The command that tests a team's own transform or reader: check-transform."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from monai_place.cli.common import FAILED, print_json

__all__ = ["COMMANDS"]


def check_own_transform(
    name: Annotated[str, typer.Argument(metavar="MODULE:CLASS", help="A dictionary transform or an ImageReader.")],
    arguments: Annotated[str, typer.Option("--args", help="Arguments of the class, as JSON.")] = "{}",
    keys: Annotated[
        list[str] | None, typer.Option(help="Key of the record that it works on; may be repeated; else image.")
    ] = None,
    sample: Annotated[
        Path | None, typer.Option(help="File to read, for a reader or a transform that loads.", exists=True)
    ] = None,
    worker: Annotated[  # noqa: FBT002
        bool, typer.Option("--worker/--no-worker", help="Send it to a spawned process too, which takes some seconds.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print the checks as JSON.")] = False,  # noqa: FBT002
) -> None:
    """Test a transform or reader of one's own against the contract; exit code 1 if a check fails, 2 if it is not found.

    It must be importable: installed, or on PYTHONPATH.
    """
    from monai_place.transforms.contract import check_transform
    from monai_place.transforms.contract.report import describe_error

    values = _read_arguments(arguments)
    try:
        report = check_transform(name, arguments=values, keys=keys or ("image",), sample=sample, worker=worker)
    except ImportError as error:
        raise typer.BadParameter(f"cannot be imported: {describe_error(error)}", param_hint="MODULE:CLASS") from error
    if as_json:
        print_json(report.to_dict())
    else:
        typer.echo(report)
    if report.failed:
        typer.echo(f"{len(report.failed)} of {len(report.checks)} checks failed", err=True)
        raise typer.Exit(FAILED)


def _read_arguments(text: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except json.JSONDecodeError as error:
        raise typer.BadParameter(f"no JSON: {error}", param_hint="--args") from None
    if not isinstance(values, dict):
        raise typer.BadParameter(f"expected a JSON object, got {text:.40}", param_hint="--args")
    return values


# The command's name; as a function's it would stand beside what `monai_place.transforms.contract` has.
check_own_transform.__name__ = "check_transform"
COMMANDS = (check_own_transform,)
