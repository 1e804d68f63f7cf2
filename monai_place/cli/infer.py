"""Commands that use a model on files: classify, ground, export."""

from __future__ import annotations

from collections.abc import Sequence
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
    print_table,
    reading_of,
)

__all__ = ["COMMANDS"]

Model = Annotated[Path, typer.Argument(help="A run, a bundle or a model folder.")]
Inputs = Annotated[list[Path], typer.Argument(help="Images, or folders of images (DICOM, NIfTI, PNG, JPEG).")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda:0, ...; by default a GPU if there is one.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def classify(
    model: Model,
    inputs: Inputs,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="File to write, .csv or .json, in place of the table.")
    ] = None,
    finding: Annotated[list[str] | None, typer.Option(help="A finding to look for; may be repeated.")] = None,
    mode: Annotated[str, typer.Option(help="global, local or mean.")] = "mean",
    as_json: AsJson = False,  # noqa: FBT002
    device: Device = None,
    override: Override = None,
) -> None:
    """Zero-shot probabilities of findings; a file that cannot be read is listed, and the exit code is 1."""
    from monai_place.data.image_files import image_files
    from monai_place.inference import load, write_findings_csv, write_findings_json

    if mode not in ("global", "local", "mean"):
        raise typer.BadParameter(f"{mode!r} is not one of global, local, mean", param_hint="--mode")
    if out is not None and out.suffix not in (".csv", ".json"):
        raise typer.BadParameter(f"{out.name!r} ends neither in .csv nor in .json", param_hint="--out")
    chosen, reading = pick_device(device), reading_of(override)
    with clean_errors():
        predictor, files = load(model, device=chosen, reading=reading), image_files(inputs)
        with count_progress("classify") as progress:
            found = predictor.classify(files, finding or None, mode=mode, progress=progress)  # type: ignore[arg-type]
        if out is not None:
            (write_findings_csv if out.suffix == ".csv" else write_findings_json)(out, found)
    if as_json:
        results = [{"source": entry.source, "probabilities": entry.probabilities} for entry in found.results]
        failed = [{"source": entry.source, "reason": entry.reason} for entry in found.failed]
        print_json({"note": NOTE, "mode": mode, "results": results, "failed": failed})
    elif out is None:
        rows = [[entry.source, *[f"{value:.3f}" for value in entry.probabilities.values()]] for entry in found.results]
        print_table(rows, header=["image", *found.findings])
    typer.echo(NOTE, err=True)
    list_failed((entry.source, entry.reason) for entry in found.failed)


def ground(
    model: Model,
    image: Annotated[Path, typer.Argument(help="One image.")],
    text: Annotated[list[str], typer.Option(help="A sentence; may be repeated.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the overlays.", file_okay=False)],
    as_json: AsJson = False,  # noqa: FBT002
    device: Device = None,
    override: Override = None,
) -> None:
    """Show where an image supports a sentence, as overlays in the image's own size."""
    from monai_place.inference import load, write_overlays
    from monai_place.visualize import overlay_heat

    chosen, reading = pick_device(device), reading_of(override)
    with clean_errors():
        grounded = load(model, device=chosen, reading=reading).ground(image, text)
        files = write_overlays(out, reading.read(image)[0].numpy(), grounded, render=overlay_heat)
    rows: Sequence[dict[str, Any]] = [
        {"file": str(path), "text": entry.text, "score": entry.score, "peak": list(entry.peak)}
        for path, entry in zip(files, grounded, strict=True)
    ]
    if as_json:
        print_json(rows)
    else:
        cells = [[row["file"], f"{row['score']:.3f}", *map(str, row["peak"])] for row in rows]
        print_table(cells, header=["overlay", "score", "peak row", "column"])
    typer.echo(NOTE, err=True)


def export(
    model: Model,
    out: Annotated[Path, typer.Argument(help="File to write.")],
    to: Annotated[str, typer.Option(help="backbone, torchscript or onnx.")],
    finding: Annotated[list[str] | None, typer.Option(help="A finding of the classifier; may be repeated.")] = None,
) -> None:
    """Write the backbone for OpenMMLab, or the zero-shot classifier as TorchScript or ONNX."""
    from monai_place.inference import export_backbone, export_onnx, export_torchscript

    if to not in ("backbone", "torchscript", "onnx"):
        raise typer.BadParameter(f"{to!r} is not one of backbone, torchscript, onnx", param_hint="--to")
    if to == "backbone" and finding:
        raise typer.BadParameter("the backbone alone knows no findings", param_hint="--finding")
    with clean_errors():
        if to == "backbone":
            path = export_backbone(model, out)
        else:
            path = (export_torchscript if to == "torchscript" else export_onnx)(model, out, findings=finding or None)
    typer.echo(path)


COMMANDS = (classify, ground, export)
