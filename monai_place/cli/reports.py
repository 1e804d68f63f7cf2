"""Commands that write reports: train-report, generate, evaluate-report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from monai_place.cli.common import (
    NOTE,
    Override,
    clean_errors,
    count_progress,
    list_failed,
    pick_device,
    print_json,
    read_override,
    reading_of,
    talk_on_stderr,
)
from monai_place.cli.tables import print_tables, report_tables, validation_table
from monai_place.cli.train import read_settings

__all__ = ["COMMANDS"]

Generator = Annotated[Path, typer.Argument(help="A run of train-report, or the folder of a generator.")]
DatalistFile = Annotated[Path, typer.Argument(help="The datalist.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda:0, ...; by default a GPU if there is one.")]
Beams = Annotated[int, typer.Option(help="Beams of the search; 1 is greedy.", min=1)]
MaxTokens = Annotated[int | None, typer.Option(help="Longest report in tokens.", min=1)]
MinTokens = Annotated[int, typer.Option(help="Shortest report in tokens.", min=0)]
Length = Annotated[float, typer.Option(help="With beams, above 0 favors longer reports and below 0 shorter ones.")]
Ngram = Annotated[int, typer.Option(help="Write no run of so many tokens twice; 0 does not ask.", min=0)]
Penalty = Annotated[float, typer.Option(help="Above 1 makes repetitions less likely.", min=0.01)]

GIVEN_ELSEWHERE = {
    "bundle_root": "the package",
    "checkpoint": "CHECKPOINT",
    "datalist": "DATALIST",
    "output_dir": "--out",
    "resume": "--resume",
    "sections": "--section",
}


def train_report(
    checkpoint: Annotated[Path, typer.Argument(help="A pretrained run, a bundle or a model folder.")],
    datalist: DatalistFile,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the run.", file_okay=False)],
    section: Annotated[
        list[str] | None, typer.Option(help="findings or impression; may be repeated. By default both.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run in --out stopped.")] = False,  # noqa: FBT002
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="Setting of train_report.json, as key=value; may be repeated.")
    ] = None,
    override: Override = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the settings, print the command and stop.")] = False,  # noqa: FBT002
) -> None:
    """Train a report generator on a pretrained encoder through the bundle.

    Exit code 75 means that the run was stopped by a signal and goes on with --resume.
    """
    from monai_place.engines import read_history
    from monai_place.engines.bundle import bundle_folder, bundle_run_command, read_run_settings
    from monai_place.inference.generator_training import CONFIG, report_settings, train_report_generator

    if unknown := sorted(set(section or ()) - {"findings", "impression"}):
        raise typer.BadParameter(f"{unknown[0]!r} is not one of findings, impression", param_hint="--section")
    changes = read_settings(
        setting or [], None, override=read_override(override), configs=(CONFIG,), elsewhere=GIVEN_ELSEWHERE
    )
    with clean_errors():
        settings: dict[str, Any] = read_run_settings(out) if resume else {}
        settings |= ({"sections": list(dict.fromkeys(section))} if section else {}) | changes
        settings = {key: value for key, value in settings.items() if key not in ("checkpoint", "datalist", "resume")}
        given = report_settings(checkpoint, datalist, settings, resume=resume)
        typer.echo(bundle_run_command(bundle_folder(), given, config=CONFIG, output=out))
        if dry_run:
            return
        with talk_on_stderr():
            folder = train_report_generator(checkpoint, datalist, out, settings=settings, resume=resume)
        found = validation_table(read_history(out / "history.jsonl"))
    print_tables([found] if found else [])
    typer.echo(f"\ngenerator: {folder}. {NOTE}", err=True)


def generate(
    model: Generator,
    inputs: Annotated[list[Path], typer.Argument(help="Images, or folders of images (DICOM, NIfTI, PNG, JPEG).")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for reports.json and overlays of the evidence.", file_okay=False),
    ] = None,
    indication: Annotated[str | None, typer.Option(help="Why the studies were made; one for all.")] = None,
    evidence: Annotated[str, typer.Option(help="Map of each sentence: attention or grounding.")] = "attention",
    beams: Beams = 1,
    max_tokens: MaxTokens = None,
    min_tokens: MinTokens = 0,
    length_penalty: Length = 1.0,
    no_repeat_ngram: Ngram = 0,
    repetition_penalty: Penalty = 1.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,  # noqa: FBT002
    device: Device = None,
    override: Override = None,
) -> None:
    """Draft a report of each image; a file that cannot be read is listed, and the exit code is 1.

    With --out every sentence gets a picture that shows where it came from.
    """
    from monai_place.atomic import write_json_atomic
    from monai_place.data.image_files import image_files
    from monai_place.inference import write_overlays
    from monai_place.inference.report_writer import load_report_generator
    from monai_place.visualize import overlay_heat

    if evidence not in ("attention", "grounding"):
        raise typer.BadParameter(f"{evidence!r} is not one of attention, grounding", param_hint="--evidence")
    chosen, reading = pick_device(device), reading_of(override)
    with clean_errors():
        settings = _settings(beams, max_tokens, min_tokens, length_penalty, no_repeat_ngram, repetition_penalty)
        writer, files = load_report_generator(model, device=chosen, reading=reading), image_files(inputs)
        with count_progress("generate") as progress:
            found = writer.generate(
                files,
                indications=indication,
                settings=settings,
                evidence=evidence if out is not None or as_json else None,  # type: ignore[arg-type]
                progress=progress,
            )
        results = [report.to_dict() for report in found.results]
        failed = [{"source": entry.source, "reason": entry.reason} for entry in found.failed]
        values = {"note": NOTE, "settings": settings.to_dict(), "results": results, "failed": failed}
        if out is not None:
            for report in found.results:
                picture = reading.read(files[report.index])[0].numpy()
                write_overlays(out, picture, report.grounded(), render=overlay_heat)
            write_json_atomic(out / "reports.json", values)
    if as_json:
        print_json(values)
    elif out is None:
        for report in found.results:
            typer.echo(f"{report.source}\n{report.text}\n")
    typer.echo(NOTE, err=True)
    list_failed((entry.source, entry.reason) for entry in found.failed)


def evaluate_report(
    model: Generator,
    datalist: DatalistFile,
    split: Annotated[str, typer.Option(help="training, validation or test.")] = "test",
    json_file: Annotated[Path | None, typer.Option("--json", help="File for all numbers.")] = None,
    labeller: Annotated[str | None, typer.Option(help="phantom or chexpert-14; by default what fits.")] = None,
    meteor: Annotated[bool, typer.Option("--meteor", help="METEOR, too (Java or NLTK's WordNet).")] = False,  # noqa: FBT002
    beams: Beams = 1,
    max_tokens: MaxTokens = None,
    min_tokens: MinTokens = 0,
    length_penalty: Length = 1.0,
    no_repeat_ngram: Ngram = 0,
    repetition_penalty: Penalty = 1.0,
    bootstrap: Annotated[int, typer.Option(help="Resamples of the intervals.", min=10)] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of the intervals.", min=0)] = 0,
    limit: Annotated[int | None, typer.Option(help="First so many records only.", min=1)] = None,
    device: Device = None,
    override: Override = None,
) -> None:
    """BLEU, ROUGE-L, CIDEr and clinical efficacy of written reports, beside constant reports, with 95 % intervals.

    The constant reports are chosen among the training reports. Texts and findings are judged on this machine.
    """
    from monai_place.atomic import write_json_atomic
    from monai_place.data.datalist import SPLITS, load_records, read_datalist
    from monai_place.inference.report_evaluation import ReportJudge, choose_labeller, evaluate_reports
    from monai_place.inference.report_writer import load_report_generator
    from monai_place.metrics.report_labels import ReportLabeller

    if split not in SPLITS:
        raise typer.BadParameter(f"{split!r} is not one of {', '.join(SPLITS)}", param_hint="--split")
    chosen, reading = pick_device(device), reading_of(override)
    with clean_errors():
        settings = _settings(beams, max_tokens, min_tokens, length_penalty, no_repeat_ngram, repetition_penalty)
        classes = tuple(read_datalist(datalist).classes)
        judge = ReportJudge(ReportLabeller(labeller), classes) if labeller else choose_labeller(classes)
        writer = load_report_generator(model, device=chosen, reading=reading)
        with count_progress("generate") as progress:
            values = evaluate_reports(
                writer,
                load_records(datalist, split, limit=limit),
                training=load_records(datalist, "training"),
                judge=judge,
                settings=settings,
                bootstrap=bootstrap,
                seed=seed,
                meteor=meteor,
                progress=progress,
            )
        if json_file is not None:
            write_json_atomic(json_file, {**values, "split": split, "settings": settings.to_dict()})
    print_tables(report_tables(values))
    typer.echo(f"\n{values['studies']} studies; findings {values['labels']}. {NOTE}", err=True)
    list_failed((entry["source"], entry["reason"]) for entry in values["failed"])


def _settings(beams: int, max_tokens: int | None, min_tokens: int, length: float, ngram: int, repetition: float) -> Any:
    from monai_place.networks import GenerationSettings

    return GenerationSettings(
        beams=beams,
        max_tokens=max_tokens,
        min_tokens=min_tokens,
        length_penalty=length,
        no_repeat_ngram=ngram,
        repetition_penalty=repetition,
    )


COMMANDS = (train_report, generate, evaluate_report)
