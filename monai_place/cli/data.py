"""Commands that make and check data: phantom, prepare, verify."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monai_place.cli.common import FAILED, clean_errors, count_progress, parse_settings, print_json

if TYPE_CHECKING:
    from monai_place.data.sources import SourceInfo

__all__ = ["COMMANDS"]


def phantom(
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    studies: Annotated[int, typer.Option(help="Number of studies.", min=1)] = 1000,
    size: Annotated[int, typer.Option(help="Side of the images in pixels.", min=48)] = 224,
    seed: Annotated[int, typer.Option(help="Seed of the data set.", min=0)] = 0,
    image_format: Annotated[str, typer.Option("--format", help="png, dicom or nifti.")] = "png",
    workers: Annotated[int, typer.Option(help="Processes that render.", min=0)] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a data set that is there.")] = False,  # noqa: FBT002
) -> None:
    """Write a synthetic data set: radiographs, reports, labels, masks and boxes."""
    from monai_place.data.phantom import write_phantom

    if image_format not in ("png", "dicom", "nifti"):
        raise typer.BadParameter(f"{image_format!r} is not one of png, dicom, nifti", param_hint="--format")
    with clean_errors(), count_progress("phantom") as progress:
        path = write_phantom(
            out,
            studies=studies,
            size=size,
            seed=seed,
            image_format=image_format,  # type: ignore[arg-type]  # checked above
            workers=workers,
            overwrite=overwrite,
            progress=progress,
        )
    typer.echo(path)


def prepare(
    source: Annotated[str, typer.Argument(help="Name of the data set, such as covid19-cxr.")],
    src: Annotated[Path, typer.Argument(help="Folder of the data set as its publisher laid it out.")],
    out: Annotated[Path, typer.Argument(help="Folder for the datalist.")],
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="Option of the data set, as key=value; may be repeated.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(help="Take the first so many records of each split, for a first try.", min=1)
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes that look at the files.", min=0)] = 0,
    any_count: Annotated[bool, typer.Option("--any-count", help="Take a set of other counts than published.")] = False,  # noqa: FBT002
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,  # noqa: FBT002
) -> None:
    """Turn a public data set into a datalist, and say what was left out and why."""
    from monai_place.data.sources import prepare_source

    _known_source(source)
    options = parse_settings(setting or [])
    with clean_errors(), count_progress(source) as progress:
        report = prepare_source(
            source, src, out, limit=limit, workers=workers, check_counts=not any_count, progress=progress, **options
        )
    if as_json:
        print_json({**report.to_dict(), "datalist": str(report.datalist)})
        return
    typer.echo(report)
    typer.echo(report.datalist)


def sources(
    name: Annotated[str | None, typer.Argument(help="Name of a data set; without one, all are listed.")] = None,
) -> None:
    """List the public data sets that `prepare` knows, or say what one of them must look like."""
    from monai_place.data.sources import SOURCES

    if name is None:
        width = max(map(len, SOURCES))
        for info in SOURCES.values():
            typer.echo(f"{info.name.ljust(width)}  {info.title}")
        return
    info = _known_source(name)
    typer.echo(f"{info.title}\nTerms: {info.license}\nOptions (--set): {', '.join(info.options()) or 'none'}\n")
    typer.echo(info.describe())


def verify(
    datalist: Annotated[Path, typer.Argument(help="The datalist.")],
    images: Annotated[bool, typer.Option("--images/--no-images", help="Decode every image and mask.")] = True,  # noqa: FBT002
    as_json: Annotated[bool, typer.Option("--json", help="Print the faults as JSON.")] = False,  # noqa: FBT002
) -> None:
    """Find every fault of a datalist in one pass; exit code 1 if there is one."""
    from monai_place.data.verify import verify_datalist

    with clean_errors(), count_progress("verify") as progress:
        faults = verify_datalist(datalist, images=images, progress=progress)
    if as_json:
        print_json([vars(fault) for fault in faults])
    else:
        for fault in faults:
            typer.echo(f"{fault.split}\t{fault.record_id}\t{fault.key}\t{fault.message}")
        typer.echo(f"{len(faults)} faults" if faults else "no fault found", err=True)
    if faults:
        raise typer.Exit(FAILED)


def _known_source(name: str) -> SourceInfo:
    from monai_place.data.sources import SOURCES

    if name not in SOURCES:
        raise typer.BadParameter(f"unknown data set {name!r}; known: {sorted(SOURCES)}", param_hint="SOURCE")
    return SOURCES[name]


COMMANDS = (phantom, sources, prepare, verify)
