"""A folder of embeddings with their ids, and exact search in it."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from monai_place.atomic import atomic_path, write_json_atomic
from monai_place.weights import WeightsError, read_safetensors

__all__ = ["EmbeddingIndex", "SearchResult"]

FORMAT_VERSION = 1
HEAD = "index.json"


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
    """Embeddings and their ids.

    On disk it is a folder with `index.json` (ids, and the name of the embedding file) and one safetensors file. A save
    writes a new embedding file and then replaces `index.json`, so that whoever reads finds the old index or the new
    one, whole.

    Args:
        embeddings: (M, D), not zero; they are brought to unit norm.
        ids: M different texts.

    Raises:
        ValueError: the numbers differ, an id stands twice, or an embedding is zero or not finite.

    Example:
        >>> index = EmbeddingIndex(torch.eye(3), ["a", "b", "c"])
        >>> index.search(torch.tensor([[0.1, 0.9, 0.2]]), k=2).ids
        (('b', 'c'),)
    """

    def __init__(self, embeddings: torch.Tensor, ids: Sequence[str]) -> None:
        if embeddings.dim() != 2 or len(embeddings) != len(ids):
            raise ValueError(f"embeddings {tuple(embeddings.shape)} must be ({len(ids)}, D) for {len(ids)} ids")
        if len(set(ids)) != len(ids):
            raise ValueError(f"{len(ids) - len(set(ids))} of {len(ids)} ids stand twice")
        self.ids = tuple(str(entry) for entry in ids)
        self.embeddings = _unit(embeddings, "embedding")

    def __len__(self) -> int:
        return len(self.ids)

    def append(self, embeddings: torch.Tensor, ids: Sequence[str]) -> EmbeddingIndex:
        """Return an index with more entries.

        Raises:
            ValueError: as in the class; an id that is there already counts as one that stands twice.
        """
        if embeddings.dim() != 2 or embeddings.shape[1] != self.embeddings.shape[1]:
            raise ValueError(f"embeddings {tuple(embeddings.shape)} must be (M, {self.embeddings.shape[1]})")
        return EmbeddingIndex(torch.cat([self.embeddings, embeddings.float().cpu()]), [*self.ids, *ids])

    def search(self, queries: torch.Tensor, *, k: int = 10, chunk: int = 65536) -> SearchResult:
        """Find the nearest entries by cosine, exactly; of equal ones the earlier entry comes first.

        Args:
            queries: (Q, D), not zero.
            k: entries wanted; fewer where the index holds fewer.
            chunk: entries compared at a time, which bounds the memory to Q * chunk scores.

        Raises:
            ValueError: the widths differ, a query is zero or not finite, or a number is below 1.
        """
        if queries.dim() != 2 or queries.shape[1] != self.embeddings.shape[1]:
            raise ValueError(f"queries {tuple(queries.shape)} must be (Q, {self.embeddings.shape[1]})")
        if k < 1 or chunk < 1:
            raise ValueError(f"k is {k} and chunk {chunk}, expected numbers of at least 1")
        queries = _unit(queries, "query")
        scores, places = queries.new_zeros(len(queries), 0), torch.zeros(len(queries), 0, dtype=torch.long)
        for begin in range(0, len(self), chunk):
            part = queries @ self.embeddings[begin : begin + chunk].t()  # (Q, chunk)
            number = torch.arange(begin, begin + part.shape[1]).expand(len(queries), -1)
            scores, places = torch.cat([scores, part], dim=1), torch.cat([places, number], dim=1)
            # A stable sort keeps the earlier of equal entries; topk promises no order among them.
            order = scores.sort(dim=1, descending=True, stable=True).indices[:, :k]
            scores, places = scores.gather(1, order), places.gather(1, order)
        return SearchResult(tuple(tuple(self.ids[place] for place in row) for row in places.tolist()), scores)

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write the index; a reader finds the old one or the new one, never a mixture.

        Args:
            folder: made where it is missing.
        """
        from safetensors.torch import save_file

        folder = Path(folder)
        digest = hashlib.sha256(json.dumps(self.ids).encode())
        digest.update(self.embeddings.numpy().tobytes())
        name = f"embeddings-{digest.hexdigest()[:16]}.safetensors"
        with atomic_path(folder / name) as temporary:
            save_file({"embeddings": self.embeddings}, temporary)
        head = {"format_version": FORMAT_VERSION, "file": name, "ids": list(self.ids)}
        write_json_atomic(folder / HEAD, head, indent=None)
        for old in folder.glob("embeddings-*.safetensors"):
            if old.name != name:
                old.unlink(missing_ok=True)
        return folder

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> EmbeddingIndex:
        """Read an index.

        Raises:
            FileNotFoundError: there is none.
            WeightsError: it is damaged.
        """
        folder = Path(folder)
        try:
            head = json.loads((folder / HEAD).read_text(encoding="utf-8"))
            name, ids = head["file"], head["ids"]
            if head["format_version"] > FORMAT_VERSION or Path(name).name != name:
                raise ValueError("it names another format or another folder")
        except FileNotFoundError:
            raise FileNotFoundError(f"{folder.name!r} holds no index ({HEAD})") from None
        except (ValueError, TypeError, KeyError) as error:
            raise WeightsError(f"{folder.name}/{HEAD}: not an index: {type(error).__name__}: {error}") from None
        tensors, _ = read_safetensors(folder / name)
        try:
            return cls(tensors["embeddings"], ids)
        except (KeyError, ValueError, TypeError) as error:
            raise WeightsError(f"{folder.name}/{name}: does not fit {HEAD}: {error}") from None


def _unit(rows: torch.Tensor, what: str) -> torch.Tensor:
    rows = rows.detach().float().cpu()
    norm = rows.norm(dim=1, keepdim=True)
    if bad := [index for index, good in enumerate((norm.isfinite() & (norm > 0)).flatten().tolist()) if not good]:
        raise ValueError(f"{len(bad)} {what} rows are zero or not finite, such as row {bad[0]}")
    # Rows that have it already stay bit for bit, so that a saved index is the same index.
    return torch.where((norm - 1).abs() < 1e-6, rows, rows / norm).contiguous()
