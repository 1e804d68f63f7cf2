"""Commands that make and check data: phantom, sources, prepare, convert, split, verify."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monai_place.cli.common import FAILED, clean_errors, count_progress, list_failed, parse_settings, print_json

if TYPE_CHECKING:
    from monai_place.data.conversion import Conversion
    from monai_place.data.sources import PrepareReport, SourceInfo
    from monai_place.data.verify import Fault

__all__ = ["COMMANDS"]

Side = Annotated[int, typer.Option(help="Shorter side of converted images in pixels; none is enlarged.", min=1)]
Depth = Annotated[int, typer.Option(help="Bits a pixel of converted images: 8 or 16.")]
ImageFormat = Annotated[
    str | None,
    typer.Option(
        "--format", help="Of converted images: jpeg (the default of 8 bits) or png (of 16).", show_default=False
    ),
]
Workers = Annotated[int, typer.Option(help="Processes that look at the files.", min=0)]
Limit = Annotated[
    int | None, typer.Option(help="Take the first so many records of each split, for a first try.", min=1)
]


def phantom(
    out: Annotated[Path, typer.Argument(help="Folder to write.", file_okay=False)],
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
    out: Annotated[Path, typer.Argument(help="Folder for the datalist.", file_okay=False)],
    setting: Annotated[
        list[str] | None, typer.Option("--set", help="Option of the data set, as key=value; may be repeated.")
    ] = None,
    limit: Limit = None,
    workers: Workers = 0,
    convert: Annotated[  # noqa: FBT002
        bool, typer.Option("--convert", help="Write the images anew, small and grey; a stopped run goes on.")
    ] = False,
    side: Side = 512,
    depth: Depth = 8,
    image_format: ImageFormat = None,
    any_count: Annotated[bool, typer.Option("--any-count", help="Take a set of other counts than published.")] = False,  # noqa: FBT002
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,  # noqa: FBT002
) -> None:
    """Turn a data set into a datalist, say what was left out and why; exit code 1 if files could not be read."""
    from monai_place.data.sources import prepare_source

    _known_source(source)
    options = parse_settings(setting or [])
    conversion = _conversion(side, depth, image_format)
    with clean_errors(), count_progress(source) as progress:
        report = prepare_source(
            source,
            src,
            out,
            limit=limit,
            workers=workers,
            check_counts=not any_count,
            convert=conversion if convert else None,
            progress=progress,
            **options,
        )
    _show(report, as_json=as_json)


def convert(
    datalist: Annotated[Path, typer.Argument(help="The datalist.")],
    out: Annotated[Path, typer.Argument(help="Folder for the images and their datalist.", file_okay=False)],
    side: Side = 512,
    depth: Depth = 8,
    image_format: ImageFormat = None,
    limit: Limit = None,
    workers: Workers = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,  # noqa: FBT002
) -> None:
    """Write the images of a datalist anew, small and grey, with masks and boxes; a stopped run goes on."""
    from monai_place.data.convert import convert_datalist

    conversion = _conversion(side, depth, image_format)
    with clean_errors(), count_progress("convert") as progress:
        report = convert_datalist(datalist, out, conversion, limit=limit, workers=workers, progress=progress)
    _show(report, as_json=as_json)


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


def split(
    datalist: Annotated[Path, typer.Argument(help="The datalist.")],
    out: Annotated[Path, typer.Argument(help="Folder for the new datalist and the lists of ids.", file_okay=False)],
    fractions: Annotated[str, typer.Option(help="Of training, validation and test.")] = "0.7,0.1,0.2",
    keep: Annotated[bool, typer.Option("--keep", help="Keep the datalist's own splits, and only list ids.")] = False,  # noqa: FBT002
    seed: Annotated[int, typer.Option(help="Of the splits.", min=0)] = 0,
    stratify: Annotated[bool, typer.Option(help="Spread each class evenly, as far as there are labels.")] = True,  # noqa: FBT002
    label_fractions: Annotated[str, typer.Option(help="Shares of the training split to list.")] = "0.01,0.1",
    label_seeds: Annotated[str, typer.Option(help="Seeds of the shares; a list for each.")] = "0",
    require: Annotated[str | None, typer.Option(help="Draw shares only from records with this key, as mask.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the counts as JSON.")] = False,  # noqa: FBT002
) -> None:
    """Split a datalist by patient, and list the ids of splits and label fractions, so that they can be published."""
    from monai_place.data.id_lists import split_datalist

    thirds = None if keep else _numbers(fractions, "--fractions")
    shares, seeds = _numbers(label_fractions, "--label-fractions"), _numbers(label_seeds, "--label-seeds")
    _check_split(thirds, shares, seeds)
    with clean_errors():
        report = split_datalist(
            datalist,
            out,
            fractions=thirds,
            seed=seed,
            stratify=stratify,
            label_fractions=shares,
            label_seeds=[int(number) for number in seeds],
            require=require,
        )
    if as_json:
        print_json({**report.to_dict(), "datalist": str(report.datalist)})
        return
    typer.echo(report)
    typer.echo(report.datalist)


def verify(
    datalist: Annotated[Path, typer.Argument(help="The datalist.")],
    images: Annotated[bool, typer.Option("--images/--no-images", help="Decode every image and mask.")] = True,  # noqa: FBT002
    leakage: Annotated[  # noqa: FBT002
        bool, typer.Option("--leakage", help="Look for images that are in two splits, even encoded anew or resized.")
    ] = False,
    workers: Annotated[int, typer.Option(help="Processes that look for leakage.", min=0)] = 0,
    hash_cache: Annotated[
        Path | None, typer.Option(help="File that keeps what --leakage knows of each image from call to call.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the faults as JSON.")] = False,  # noqa: FBT002
) -> None:
    """Find every fault of a datalist in one pass; exit code 1 if there is one."""
    from monai_place.data.verify import verify_datalist

    with clean_errors():
        with count_progress("verify") as progress:
            faults = verify_datalist(datalist, images=images, progress=progress)
        if leakage:
            faults = faults + _leaks(datalist, faults, workers, hash_cache)
    if as_json:
        print_json([vars(fault) for fault in faults])
    else:
        for fault in faults:
            typer.echo(f"{fault.split}\t{fault.record_id}\t{fault.key}\t{fault.message}")
        typer.echo(f"{len(faults)} faults" if faults else "no fault found", err=True)
    if faults:
        raise typer.Exit(FAILED)


def _leaks(datalist: Path, known: list[Fault], workers: int, cache: Path | None) -> list[Fault]:
    """Return what leaks from split to split, and the images that nobody has named as unreadable yet."""
    from monai_place.data.leakage import find_near_duplicates
    from monai_place.data.verify import Fault

    with count_progress("leakage") as progress:
        report = find_near_duplicates(datalist, workers=workers, cache=cache, progress=progress)
    typer.echo(
        f"leakage: {report.hashed} images compared, {len(report.plain)} without contrast left out, "
        f"{len(report.pairs)} near duplicates across splits",
        err=True,
    )
    named = {(fault.split, fault.record_id) for fault in known if fault.key == "image"}
    unreadable = [(split, name, reason) for split, name, reason in report.unreadable if (split, name) not in named]
    return [Fault(split, name, "image", reason) for split, name, reason in unreadable] + report.faults()


def _conversion(side: int, depth: int, image_format: str | None) -> Conversion:
    from monai_place.data.conversion import Conversion

    if image_format is None:  # a small JPEG is read in less than half of the time of a PNG, and 54 dB from it
        image_format = "jpeg" if depth == 8 else "png"
    try:
        return Conversion(side, depth, image_format)  # type: ignore[arg-type]  # it checks
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--depth, --format") from None


def _numbers(text: str, option: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a list of numbers such as 0.01,0.1", param_hint=option) from None


def _check_split(fractions: Sequence[float] | None, shares: Sequence[float], seeds: Sequence[float]) -> None:
    """Refuse as bad usage what can be no split, before a file is read."""
    from monai_place.data.splits import check_fractions

    if fractions is not None:
        try:
            check_fractions(fractions)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--fractions") from None
    if not all(0 < share <= 1 for share in shares):
        raise typer.BadParameter(f"expected shares above 0 and at most 1, got {shares}", param_hint="--label-fractions")
    if not all(seed >= 0 and float(seed).is_integer() for seed in seeds):
        raise typer.BadParameter(f"expected whole numbers of 0 or more, got {seeds}", param_hint="--label-seeds")


def _show(report: PrepareReport, *, as_json: bool) -> None:
    """Print what a preparation did, and end with exit code 1 if a file could not be read."""
    if as_json:
        print_json({**report.to_dict(), "datalist": str(report.datalist)})
    else:
        typer.echo(report)
        typer.echo(report.datalist)
    list_failed(report.unreadable)


def _known_source(name: str) -> SourceInfo:
    from monai_place.data.sources import SOURCES

    if name not in SOURCES:
        raise typer.BadParameter(f"unknown data set {name!r}; known: {sorted(SOURCES)}", param_hint="SOURCE")
    return SOURCES[name]


COMMANDS = (phantom, sources, prepare, convert, split, verify)
