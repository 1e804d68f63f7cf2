"""The folder of an index: a small head, and segments that are written once.

| file | what it is |
|---|---|
| `index.json` | the head: kind, fingerprint of the model, rows, and the segments in order; replaced as a whole |
| `segment-*.safetensors` | embeddings and ids, see `monai_place.inference.index_segments` |
| `.index.lock` | held by the process that writes |

Whoever adds writes a segment, then the head. A process that is killed in between leaves a file that no head names; the
next one that adds takes it away. Many small segments become one: their number stays below `MAX_SEGMENTS`. Folders of
format 1 (ids in the head, one file of embeddings) are read, and become format 2 when they are added to.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import torch

from monai_place.atomic import TEMPORARY_SUFFIX, write_json_atomic
from monai_place.inference.index_segments import PackedIds, Segment, read_segment, unit_rows, write_segment
from monai_place.weights import WeightsError, read_safetensors

__all__ = [
    "IndexContent",
    "IndexKind",
    "IndexLockedError",
    "append_content",
    "read_content",
    "write_content",
]

logger = logging.getLogger(__name__)

IndexKind: TypeAlias = Literal["images", "reports"]
KINDS = get_args(IndexKind)
FORMAT_VERSION = 2
HEAD = "index.json"
LOCK = ".index.lock"
LOCK_TIMEOUT_S = 60.0  # adding takes seconds, since embedding is done before
MAX_SEGMENTS = 32
TRIES = 3  # of a reader, when a writer takes away what the head named a moment ago


class IndexLockedError(OSError):
    """Another process is writing the index."""


@dataclass(frozen=True)
class IndexContent:
    """What an index is made of.

    Args:
        kind: what its entries are.
        model: fingerprint of the model, see `model_fingerprint`; None where it is not known.
        segments: the entries, in order.
    """

    kind: IndexKind
    model: str | None
    segments: tuple[Segment, ...]

    def __len__(self) -> int:
        return sum(map(len, self.segments))


def read_content(folder: str | os.PathLike[str]) -> IndexContent:
    """Open an index; the embeddings are mapped, not read.

    Args:
        folder: of the index.

    Raises:
        FileNotFoundError: there is none.
        WeightsError: it is damaged, or of a later format.
    """
    folder = Path(folder)
    for attempt in range(TRIES):
        head = _read_head(folder)
        try:
            return _open(folder, head)
        except FileNotFoundError as error:  # a segment was merged into another since the head was read
            if attempt == TRIES - 1:
                raise WeightsError(f"{folder.name}/{HEAD}: names a file that is missing: {error}") from None
    raise AssertionError("unreachable")


def write_content(folder: str | os.PathLike[str], content: IndexContent) -> None:
    """Write an index in place of what is there; a reader finds the old one or the new one.

    Args:
        folder: made where it is missing.
        content: the index.

    Raises:
        IndexLockedError: another process is writing.
        NotADirectoryError: `folder` is a file.
    """
    folder = Path(folder)
    with _locked(folder):
        _commit(folder, replace(content, segments=tuple(replace(entry, file="") for entry in content.segments)))


def append_content(folder: str | os.PathLike[str], added: IndexContent) -> IndexContent:
    """Add entries to the index of a folder, or make it; a reader finds the old one or the new one.

    Args:
        folder: made where it is missing.
        added: entries of the same kind, made by the same model.

    Returns:
        The whole index.

    Raises:
        ValueError: kind, model or width differ, or an id is there already.
        IndexLockedError: another process is writing.
        WeightsError: the index is damaged.
        NotADirectoryError: `folder` is a file.
    """
    folder = Path(folder)
    with _locked(folder):
        if not (folder / HEAD).exists():
            return _commit(folder, added)
        old = read_content(folder)
        _require_alike(folder.name, old, added)
        return _commit(folder, replace(old, segments=_merge_tail((*old.segments, *added.segments))))


def _commit(folder: Path, content: IndexContent) -> IndexContent:
    """Write the segments that have no file yet, then the head, then take away what the head does not name."""
    segments = tuple(entry if entry.file else write_segment(folder, entry) for entry in content.segments)
    width = segments[0].embeddings.shape[1] if segments else 0
    head = {
        "format_version": FORMAT_VERSION,
        "kind": content.kind,
        "model": content.model,
        "rows": len(content),
        "width": width,
        "segments": [{"file": entry.file, "rows": len(entry), "sha256": entry.sha256} for entry in segments],
    }
    write_json_atomic(folder / HEAD, head)
    named = {entry.file for entry in segments}
    stale = [path for pattern in ("segment-*", "embeddings-*") for path in folder.glob(f"{pattern}.safetensors")]
    stale += folder.glob(f".*{TEMPORARY_SUFFIX}*")  # of a process that was killed: we hold the lock
    for path in stale:
        if path.name not in named:
            with suppress(OSError):  # where a reader holds it open, the next one who adds takes it away
                path.unlink()
    return replace(content, segments=segments)


def _merge_tail(segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """Merge the last segments where there are too many: as far as each is about as small as all after it."""
    if len(segments) <= MAX_SEGMENTS:
        return tuple(segments)
    first = len(segments) - 1
    rows = len(segments[first])
    while first > 0 and len(segments[first - 1]) <= 2 * rows:
        first -= 1
        rows += len(segments[first])
    for segment in segments[first:]:
        segment.verify()  # before its values get a new check sum
    embeddings = torch.cat([segment.embeddings for segment in segments[first:]])
    ids = PackedIds.pack([text for segment in segments[first:] for text in segment.ids])
    return (*segments[:first], Segment(embeddings, ids))


def _require_alike(name: str, old: IndexContent, added: IndexContent) -> None:
    if old.kind != added.kind:
        raise ValueError(f"{name} is an index of {old.kind}, {added.kind} cannot be added to it")
    if old.model is not None and added.model is not None and old.model != added.model:
        raise ValueError(
            f"{name} was made by another model: fingerprint {old.model[:12]}, this model's is {added.model[:12]}; "
            "embed all entries anew with one model"
        )
    widths = {segment.embeddings.shape[1] for segment in (*old.segments, *added.segments)}
    if len(widths) > 1:
        raise ValueError(f"{name} and what is added have embeddings of different widths, {sorted(widths)}")
    known = {text for segment in old.segments for text in segment.ids}
    new = [text for segment in added.segments for text in segment.ids]
    if twice := [text for text in new if text in known]:
        raise ValueError(f"{len(twice)} of {len(new)} ids are in {name} already, such as {twice[0]!r:.80}")


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    from filelock import FileLock, Timeout

    if folder.is_file():
        raise NotADirectoryError(f"{folder.name!r} is a file; a folder is expected, for the files of an index")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / LOCK, timeout=LOCK_TIMEOUT_S):
            yield
    except Timeout:
        raise IndexLockedError(
            f"{folder.name}: another process is writing this index; waited {LOCK_TIMEOUT_S:.0f} s"
        ) from None


def _read_head(folder: Path) -> dict[str, Any]:
    try:
        head = json.loads((folder / HEAD).read_text(encoding="utf-8"))
        if head["format_version"] > FORMAT_VERSION:
            raise ValueError(
                f"format {head['format_version']} is newer than {FORMAT_VERSION}, which this version reads"
            )
        files = [head["file"]] if head["format_version"] == 1 else [entry["file"] for entry in head["segments"]]
        if not files:
            raise ValueError("it names no segment")
        if outside := [name for name in files if Path(name).name != name]:
            raise ValueError(f"it names a file of another folder: {outside[0]!r:.80}")
        if head["format_version"] > 1 and head["kind"] not in KINDS:
            raise ValueError(f"kind {head['kind']!r:.80} is not one of {KINDS}")
        return dict(head)
    except FileNotFoundError:
        raise FileNotFoundError(f"{folder.name!r} holds no index ({HEAD})") from None
    except (ValueError, TypeError, KeyError) as error:
        raise WeightsError(f"{folder.name}/{HEAD}: not an index: {type(error).__name__}: {error}") from None


def _open(folder: Path, head: dict[str, Any]) -> IndexContent:
    if head["format_version"] == 1:
        return IndexContent("images", None, (_read_first_format(folder, head),))
    try:
        width, model = int(head["width"]), head["model"]
        wanted = [(str(entry["file"]), int(entry["rows"]), str(entry["sha256"])) for entry in head["segments"]]
        if sum(rows for _, rows, _ in wanted) != head["rows"] or not isinstance(model, str | None):
            raise ValueError("rows or model are not what they should be")
    except (ValueError, TypeError, KeyError) as error:
        raise WeightsError(f"{folder.name}/{HEAD}: not an index: {type(error).__name__}: {error}") from None
    segments = [read_segment(folder, file, rows=rows, width=width, sha256=digest) for file, rows, digest in wanted]
    return IndexContent(head["kind"], model, tuple(segments))


def _read_first_format(folder: Path, head: dict[str, Any]) -> Segment:
    """Read format 1, which knew neither kind nor model."""
    logger.warning(
        "%s: an index of format 1 does not say which model made it; embed anew to have it checked", folder.name
    )
    tensors, _ = read_safetensors(folder / head["file"])
    try:
        embeddings, ids = tensors["embeddings"], [str(entry) for entry in head["ids"]]
        if embeddings.ndim != 2 or len(embeddings) != len(ids) or len(set(ids)) != len(ids):
            raise ValueError(f"embeddings {tuple(embeddings.shape)} for {len(ids)} ids, {len(set(ids))} different")
        return Segment(unit_rows(embeddings, "embedding"), PackedIds.pack(ids))
    except (KeyError, ValueError, TypeError) as error:
        raise WeightsError(f"{folder.name}/{head['file']}: does not fit {HEAD}: {error}") from None
