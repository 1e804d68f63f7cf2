"""Commands that train and measure: pretrain, evaluate, demo."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from monai_place.cli.common import (
    NOTE,
    Override,
    clean_errors,
    count_progress,
    list_failed,
    parse_settings,
    pick_device,
    read_override,
    reading_of,
    talk_on_stderr,
)
from monai_place.cli.tables import evaluation_tables, print_tables, report_tables, validation_table

__all__ = ["COMMANDS", "read_settings"]

Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Setting of train.json, as key=value; may be repeated.")
]

# What other arguments of the commands say already.
GIVEN_ELSEWHERE = {"bundle_root": "--out", "datalist": "DATALIST", "resume": "--resume"}


def pretrain(
    datalist: Annotated[Path, typer.Argument(help="The datalist.")],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="Folder of the run; it becomes a MONAI bundle.", file_okay=False)
    ],
    preset: Annotated[str | None, typer.Option(help="place_tiny, place_small or place_base.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run in --out stopped.")] = False,  # noqa: FBT002
    setting: Settings = None,
    override: Override = None,
    dry_run: Annotated[  # noqa: FBT002
        bool, typer.Option("--dry-run", help="Check the settings, make the run's folder, print the command and stop.")
    ] = False,
) -> None:
    """Pretrain PLACE through its MONAI bundle; prints the equivalent `python -m monai.bundle run` line.

    Exit code 75 means that the run was stopped by a signal and goes on with --resume.
    """
    from monai_place.engines import read_history
    from monai_place.engines.bundle import bundle_run_command, new_bundle, read_run_settings, run_bundle
    from monai_place.networks import PRESETS

    if preset is not None and preset not in PRESETS:
        raise typer.BadParameter(f"{preset!r} is not one of {sorted(PRESETS)}", param_hint="--preset")
    changes = read_settings(setting or [], out, override=read_override(override))
    with clean_errors():
        _require_pairs(datalist)  # before anything is written
        settings: dict[str, Any] = read_run_settings(out) if resume else {}
        settings |= {"datalist": str(datalist)} | ({"preset": preset} if preset else {}) | changes
        settings["resume"] = "auto" if resume else "never"
        if not resume and any((out / "checkpoints").glob("checkpoint_*.pt")):
            raise FileExistsError(f"{out.name!r} holds a run already; go on with --resume, or choose another folder")
        run = new_bundle(out)
        typer.echo(bundle_run_command(run, settings))
        if dry_run:
            return
        with talk_on_stderr():
            run_bundle(run, settings)
        history = Path(settings.get("output_dir", run)) / "history.jsonl"
        found = validation_table(read_history(history)) if history.is_file() else None
    print_tables([found] if found else [])
    typer.echo(f"\nmodel: {out / 'models'}. {NOTE}", err=True)


def evaluate(
    model: Annotated[Path, typer.Argument(help="A run, a bundle or a model folder.")],
    datalist: Annotated[Path, typer.Argument(help="The datalist.")],
    split: Annotated[str, typer.Option(help="training, validation or test.")] = "test",
    json_file: Annotated[Path | None, typer.Option("--json", help="File for all numbers.")] = None,
    prompts: Annotated[
        str | None, typer.Option(help="A built-in prompt set, such as covidx, or a JSON file; by default what fits.")
    ] = None,
    bootstrap: Annotated[int, typer.Option(help="Resamples of the intervals.", min=10)] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the intervals.", min=0)] = 0,
    per_class: Annotated[
        int | None,
        typer.Option(help="Retrieval by class on draws of so many studies of each; 200 is the 5x200 protocol.", min=1),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="First so many records only.", min=1)] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda:0, ...; by default a GPU if there is one.")] = None,
    override: Override = None,
) -> None:
    """Retrieval, zero-shot findings, grounding and diagnostics of a model on a split, with 95 % intervals.

    What the data cannot answer is left out: zero-shot without labels, retrieval without reports, grounding without
    masks of findings. An image that cannot be read is listed, and the exit code is 1.
    """
    from monai_place.atomic import write_json_atomic
    from monai_place.data.datalist import SPLITS, load_records, read_datalist
    from monai_place.inference.collect import fit_location_prior
    from monai_place.inference.evaluate import evaluate_place
    from monai_place.inference.loading import load_place
    from monai_place.inference.prompts import load_prompts

    if split not in SPLITS:
        raise typer.BadParameter(f"{split!r} is not one of {', '.join(SPLITS)}", param_hint="--split")
    chosen, reading = pick_device(device), reading_of(override)
    with clean_errors():
        loaded = load_place(model, device=chosen, reading=reading)
        records = load_records(datalist, split, limit=limit)
        if not records:
            raise ValueError(f"{datalist.name}: split {split!r} is empty")
        grounded = any(finding.get("mask") for record in records for finding in record.get("findings") or ())
        prior = fit_location_prior(load_records(datalist, "training")) if grounded else None
        with count_progress("evaluate") as progress:
            values = evaluate_place(
                loaded,
                records,
                classes=read_datalist(datalist).classes,
                prompts=None if prompts is None else load_prompts(prompts),
                prior=prior,
                bootstrap=bootstrap,
                seed=seed,
                per_class=per_class,
                progress=progress,
            )
        if json_file is not None:
            write_json_atomic(json_file, values)
    print_tables(evaluation_tables(values))
    typer.echo(f"\n{values['studies']} studies. {NOTE}", err=True)
    list_failed((entry["source"], entry["reason"]) for entry in values["failed"])


def demo(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the demo.", file_okay=False)] = Path("runs/demo"),
    studies: Annotated[int, typer.Option(help="Studies of the phantom.", min=100)] = 5000,
    seed: Annotated[int, typer.Option(help="Seed of the phantom and of the training.", min=0)] = 0,
    toolbox_steps: Annotated[
        int | None, typer.Option(help="Steps of each training in MMSegmentation and MMDetection; 0 for none.", min=0)
    ] = None,
    setting: Settings = None,
) -> None:
    """Phantom, pretraining through the bundle, evaluation, both toolboxes, report: the whole path on built-in data."""
    settings = read_settings(setting or [], None)
    from monai_place.cli.demo import run_demo

    with clean_errors(), talk_on_stderr():
        values = run_demo(out, studies=studies, seed=seed, settings=settings, toolbox_steps=toolbox_steps)
    print_tables([*evaluation_tables(values), *report_tables(values["report_generation"])])
    typer.echo(f"\nreport: {out / 'report.html'}")
    typer.echo(NOTE, err=True)


def read_settings(
    pairs: Sequence[str],
    run: Path | None,
    *,
    override: Mapping[str, Any] | None = None,
    configs: Sequence[str] = ("train.json",),
    elsewhere: Mapping[str, str] = GIVEN_ELSEWHERE,
) -> dict[str, Any]:
    """Read `--set` pairs for the bundle's train.json, or other configs, and refuse a key that they do not have.

    MONAI takes any key and says nothing, so that a misspelled one would change nothing for hours. The last part of a
    key with `#` may be new: an argument that the config leaves at its default.

    Args:
        pairs: of the form key=value.
        run: folder whose own config counts where it has one; None takes the package's.
        override: settings of a JSON file; a pair wins over them.
        configs: that are run together; the first is named in errors.
        elsewhere: keys that another argument of the command gives, and which.

    Raises:
        typer.BadParameter: a pair is not of the form, a key is unknown, another argument gives it, or its value is text
            where a number belongs.

    Example:
        >>> read_settings(["epochs=3", "limit=null"], None)
        {'epochs': 3, 'limit': '$None'}
    """
    from monai_place.engines.bundle import bundle_folder

    values = {**(override or {}), **parse_settings(pairs)}
    if not values:
        return {}
    config: dict[str, Any] = {}
    for name in configs:
        file = next(
            path
            for folder in ([run] if run else []) + [bundle_folder()]
            if (path := folder / "configs" / name).is_file()
        )
        config |= json.loads(file.read_text(encoding="utf-8"))
    for key, value in values.items():
        source = "--override" if key in (override or {}) else "--set"
        if key in elsewhere:
            raise typer.BadParameter(f"{key!r} is given by {elsewhere[key]}", param_hint=source)
        default = _find_setting(key, config, source, configs[0])
        if isinstance(default, (int, float)) and isinstance(value, str) and not value.startswith(("$", "@", "%")):
            raise typer.BadParameter(f"{key!r} is {value!r}, expected such as {json.dumps(default)}", param_hint=source)
    # MONAI drops an override that is None, and evaluates an expression.
    return {key: "$None" if value is None else value for key, value in values.items()}


def _find_setting(key: str, config: Mapping[str, Any], source: str, name: str) -> Any:
    """Return what the config holds under a key, None under a new one; raise where there is no place for it."""
    parts = key.replace("::", "#").split("#")
    place: Any = config
    for depth, part in enumerate(parts):
        if isinstance(place, list) and part.isdigit() and int(part) < len(place):
            place = place[int(part)]
        elif isinstance(place, dict) and part in place:
            place = place[part]
        elif isinstance(place, dict) and 0 < depth == len(parts) - 1:
            return None
        else:
            known = list(place) if isinstance(place, dict) else []
            like = difflib.get_close_matches(part, known, n=1)
            hint = f"; did you mean {'#'.join([*parts[:depth], like[0]])!r}?" if like else ""
            raise typer.BadParameter(f"{name} has no setting {key!r}{hint}", param_hint=source)
    return place


def _require_pairs(path: Path) -> None:
    """Raise where a split that pretraining needs has no study with a report."""
    from monai_place.data.datalist import read_datalist

    splits = read_datalist(path).splits
    for split in ("training", "validation"):
        if not any(record.get("report") or record.get("report_path") for record in splits[split]):
            raise ValueError(f"{path.name}: no study of split {split!r} has a report; pretraining needs some in each")


COMMANDS = (pretrain, evaluate, demo)
