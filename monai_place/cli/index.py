"""Commands of the index of embeddings: embed, retrieve."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

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

if TYPE_CHECKING:
    import torch

    from monai_place.inference import EmbeddingIndex, PLACEPredictor

__all__ = ["COMMANDS"]

REPORTS_AT_A_TIME = 1024  # their sentences are embedded, too, and thrown away
NO_SENTENCE = "has no sentence"

Model = Annotated[Path, typer.Argument(help="A run, a bundle or a model folder.")]
Device = Annotated[str | None, typer.Option(help="cpu, cuda:0, ...; by default a GPU if there is one.")]
Progress = Callable[[int, int], None]


class _Embedded(NamedTuple):
    """Embeddings (M, D) of what could be read, its names, and the rest with the reasons."""

    rows: torch.Tensor
    names: list[str]
    failed: list[tuple[str, str]]


def embed(
    model: Model,
    inputs: Annotated[
        list[Path],
        typer.Argument(help="Images, folders of images (DICOM, NIfTI, PNG, JPEG), or datalists (.json)."),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the index.", file_okay=False)],
    append: Annotated[bool, typer.Option("--append", help="Add to the index that is there.")] = False,  # noqa: FBT002
    reports: Annotated[bool, typer.Option("--reports", help="Embed the reports of datalists, not images.")] = False,  # noqa: FBT002
    split: Annotated[
        list[str] | None, typer.Option(help="Split of the datalists; may be repeated; all without it.")
    ] = None,
    prefix: Annotated[str, typer.Option(help="Put before each name, to tell folders of one index apart.")] = "",
    device: Device = None,
    override: Override = None,
) -> None:
    """Write embeddings of images, or of a datalist's reports, into an index folder.

    An image's name is its path below the folder that all files share; an entry of a datalist has the record's id.
    """
    from monai_place.inference import EmbeddingIndex, load

    listed = _check_inputs(inputs, split, reports=reports)
    chosen, reading = pick_device(device), reading_of(override)
    with clean_errors():
        old = EmbeddingIndex.load(out) if (out / "index.json").exists() else None
        if old is not None and not append:
            raise FileExistsError(f"{out.name!r} holds an index already; --append adds to it")
        predictor = load(model, device=chosen, reading=reading)
        names, values = _entries(inputs, split, listed=listed, reports=reports)
        names = [prefix + name for name in names]
        _require_new(names, old, predictor)
        with count_progress("embed") as progress:
            found = (_embed_texts if reports else _embed_images)(predictor, names, values, progress)
        if found.names:
            made = EmbeddingIndex(
                found.rows, found.names, kind="reports" if reports else "images", model=predictor.fingerprint
            )
            typer.echo(f"{len(made)} {made.kind}, {len(made.append_to(out))} in the index", err=True)
    list_failed(found.failed)


def retrieve(
    model: Model,
    index: Annotated[Path, typer.Argument(help="Index folder of `monai-place embed`.")],
    image: Annotated[
        list[Path] | None, typer.Option(help="A query image, or a folder of them; may be repeated.")
    ] = None,
    text: Annotated[list[str] | None, typer.Option(help="A query text; may be repeated.")] = None,
    text_file: Annotated[Path | None, typer.Option(help="A file with one query text a line.")] = None,
    k: Annotated[int, typer.Option("--k", "-k", help="Entries wanted for each query.", min=1)] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,  # noqa: FBT002
    device: Device = None,
    override: Override = None,
) -> None:
    """Find the images or the reports of an index that are most like images or texts."""
    from monai_place.inference import EmbeddingIndex, load

    if bool(image) == bool(text or text_file):
        raise typer.BadParameter("give images or texts, and not both", param_hint="--image, --text, --text-file")
    chosen, reading = pick_device(device), reading_of(override)
    with clean_errors():
        opened = EmbeddingIndex.load(index)
        names, values = _queries(image or [], text or [], text_file)
        predictor = load(model, device=chosen, reading=reading)
        if opened.model is not None:
            opened.require_model(predictor.fingerprint)
        with count_progress("retrieve") as progress:
            asked = (_embed_images if image else _embed_texts)(predictor, names, values, progress)
        result = opened.search(asked.rows, k=k)
    answers = [list(zip(ids, row, strict=True)) for ids, row in zip(result.ids, result.scores.tolist(), strict=True)]
    if as_json:
        _print_answers(opened, asked, answers)
    else:
        entry = opened.kind.removesuffix("s")
        cells = [
            [name, found, f"{score:.4f}"]
            for name, row in zip(asked.names, answers, strict=True)
            for found, score in row
        ]
        single = len(names) == 1
        print_table([row[single:] for row in cells], header=["query", entry, "score"][single:])
    typer.echo(NOTE, err=True)
    list_failed(asked.failed)


def _print_answers(index: EmbeddingIndex, asked: _Embedded, answers: Sequence[list[tuple[str, float]]]) -> None:
    results = [
        {"query": name, "found": [{"id": found, "score": score} for found, score in row]}
        for name, row in zip(asked.names, answers, strict=True)
    ]
    failed = [{"source": name, "reason": reason} for name, reason in asked.failed]
    entries = {"kind": index.kind, "entries": len(index)}
    print_json({"note": NOTE, "index": entries, "results": results, "failed": failed})


def _check_inputs(inputs: Sequence[Path], split: Sequence[str] | None, *, reports: bool) -> bool:
    """Return whether the inputs are datalists."""
    from monai_place.data.datalist import SPLITS

    listed = {path.suffix == ".json" for path in inputs}
    if len(listed) > 1:
        raise typer.BadParameter("give images or datalists, and not both", param_hint="INPUTS")
    if not listed.pop() and (reports or split):
        option = "--reports" if reports else "--split"
        raise typer.BadParameter("needs datalists (.json) as inputs", param_hint=option)
    if unknown := [name for name in split or [] if name not in SPLITS]:
        raise typer.BadParameter(f"{unknown[0]!r} is not one of {', '.join(SPLITS)}", param_hint="--split")
    return inputs[0].suffix == ".json"


def _entries(
    inputs: Sequence[Path], split: Sequence[str] | None, *, listed: bool, reports: bool
) -> tuple[list[str], list[Any]]:
    """Return names, and files or texts."""
    from monai_place.data.datalist import SPLITS, load_records
    from monai_place.data.image_files import image_files

    if not listed:
        files = image_files(inputs)
        return _short_names(files), files
    key = "report" if reports else "image"
    records = [
        record
        for path in inputs
        for name in split or SPLITS
        for record in load_records(path, name, require=(key,), drop_missing=reports)
    ]
    if not records:
        raise ValueError(f"{', '.join(path.name for path in inputs)}: no record has {key!r}")
    return [record["id"] for record in records], [record[key] for record in records]


def _require_new(names: Sequence[str], old: EmbeddingIndex | None, predictor: PLACEPredictor) -> None:
    """Raise, before hours of work, where the index could not take the entries."""
    if len(set(names)) != len(names):
        raise ValueError(f"{len(names) - len(set(names))} of {len(names)} names stand twice among the inputs")
    if old is None:
        return
    if old.model is not None:
        old.require_model(predictor.fingerprint)
    known = set(old.ids)
    if twice := sorted(name for name in names if name in known):
        raise ValueError(
            f"{len(twice)} of {len(names)} names are in the index already, such as {twice[0]!r}; --prefix tells "
            "folders apart"
        )


def _embed_images(
    predictor: PLACEPredictor, names: Sequence[str], files: Sequence[Any], progress: Progress
) -> _Embedded:
    found = predictor.embed_image(list(files), progress=progress)
    failed = [(names[entry.index], entry.reason) for entry in found.failed]
    return _Embedded(found.embeddings, [names[place] for place in found.indices], failed)


def _embed_texts(
    predictor: PLACEPredictor, names: Sequence[str], texts: Sequence[Any], progress: Progress
) -> _Embedded:
    import torch

    parts = []
    for begin in range(0, len(texts), REPORTS_AT_A_TIME):
        parts.append(predictor.embed_text(texts[begin : begin + REPORTS_AT_A_TIME]).reports)
        progress(min(begin + REPORTS_AT_A_TIME, len(texts)), len(texts))
    rows = torch.cat(parts)
    empty = rows.isnan().any(dim=1).tolist()
    kept = [name for name, blank in zip(names, empty, strict=True) if not blank]
    failed = [(name, NO_SENTENCE) for name, blank in zip(names, empty, strict=True) if blank]
    return _Embedded(rows[~torch.tensor(empty)], kept, failed)


def _queries(images: Sequence[Path], texts: Sequence[str], file: Path | None) -> tuple[list[str], list[Any]]:
    """Return a name and a value for each query; a line of a file is named by its number, and a blank one is none."""
    if images:
        from monai_place.data.image_files import image_files

        files = image_files(images)
        return _short_names(files), files
    names, values = list(texts), list(texts)
    for number, line in enumerate(file.read_text(encoding="utf-8-sig").splitlines() if file else (), 1):
        if file and line.strip():
            names.append(f"{file.name}:{number}")
            values.append(line)
    if not names:
        raise ValueError(f"{file.name if file else ''}: no line has a text")
    return names, values


def _short_names(files: Sequence[Path]) -> list[str]:
    from monai_place.inference.images import source_names

    return source_names(list(files))


COMMANDS = (embed, retrieve)
