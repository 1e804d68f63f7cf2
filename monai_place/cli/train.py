"""Commands that train and measure: pretrain, evaluate, demo."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from monai_place.cli.common import NOTE, clean_errors, interval, parse_settings, print_table

__all__ = ["evaluation_tables", "register"]


def pretrain(
    datalist: Annotated[Path, typer.Argument(help="The datalist.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run; it becomes a MONAI bundle.")],
    preset: Annotated[str | None, typer.Option(help="place_tiny, place_small or place_base.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run in --out stopped.")] = False,  # noqa: FBT002
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="Setting of train.json, as key=value; may be repeated.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the command and stop.")] = False,  # noqa: FBT002
) -> None:
    """Pretrain PLACE through its MONAI bundle; prints the equivalent `python -m monai.bundle run` line.

    Exit code 75 means that the run was stopped by a signal and goes on with --resume.
    """
    from monai_place.engines.bundle import bundle_run_command, new_bundle, read_run_settings, run_bundle
    from monai_place.networks import PRESETS

    if preset is not None and preset not in PRESETS:
        raise typer.BadParameter(f"{preset!r} is not one of {sorted(PRESETS)}", param_hint="--preset")
    changes = parse_settings(setting or [])
    with clean_errors():
        settings: dict[str, Any] = read_run_settings(out) if resume else {}
        settings |= {"datalist": str(datalist)} | ({"preset": preset} if preset else {}) | changes
        settings["resume"] = "auto" if resume else "never"
        typer.echo(bundle_run_command(out, settings))
        if dry_run:
            return
        run_bundle(new_bundle(out), settings)
    typer.echo(f"model: {out / 'models'}", err=True)


def evaluate(
    model: Annotated[Path, typer.Argument(help="A run, a bundle or a model folder.")],
    datalist: Annotated[Path, typer.Argument(help="The datalist.")],
    split: Annotated[str, typer.Option(help="training, validation or test.")] = "test",
    json_file: Annotated[Path | None, typer.Option("--json", help="File for all numbers.")] = None,
    bootstrap: Annotated[int, typer.Option(help="Resamples of the intervals.", min=10)] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the intervals.")] = 0,
    limit: Annotated[int | None, typer.Option(help="First so many records only.", min=1)] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda:0, ...")] = None,
) -> None:
    """Retrieval, zero-shot findings, grounding and diagnostics of a model on a split, with 95 % intervals."""
    from monai_place.atomic import write_json_atomic
    from monai_place.data.datalist import SPLITS, load_records, read_datalist
    from monai_place.inference.collect import fit_location_prior
    from monai_place.inference.evaluate import evaluate_place
    from monai_place.inference.loading import load_place

    if split not in SPLITS:
        raise typer.BadParameter(f"{split!r} is not one of {SPLITS}", param_hint="--split")
    with clean_errors():
        loaded = load_place(model, device=device or "cpu")
        records = load_records(datalist, split, limit=limit)
        values = evaluate_place(
            loaded,
            records,
            classes=read_datalist(datalist).classes,
            prior=fit_location_prior(load_records(datalist, "training")),
            bootstrap=bootstrap,
            seed=seed,
        )
        if json_file is not None:
            write_json_atomic(json_file, values)
    for title, header, rows in evaluation_tables(values):
        typer.echo(f"\n{title}")
        print_table(rows, header=header)
    typer.echo(f"\n{values['studies']} studies. {NOTE}", err=True)
    for entry in values["failed"]:
        typer.echo(f"failed: {entry['source']}: {entry['reason']}", err=True)
    if values["failed"]:
        raise typer.Exit(1)


def evaluation_tables(values: Mapping[str, Any]) -> list[tuple[str, list[str], list[list[str]]]]:
    """Return the tables of an evaluation: title, header, rows.

    Args:
        values: from `monai_place.inference.evaluate.evaluate_place`.
    """
    tables: list[tuple[str, list[str], list[list[str]]]] = []
    modes = [mode for mode, found in values["zero_shot"].items() if found]
    if modes:
        first = values["zero_shot"][modes[0]]
        rows = []
        for name in first["per_finding"]:
            share = f"{first['positives'][name]}/{first['positives'][name] + first['negatives'][name]}"
            rows.append([name, *[interval(values["zero_shot"][mode]["per_finding"][name]) for mode in modes], share])
        rows.append(["macro", *[interval(values["zero_shot"][mode]["macro"]) for mode in modes], ""])
        tables.append(("Zero-shot AUROC [95 % interval]", ["finding", *modes, "positive"], rows))
    if values["retrieval"]:
        rows = [
            [name.replace("_", " "), interval(entry), *[interval(side["intervals"][name]) for side in others]]
            for first, *others in [list(values["retrieval"].values())]
            for name, entry in first["intervals"].items()
        ]
        header = ["retrieval", *[side.replace("_", " ") for side in values["retrieval"]]]
        rows.append(["median rank", *[f"{side['median_rank']:g}" for side in values["retrieval"].values()]])
        tables.append(("Retrieval [95 % interval]", header, rows))
    if values["grounding"]:
        numbers = {name: entry for name, entry in values["grounding"].items() if "model" in _dict(entry)}
        rows = [
            [name.replace("_", " ")]
            + [interval(entry[side]) if side in entry else "" for side in ("model", "prior", "chance")]
            for name, entry in numbers.items()
        ]
        tables.append(("Grounding beside a text-only location prior", ["measure", "model", "prior", "chance"], rows))
    rows = [[name, "-" if value is None else f"{value:.3f}"] for name, value in values["diagnostics"].items()]
    tables.append(("Diagnostics", ["name", "value"], rows))
    return tables


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the demo.")] = Path("runs/demo"),
    studies: Annotated[int, typer.Option(help="Studies of the phantom.", min=100)] = 5000,
    seed: Annotated[int, typer.Option(help="Seed of the phantom and of the training.", min=0)] = 0,
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="Setting of train.json, as key=value; may be repeated.")
    ] = None,
) -> None:
    """Phantom, pretraining through the bundle, evaluation, report: the whole path on built-in data."""
    from monai_place.cli.demo import run_demo

    with clean_errors():
        values = run_demo(out, studies=studies, seed=seed, settings=parse_settings(setting or []))
    for title, header, rows in evaluation_tables(values):
        typer.echo(f"\n{title}")
        print_table(rows, header=header)
    typer.echo(f"\nreport: {out / 'report.html'}\n{NOTE}")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (pretrain, evaluate, demo):
        app.command()(command)


def _dict(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
