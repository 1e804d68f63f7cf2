"""Commands that train a classifier on an encoder: probe, finetune."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from monai_place.cli.common import (
    FAILED,
    NOTE,
    clean_errors,
    format_interval,
    talk_on_stderr,
)
from monai_place.cli.tables import ResultTable, print_tables
from monai_place.cli.train import read_settings

__all__ = ["COMMANDS", "classification_tables"]

Checkpoint = Annotated[str, typer.Argument(help="A run, a bundle or a model folder; or timm:NAME.")]
DatalistFile = Annotated[Path, typer.Argument(help="The datalist, with labels.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Folder of the results.", file_okay=False)]
Weights = Annotated[
    str | None, typer.Option(help="random: the network untrained; of timm:NAME also a file, or timm for its own.")
]
Fraction = Annotated[float | None, typer.Option(help="Share of the labeled training studies.", min=0.0, max=1.0)]
Seed = Annotated[int | None, typer.Option(help="Of everything that is drawn, the share among it.", min=0)]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where the run in --out stopped.")]
Setting = Annotated[list[str] | None, typer.Option("--set", help="Setting of the config, as key=value; repeatable.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check the settings, print the command and stop.")]

GIVEN_ELSEWHERE = {
    "bundle_root": "the package",
    "checkpoint": "CHECKPOINT",
    "datalist": "DATALIST",
    "output_dir": "--out",
    "weights": "--weights",
    "mode": "--mode",
    "fraction": "--fraction",
    "seed": "--seed",
    "resume": "--resume",
}
COLUMNS = ("auroc", "auprc", "f1", "sensitivity_at_specificity", "ece")


def probe(
    checkpoint: Checkpoint,
    datalist: DatalistFile,
    out: Out,
    weights: Weights = None,
    mode: Annotated[str, typer.Option(help="clean, or mgca for the probe as it was published.")] = "clean",
    fraction: Fraction = None,
    seed: Seed = None,
    resume: Resume = False,  # noqa: FBT002
    setting: Setting = None,
    dry_run: DryRun = False,  # noqa: FBT002
) -> None:
    """Train a linear classifier on frozen features, and measure it on the test split with 95 % intervals."""
    if mode not in ("clean", "mgca"):
        raise typer.BadParameter(f"{mode!r} is not one of clean, mgca", param_hint="--mode")
    given = {"weights": weights, "fraction": fraction, "seed": seed}
    _train("linear_probe", mode, checkpoint, datalist, out, given, setting or [], resume=resume, dry_run=dry_run)


def finetune(
    checkpoint: Checkpoint,
    datalist: DatalistFile,
    out: Out,
    weights: Weights = None,
    fraction: Fraction = None,
    seed: Seed = None,
    resume: Resume = False,  # noqa: FBT002
    setting: Setting = None,
    dry_run: DryRun = False,  # noqa: FBT002
) -> None:
    """Train a classifier with its whole encoder, and measure it on the test split with 95 % intervals."""
    given = {"weights": weights, "fraction": fraction, "seed": seed}
    _train("finetune", "clean", checkpoint, datalist, out, given, setting or [], resume=resume, dry_run=dry_run)


def classification_tables(metrics: dict[str, Any]) -> list[ResultTable]:
    """Return the measures of the test split, or of the validation where there is none, as a table.

    Args:
        metrics: content of `metrics.json`.
    """
    split = "test" if "test" in metrics else "validation"
    found = metrics[split]
    rows = []
    for name, measures in (*found["per_class"].items(), ("macro", found["macro"])):
        share = ""
        if name in found["positives"]:
            share = f"{found['positives'][name]}/{found['positives'][name] + found['negatives'][name]}"
        rows.append([name, *[format_interval(measures[column]) for column in COLUMNS], share])
    if found["accuracy"] is not None:
        rows.append(["accuracy", format_interval(found["accuracy"]), "", "", "", "", ""])
    specificity = (found["thresholds"] or {}).get("specificity", 0.9)
    names = {"sensitivity_at_specificity": f"sens. at spec. {specificity:g}"}
    header = ["class", *[names.get(column, column) for column in COLUMNS], "positive"]
    title = f"{found['studies']} studies of the {split} split; thresholds from the validation [95 % interval]"
    return [ResultTable(title, header, rows)]


def _train(
    kind: str,
    mode: str,
    checkpoint: str,
    datalist: Path,
    out: Path,
    given: dict[str, Any],
    pairs: list[str],
    *,
    resume: bool,
    dry_run: bool,
) -> None:
    from monai_place.engines.bundle import FEATURES, bundle_folder, bundle_run_command, read_run_settings
    from monai_place.inference.classification_runs import classification_configs, classify_by_training

    configs = classification_configs(kind, mode)
    changes = read_settings(pairs, None, configs=configs, elsewhere=GIVEN_ELSEWHERE)
    with clean_errors():
        settings: dict[str, Any] = read_run_settings(out) if resume else {}
        if resume and settings.get("mode", mode) != mode:
            raise ValueError(f"the run in {out.name!r} is of mode {settings['mode']!r}, not {mode!r}")
        settings |= {"checkpoint": checkpoint, "datalist": str(datalist), "mode": mode}
        settings |= {key: value for key, value in given.items() if value is not None} | changes
        settings["resume"] = "auto" if resume else "never"
        if not resume and out.is_dir() and any(entry.name != FEATURES for entry in out.iterdir()):
            raise FileExistsError(f"{out.name!r} is not empty; go on with --resume, or choose another folder")
        typer.echo(bundle_run_command(bundle_folder(), settings, config=configs, output=out))
        if dry_run:
            return
        known = {key: settings.pop(key, None) for key in ("weights", "fraction", "seed")}
        kept = {key: value for key, value in settings.items() if key not in GIVEN_ELSEWHERE}
        with talk_on_stderr():
            result = classify_by_training(
                kind,  # type: ignore[arg-type]
                checkpoint,
                datalist,
                out,
                mode=mode,  # type: ignore[arg-type]
                settings=kept,
                resume=resume,
                **known,
            )
    print_tables(classification_tables(result.metrics))
    typer.echo(f"\nresults: {out}. {NOTE}", err=True)
    if "test" not in result.metrics:
        typer.echo("the datalist has no labeled test split: these are numbers of the validation", err=True)
        raise typer.Exit(FAILED)


COMMANDS = (probe, finetune)
