"""Embeddings with their ids, and exact search in them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from monai_place.inference.index_folder import (
    KINDS,
    IndexContent,
    IndexKind,
    append_content,
    read_content,
    write_content,
)
from monai_place.inference.index_segments import PackedIds, Segment, unit_rows
from monai_place.metrics.search import ENTRIES_AT_A_TIME, SearchEngine, TopEntries, top_entries

__all__ = ["EmbeddingIndex", "SearchResult"]


@dataclass(frozen=True)
class SearchResult:
    """The best entries for each of Q queries, best first.

    Args:
        ids: k ids for each query.
        scores: (Q, k), cosines.
    """

    ids: tuple[tuple[str, ...], ...]
    scores: torch.Tensor


class EmbeddingIndex:
    """Embeddings of images or of reports, and their ids.

    In a folder it is a small head and segments (`monai_place.inference.index_folder`): opening it reads the head,
    adding to it writes one more segment, and a reader finds the old index or the new one, whole.

    Args:
        embeddings: (M, D), not zero; they are brought to unit norm.
        ids: M different texts.
        kind: what the entries are, `images` or `reports`.
        model: fingerprint of the model that made them, see `model_fingerprint`; None leaves it open.

    Raises:
        ValueError: the numbers differ, an id stands twice, an embedding is zero or not finite, or the kind is unknown.

    Example:
        >>> index = EmbeddingIndex(torch.eye(3), ["a", "b", "c"])
        >>> index.search(torch.tensor([[0.1, 0.9, 0.2]]), k=2).ids
        (('b', 'c'),)
    """

    def __init__(
        self, embeddings: torch.Tensor, ids: Sequence[str], *, kind: IndexKind = "images", model: str | None = None
    ) -> None:
        if embeddings.dim() != 2 or len(embeddings) != len(ids):
            raise ValueError(f"embeddings {tuple(embeddings.shape)} must be ({len(ids)}, D) for {len(ids)} ids")
        if len(set(ids)) != len(ids):
            raise ValueError(f"{len(ids) - len(set(ids))} of {len(ids)} ids stand twice")
        if kind not in KINDS:
            raise ValueError(f"kind must be one of {KINDS}, got {kind!r}")
        segment = Segment(unit_rows(embeddings, "embedding"), PackedIds.pack([str(entry) for entry in ids]))
        self._content = IndexContent(kind, model, (segment,))

    def __len__(self) -> int:
        return len(self._content)

    @property
    def kind(self) -> IndexKind:
        """What the entries are."""
        return self._content.kind

    @property
    def model(self) -> str | None:
        """Fingerprint of the model that made the embeddings; None where it is not known."""
        return self._content.model

    @property
    def ids(self) -> tuple[str, ...]:
        """All M ids; all of them are read."""
        return tuple(text for segment in self._content.segments for text in segment.ids)

    @property
    def embeddings(self) -> torch.Tensor:
        """(M, D) float32, unit norm; all of them in one tensor."""
        parts = [segment.embeddings for segment in self._content.segments]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def append(self, embeddings: torch.Tensor, ids: Sequence[str]) -> EmbeddingIndex:
        """Return an index in memory with more entries; `append_to` adds to a folder.

        Raises:
            ValueError: as in the class; an id that is there already counts as one that stands twice.
        """
        mine = self.embeddings
        if embeddings.dim() != 2 or embeddings.shape[1] != mine.shape[1]:
            raise ValueError(f"embeddings {tuple(embeddings.shape)} must be (M, {mine.shape[1]})")
        rows = torch.cat([mine, embeddings.float().cpu()])
        return EmbeddingIndex(rows, [*self.ids, *ids], kind=self.kind, model=self.model)

    def search(
        self, queries: torch.Tensor, *, k: int = 10, chunk: int = ENTRIES_AT_A_TIME, engine: SearchEngine = "auto"
    ) -> SearchResult:
        """Find the nearest entries by cosine, exactly; of equal ones the earlier entry comes first.

        Args:
            queries: (Q, D), not zero.
            k: entries wanted; fewer where the index holds fewer.
            chunk: entries compared at a time; memory is that of 1,024 x chunk scores, and of the answers.
            engine: `torch`, `faiss`, or `auto`: faiss where it is installed; the answers are the same.

        Raises:
            ValueError: the widths differ, a query is zero or not finite, or a number is below 1.
        """
        found = self.search_places(queries, k=k, chunk=chunk, engine=engine)
        names: dict[int, str] = {}
        for place in found.places.unique().tolist():
            names[place] = self._id(place)
        return SearchResult(tuple(tuple(names[place] for place in row) for row in found.places.tolist()), found.scores)

    def search_places(
        self, queries: torch.Tensor, *, k: int = 10, chunk: int = ENTRIES_AT_A_TIME, engine: SearchEngine = "auto"
    ) -> TopEntries:
        """Do what `search` does, with the places of the entries in place of their ids: for very many queries.

        Args:
            queries: see `search`.
            k: see `search`.
            chunk: see `search`.
            engine: see `search`.
        """
        parts = [segment.embeddings for segment in self._content.segments]
        width = parts[0].shape[1]
        if queries.dim() != 2 or queries.shape[1] != width:
            raise ValueError(f"queries {tuple(queries.shape)} must be (Q, {width})")
        if k < 1 or chunk < 1:
            raise ValueError(f"k is {k} and chunk {chunk}, expected numbers of at least 1")
        return top_entries(unit_rows(queries, "query"), parts, k=k, chunk_size=chunk, engine=engine)

    def require_model(self, fingerprint: str) -> None:
        """Raise where the embeddings were made by another model, since their cosines would mean nothing.

        Args:
            fingerprint: of the model at hand, from `model_fingerprint`.

        Raises:
            ValueError: it is another one.
        """
        if self.model is not None and self.model != fingerprint:
            raise ValueError(
                f"the index was made by another model: fingerprint {self.model[:12]}, this model's is "
                f"{fingerprint[:12]}; search with that model, or embed anew with this one"
            )

    def verify(self) -> None:
        """Read everything and compare it with what was written.

        Raises:
            WeightsError: a file was changed, an embedding has not unit norm, or an id stands twice.
        """
        for segment in self._content.segments:
            segment.verify()

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write the index in place of what is there; a reader finds the old one or the new one, never a mixture.

        Args:
            folder: made where it is missing.

        Raises:
            IndexLockedError: another process is writing.
        """
        write_content(folder, self._content)
        return Path(folder)

    def append_to(self, folder: str | os.PathLike[str]) -> EmbeddingIndex:
        """Add the entries to the index of a folder, or make it; what is there is not written again.

        Args:
            folder: made where it is missing.

        Returns:
            The whole index.

        Raises:
            ValueError: kind, model or width differ, or an id is there already.
            IndexLockedError: another process is writing.
        """
        return self._of(append_content(folder, self._content))

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> EmbeddingIndex:
        """Open an index; embeddings and ids are mapped, and read when they are used.

        Raises:
            FileNotFoundError: there is none.
            WeightsError: it is damaged.
        """
        return cls._of(read_content(folder))

    @classmethod
    def _of(cls, content: IndexContent) -> EmbeddingIndex:
        index = cls.__new__(cls)
        index._content = content
        return index

    def _id(self, place: int) -> str:
        for segment in self._content.segments:
            if place < len(segment):
                return segment.ids[place]
            place -= len(segment)
        raise IndexError(place)
