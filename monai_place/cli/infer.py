"""Commands that use a model on files: classify, embed, retrieve, ground, export."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monai_place.cli.common import FAILED, NOTE, clean_errors, image_files, print_json

__all__ = ["register"]

Model = Annotated[Path, typer.Argument(help="A run, a bundle or a model folder.")]
Inputs = Annotated[list[Path], typer.Argument(help="Images, or folders of images (DICOM, NIfTI, PNG, JPEG).")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda:0, ...; by default a GPU if there is one.")]


def classify(
    model: Model,
    inputs: Inputs,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="File to write, .csv or .json.")] = None,
    finding: Annotated[list[str] | None, typer.Option(help="A finding to look for; may be repeated.")] = None,
    mode: Annotated[str, typer.Option(help="global, local or mean.")] = "mean",
    device: Device = None,
) -> None:
    """Zero-shot probabilities of findings; a file that cannot be read is listed, and the exit code is 1."""
    from monai_place.inference import load, write_findings_csv, write_findings_json

    if mode not in ("global", "local", "mean"):
        raise typer.BadParameter(f"{mode!r} is not one of global, local, mean", param_hint="--mode")
    if out is not None and out.suffix not in (".csv", ".json"):
        raise typer.BadParameter(f"{out.name!r} ends neither in .csv nor in .json", param_hint="--out")
    with clean_errors():
        predictor = load(model, device=device)
        found = predictor.classify(image_files(inputs), finding or None, mode=mode)  # type: ignore[arg-type]
        if out is not None:
            (write_findings_csv if out.suffix == ".csv" else write_findings_json)(out, found)
    if out is None:
        print_json({"note": NOTE, "results": {entry.source: entry.probabilities for entry in found.results}})
    _list_failed(found.failed)


def embed(
    model: Model,
    inputs: Inputs,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the index; added to where it is there.")],
    device: Device = None,
) -> None:
    """Write global image embeddings into an index folder."""
    from monai_place.inference import EmbeddingIndex, load

    with clean_errors():
        found = load(model, device=device).embed_image(image_files(inputs))
        if (out / "index.json").exists():
            index = EmbeddingIndex.load(out).append(found.embeddings, found.sources)
        else:
            index = EmbeddingIndex(found.embeddings, found.sources)
        index.save(out)
    typer.echo(f"{len(found.sources)} images, {len(index)} in the index", err=True)
    _list_failed(found.failed)


def retrieve(
    model: Model,
    index: Annotated[Path, typer.Argument(help="Index folder of `monai-place embed`.")],
    image: Annotated[Path | None, typer.Option(help="The query image.")] = None,
    text: Annotated[str | None, typer.Option(help="The query text.")] = None,
    k: Annotated[int, typer.Option(help="Entries wanted.", min=1)] = 10,
    device: Device = None,
) -> None:
    """Find the images of an index that are most like an image or a text."""
    from monai_place.inference import EmbeddingIndex, load

    if (image is None) == (text is None):
        raise typer.BadParameter("give --image or --text, and not both")
    with clean_errors():
        result = load(model, device=device).retrieve(EmbeddingIndex.load(index), image=image, text=text, k=k)
    for name, score in zip(result.ids[0], result.scores[0].tolist(), strict=True):
        typer.echo(f"{score:.4f}\t{name}")


def ground(
    model: Model,
    image: Annotated[Path, typer.Argument(help="One image.")],
    text: Annotated[list[str], typer.Option(help="A sentence; may be repeated.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the overlays.")],
    device: Device = None,
) -> None:
    """Show where an image supports a sentence, as overlays in the image's own size."""
    from monai_place.data.radiograph import read_radiograph
    from monai_place.inference import load, write_overlays
    from monai_place.visualize import overlay_heat

    with clean_errors():
        grounded = load(model, device=device).ground(image, text)
        files = write_overlays(out, read_radiograph(image)[0], grounded, render=overlay_heat)
    for path, entry in zip(files, grounded, strict=True):
        typer.echo(f"{path}\tscore {entry.score:.3f}\tpeak (row, column) {entry.peak}")
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
    with clean_errors():
        if to == "backbone":
            path = export_backbone(model, out)
        else:
            path = (export_torchscript if to == "torchscript" else export_onnx)(model, out, findings=finding or None)
    typer.echo(path)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (classify, embed, retrieve, ground, export):
        app.command()(command)


def _list_failed(failed: tuple) -> None:  # type: ignore[type-arg]
    for entry in failed:
        typer.echo(f"failed: {entry.source}: {entry.reason}", err=True)
    if failed:
        raise typer.Exit(FAILED)
