"""Exact search: the entries that are most like a query, in bounded memory, by torch or by faiss.

Candidates are found in float32, a tile of queries and entries at a time, and compared in float64. Their order is thus
the same whatever the tiles are and whoever finds them: by score, and of equal scores the earlier entry comes first.
Where more entries than the candidates are within the error of float32 of the k-th best one (a report that an archive
holds ten thousand times), all of them are compared.

Shapes: `Q` queries, `G` entries, `D` features.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import torch

__all__ = ["SearchEngine", "TopEntries", "has_faiss", "score_tiles", "top_entries"]

SearchEngine: TypeAlias = Literal["auto", "torch", "faiss"]
ENGINES = ("auto", "torch", "faiss")
QUERIES_AT_A_TIME = 1024
ENTRIES_AT_A_TIME = 8192
COMPARED_AT_A_TIME = 1 << 21  # numbers of candidates in float64: 16 MB
SPARE = 16  # candidates beyond k, so that near-equal scores seldom need a second look


class TopEntries(NamedTuple):
    """The best entries for each query, best first.

    Args:
        scores: (Q, k) float32, inner products.
        places: (Q, k) int64, rows of the gallery.
    """

    scores: torch.Tensor
    places: torch.Tensor


def has_faiss() -> bool:
    """Tell whether faiss is installed."""
    return find_spec("faiss") is not None


def top_entries(
    queries: torch.Tensor,
    gallery: torch.Tensor | Sequence[torch.Tensor],
    *,
    k: int,
    chunk_size: int = ENTRIES_AT_A_TIME,
    query_chunk: int = QUERIES_AT_A_TIME,
    engine: SearchEngine = "auto",
) -> TopEntries:
    """Return the k entries of the gallery with the largest inner product, exactly.

    Args:
        queries: (Q, D) float32, unit norm.
        gallery: (G, D) float32, unit norm; or its parts, one after the other, which may be mapped from files.
        k: entries wanted; all where the gallery holds fewer.
        chunk_size: entries compared at a time; memory is query_chunk x chunk_size scores.
        query_chunk: queries at a time.
        engine: who finds the candidates; `auto` is faiss where it is installed. The answer is the same.

    Raises:
        ValueError: shapes do not fit, a number is below 1, or the engine is unknown.
        ImportError: faiss is asked for and not installed.

    Example:
        >>> found = top_entries(torch.eye(3)[:1], [torch.eye(3), torch.eye(3)], k=2)
        >>> found.places.tolist(), found.scores.tolist()
        ([[0, 3]], [[1.0, 1.0]])
    """
    parts = [gallery] if isinstance(gallery, torch.Tensor) else list(gallery)
    _check(queries, parts, k=k, chunk_size=chunk_size, query_chunk=query_chunk, engine=engine)
    total = sum(map(len, parts))
    k = min(k, total)
    wanted = min(k + SPARE, total)
    use_faiss = engine == "faiss" or (engine == "auto" and has_faiss())
    scores = torch.zeros(len(queries), k)
    places = torch.zeros(len(queries), k, dtype=torch.int64)
    for start in range(0, len(queries) if k else 0, query_chunk):
        asked = queries[start : start + query_chunk]
        if use_faiss:
            near = _candidates_of_faiss(asked, parts, wanted)
        else:
            near = _candidates(asked, parts, wanted, chunk_size)
        rows = max(1, COMPARED_AT_A_TIME // (wanted * queries.shape[1]))
        for first in range(0, len(asked), rows):
            some = slice(first, first + rows)
            here = slice(start + first, start + first + len(asked[some]))
            found = _settle(asked[some], parts, (near[0][some], near[1][some]), k, chunk_size)
            scores[here], places[here] = found
    return TopEntries(scores, places)


def score_tiles(
    queries: torch.Tensor, gallery: torch.Tensor, *, query_chunk: int, chunk_size: int = ENTRIES_AT_A_TIME
) -> Iterator[tuple[slice, slice, torch.Tensor]]:
    """Yield rows of the queries, rows of the gallery and their inner products in float64, all of them tile by tile.

    Args:
        queries: (Q, D).
        gallery: (G, D).
        query_chunk: queries of a tile.
        chunk_size: entries of a tile.

    Example:
        >>> sum(scores.numel() for _, _, scores in score_tiles(torch.eye(5), torch.eye(5), query_chunk=2, chunk_size=3))
        25
    """
    for start in range(0, len(queries), query_chunk):
        asked = queries[start : start + query_chunk].detach().to("cpu", torch.float64)
        rows = slice(start, start + len(asked))
        for begin, part in _chunks([gallery], chunk_size):
            yield rows, slice(begin, begin + len(part)), asked @ part.detach().to("cpu", torch.float64).T


def _candidates(
    queries: torch.Tensor, parts: Sequence[torch.Tensor], wanted: int, chunk_size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return float32 scores and places (q, wanted) of the best entries, best first."""
    scores, places = torch.zeros(len(queries), 0), torch.zeros(len(queries), 0, dtype=torch.int64)
    for begin, part in _chunks(parts, chunk_size):
        best, column = (queries @ part.T).topk(min(wanted, len(part)), dim=1)
        scores, places = torch.cat([scores, best], dim=1), torch.cat([places, column + begin], dim=1)
        scores, order = scores.topk(min(wanted, scores.shape[1]), dim=1)
        places = places.gather(1, order)
    return scores, places


def _candidates_of_faiss(
    queries: torch.Tensor, parts: Sequence[torch.Tensor], wanted: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what `_candidates` does; this is faiss' IndexFlatIP without its copy of the entries."""
    import faiss

    scores, places = [], []
    begin = 0
    for part in parts:
        if count := min(wanted, len(part)):
            rows = (part.contiguous().numpy(), queries.contiguous().numpy())
            best, column = faiss.knn(rows[1], rows[0], count, metric=faiss.METRIC_INNER_PRODUCT)
            scores.append(torch.from_numpy(best))
            places.append(torch.from_numpy(column) + begin)
        begin += len(part)
    best_scores, order = torch.cat(scores, dim=1).topk(wanted, dim=1)
    return best_scores, torch.cat(places, dim=1).gather(1, order)


def _settle(
    queries: torch.Tensor,
    parts: Sequence[torch.Tensor],
    near: tuple[torch.Tensor, torch.Tensor],
    k: int,
    chunk_size: int,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scores and places (q, k) in float64's order from candidates (q, wanted) in float32's."""
    rough, places = near
    places, _ = places.sort(dim=1)
    scores = _exact(queries[:, None], _rows(parts, places))  # (q, wanted)
    order = scores.sort(dim=1, descending=True, stable=True).indices[:, :k]  # of equal ones the earlier place
    scores, places = scores.gather(1, order), places.gather(1, order)
    # Whatever float32 puts this far below the k-th best is below it in float64, too: both may be wrong by `error`.
    error = queries.shape[1] * 2.0**-23
    floor = rough[:, k - 1] - 2 * error
    crowded = (rough[:, -1] >= floor) & (rough.shape[1] < sum(map(len, parts)))
    for row in crowded.nonzero()[:, 0].tolist():
        scores[row], places[row] = _search_all(queries[row], parts, float(floor[row]), k, chunk_size)
    return scores.float(), places


def _search_all(
    query: torch.Tensor, parts: Sequence[torch.Tensor], floor: float, k: int, chunk_size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return scores and places (k,) of a query (D,) from all entries that float32 puts at the floor or above."""
    scores, places = np.zeros(0), np.zeros(0, dtype=np.int64)
    for begin, part in _chunks(parts, chunk_size):
        near = (part @ query >= floor).nonzero()[:, 0]
        scores = np.concatenate([scores, _exact(query, part[near]).numpy()])
        places = np.concatenate([places, near.numpy() + begin])
        order = np.lexsort((places, -scores))[:k]
        scores, places = scores[order], places[order]
    return torch.from_numpy(scores), torch.from_numpy(places)


def _exact(queries: torch.Tensor, entries: torch.Tensor) -> torch.Tensor:
    """Inner products in float64, each made in the same way, so that equal entries have equal scores."""
    return (queries.double() * entries.double()).sum(dim=-1)


def _rows(parts: Sequence[torch.Tensor], places: torch.Tensor) -> torch.Tensor:
    """Return the entries (q, n, D) at places (q, n) of a gallery in parts."""
    if len(parts) == 1:
        return parts[0][places]
    found = parts[0].new_zeros(*places.shape, parts[0].shape[1])
    begin = 0
    for part in parts:
        here = (places >= begin) & (places < begin + len(part))
        found[here] = part[places[here] - begin]
        begin += len(part)
    return found


def _chunks(parts: Sequence[torch.Tensor], chunk_size: int) -> Iterator[tuple[int, torch.Tensor]]:
    begin = 0
    for part in parts:
        for start in range(0, len(part), chunk_size):
            yield begin + start, part[start : start + chunk_size]
        begin += len(part)


def _check(queries: torch.Tensor, parts: Sequence[torch.Tensor], *, engine: str, **numbers: int) -> None:
    widths = {tuple(rows.shape[1:]) for rows in (queries, *parts)}
    if queries.ndim != 2 or len(widths) != 1:
        shapes = [tuple(part.shape) for part in parts[:3]]
        raise ValueError(f"queries and gallery must be (Q, D) and (G, D), got {tuple(queries.shape)} and {shapes}")
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name} must be at least 1, got {number}")
    if engine not in ENGINES:
        raise ValueError(f"engine must be one of {ENGINES}, got {engine!r}")
    if engine == "faiss" and not has_faiss():
        raise ImportError("faiss is not installed; `pip install faiss-cpu` brings it, and engine='torch' needs nothing")
