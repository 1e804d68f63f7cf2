"""Retrieval between images and reports: rank of the right answer, and share of right classes among the first.

Ties are counted against the query: a wrong answer of the same score stands before the right one. A collapsed encoder,
for which all scores are equal, is therefore last and not first. Scores nearer than 1e-6 are equal: the same report
encoded in another batch differs in its last digits.

Scores are made tile by tile in float64 and never kept: 400,000 queries in a gallery of 400,000 need a few hundred MB
beside the embeddings.

Shapes: `Q` queries, `G` items of the gallery, `B` studies, `D` joint features, `C` classes.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from monai_place.metrics.classes import class_columns, class_names
from monai_place.metrics.first_answers import TOLERANCE, key_numbers, label_first_answers
from monai_place.metrics.search import score_tiles

__all__ = ["RetrievalResult", "image_text_retrieval", "precision_by_class", "retrieval_ranks", "retrieval_result"]

KS = (1, 5, 10)


@dataclass(frozen=True)
class RetrievalResult:
    """Retrieval in one direction.

    Args:
        queries: number of queries.
        gallery: number of items searched.
        recall: by k, the share of queries with a right answer among the first k; NaN without queries.
        median_rank: of the first right answer, from 1; NaN without queries.
        precision: by k, mean over the classes of `precision_of`; None without labels.
        precision_of: by class and k, mean over the queries of the class of the share of the class among the first k.
    """

    queries: int
    gallery: int
    recall: dict[int, float]
    median_rank: float
    precision: dict[int, float] | None = None
    precision_of: dict[str, dict[int, float]] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values with flat names such as `recall_at_5`; None for NaN."""
        values: dict[str, Any] = {"queries": self.queries, "gallery": self.gallery}
        values |= _flat("recall", self.recall) | {"median_rank": _json(self.median_rank)}
        if self.precision is not None:
            values |= _flat("precision", self.precision)
        if self.precision_of is not None:
            values["by_class"] = {name: _flat("precision", by_k) for name, by_k in self.precision_of.items()}
        return values


def image_text_retrieval(
    image_embeddings: torch.Tensor,
    text_embeddings: torch.Tensor,
    *,
    reports: Sequence[Hashable] | None = None,
    labels: torch.Tensor | Sequence[Any] | None = None,
    classes: Sequence[str] | None = None,
    ks: Sequence[int] = KS,
    chunk_size: int = 1024,
) -> dict[str, RetrievalResult]:
    """Search reports by image and images by report; row i of both is one study.

    Args:
        image_embeddings: (B, D) unit norm.
        text_embeddings: (B, D) unit norm.
        reports: (B,) the texts, or ids that are equal where texts are. Reports that are equal are then all right
            answers; with None the study's own report alone is, and an equal one is a tie against it.
        labels: class numbers (B,), or (B, C) of 0, 1, NaN; gives precision by class. The study's own report is in the
            gallery; use `precision_by_class` for a gallery of its own.
        classes: names of the classes.
        ks: how many first answers to look at.
        chunk_size: queries at a time; memory is that of chunk_size x 8,192 scores.

    Returns:
        results by direction, `image_to_text` and `text_to_image`.

    Raises:
        ValueError: shapes do not fit or embeddings are not finite.

    Example:
        >>> results = image_text_retrieval(torch.eye(4), torch.eye(4)[[0, 1, 3, 2]], ks=(1, 2))
        >>> results["image_to_text"].recall
        {1: 0.5, 2: 0.5}
    """
    if image_embeddings.shape != text_embeddings.shape:
        shapes = tuple(image_embeddings.shape), tuple(text_embeddings.shape)
        raise ValueError(f"image_embeddings and text_embeddings must share one shape (B, D), got {shapes}")
    studies = len(image_embeddings)
    keys: Sequence[Hashable] = range(studies) if reports is None else reports
    sides = {
        "image_to_text": (image_embeddings, text_embeddings),
        "text_to_image": (text_embeddings, image_embeddings),
    }
    results = {}
    for name, (queries, gallery) in sides.items():
        ranks = retrieval_ranks(queries, gallery, query_keys=keys, gallery_keys=keys, chunk_size=chunk_size)
        precision_of = None
        if labels is not None:
            options: dict[str, Any] = {"classes": classes, "ks": ks, "chunk_size": chunk_size}
            precision_of = precision_by_class(queries, gallery, labels, labels, **options)
        results[name] = retrieval_result(ranks, gallery=studies, ks=ks, precision_of=precision_of)
    return results


def retrieval_ranks(
    queries: torch.Tensor,
    gallery: torch.Tensor,
    *,
    query_keys: Sequence[Hashable],
    gallery_keys: Sequence[Hashable],
    chunk_size: int = 1024,
) -> torch.Tensor:
    """Return the rank, from 1, of each query's best right answer: 1 + the wrong ones that score no less.

    Args:
        queries: (Q, D).
        gallery: (G, D).
        query_keys: (Q,); an item of the gallery is right where its key equals the query's.
        gallery_keys: (G,).
        chunk_size: queries at a time.

    Returns:
        (Q,) int64; G + 1 for a query without a right answer in the gallery.

    Raises:
        ValueError: shapes do not fit or embeddings are not finite.
    """
    for name, rows, keys in (("query_keys", queries, query_keys), ("gallery_keys", gallery, gallery_keys)):
        if len(rows) != len(keys):
            raise ValueError(f"{name} must have one key a row, {len(rows)}, got {len(keys)}")
    _check_rows(queries, gallery, chunk_size)
    wanted, held = key_numbers(query_keys, gallery_keys)
    best = _best_right(queries, gallery, wanted, held, chunk_size)
    ranks = torch.ones(len(queries), dtype=torch.int64)
    for asked, items, scores in score_tiles(queries, gallery, query_chunk=chunk_size):
        wrong = wanted[asked, None] != held[items]
        ranks[asked] += (wrong & (scores >= best[asked, None] - TOLERANCE)).sum(dim=1)
    return ranks.masked_fill(best.isneginf(), len(gallery) + 1)


def retrieval_result(
    ranks: torch.Tensor,
    *,
    gallery: int,
    ks: Sequence[int] = KS,
    precision_of: dict[str, dict[int, float]] | None = None,
) -> RetrievalResult:
    """Sum up ranks.

    Args:
        ranks: (Q,) from `retrieval_ranks`.
        gallery: items searched.
        ks: how many first answers to look at.
        precision_of: from `precision_by_class`.
    """
    _check_ks(ks)
    precision = None
    if precision_of is not None:
        precision = {k: _mean([by_k[k] for by_k in precision_of.values()]) for k in ks}
    return RetrievalResult(
        queries=len(ranks),
        gallery=gallery,
        recall={k: _mean((ranks <= k).double().tolist()) for k in ks},
        median_rank=float(ranks.double().quantile(0.5)) if len(ranks) else float("nan"),
        precision=precision,
        precision_of=precision_of,
    )


def precision_by_class(
    queries: torch.Tensor,
    gallery: torch.Tensor,
    query_labels: torch.Tensor | Sequence[Any],
    gallery_labels: torch.Tensor | Sequence[Any],
    *,
    classes: Sequence[str] | None = None,
    ks: Sequence[int] = KS,
    chunk_size: int = 1024,
) -> dict[str, dict[int, float]]:
    """Return Precision@k by class: among the first k answers to a query of the class, the share that is of the class.

    Answers whose label is not known are in nobody's share. Of equal scores wrong answers come first, then unknown
    ones. Where the gallery has fewer than k items, all of them are the first k.

    Args:
        queries: (Q, D).
        gallery: (G, D).
        query_labels: class numbers (Q,), or (Q, C) of 0, 1, NaN.
        gallery_labels: as `query_labels`, for the gallery.
        classes: names of the classes; numbers where None.
        ks: how many first answers to look at.
        chunk_size: queries at a time.

    Returns:
        by class and k the mean over the class's queries; NaN for a class without queries.

    Raises:
        ValueError: shapes do not fit, embeddings are not finite, or a label is none of the numbers above.
    """
    _check_ks(ks)
    _check_rows(queries, gallery, chunk_size)
    asked, held = class_columns(
        query_labels,
        gallery_labels,
        rows=(len(queries), len(gallery)),
        classes=None if classes is None else len(classes),
    )
    names = class_names(classes, asked.shape[1])
    sums = torch.zeros(len(ks), asked.shape[1], dtype=torch.float64)
    numbers = torch.zeros_like(sums)
    for found in label_first_answers(queries, gallery, held, ks=ks, chunk_size=chunk_size):
        counted = (asked[found.rows] == 1) & ~found.share.isnan()  # (K, q, C)
        sums += torch.where(counted, found.share, 0.0).sum(dim=1)
        numbers += counted.sum(dim=1)
    means = (sums / numbers).tolist()  # 0 / 0 is NaN: no query, no number
    return {name: {k: means[index][c] for index, k in enumerate(ks)} for c, name in enumerate(names)}


def _best_right(
    queries: torch.Tensor, gallery: torch.Tensor, wanted: torch.Tensor, held: torch.Tensor, chunk_size: int
) -> torch.Tensor:
    """Return the score (Q,) of each query's best right answer, -inf without one; only right answers are looked at."""
    best = torch.full((len(queries),), float("-inf"), dtype=torch.float64)
    asked, items = wanted.argsort(stable=True), held.argsort(stable=True)
    keys, counts = wanted[asked].unique_consecutive(return_counts=True)
    sorted_held = held[items]
    begins, ends = (torch.searchsorted(sorted_held, keys, right=side).tolist() for side in (False, True))
    start = 0
    for count, begin, end in zip(counts.tolist(), begins, ends, strict=True):
        rows = asked[start : start + count]
        if begin < end:
            for part, _, scores in score_tiles(queries[rows], gallery[items[begin:end]], query_chunk=chunk_size):
                best[rows[part]] = torch.maximum(best[rows[part]], scores.amax(dim=1))
        start += count
    return best


def _check_rows(queries: torch.Tensor, gallery: torch.Tensor, chunk_size: int) -> None:
    if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1]:
        shapes = tuple(queries.shape), tuple(gallery.shape)
        raise ValueError(f"queries and gallery must be (Q, D) and (G, D), got {shapes[0]} and {shapes[1]}")
    if chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1, got {chunk_size}")
    for name, side in (("queries", queries), ("gallery", gallery)):
        if bad := sum(int((~part.isfinite()).any(dim=1).sum()) for part in side.detach().split(65536)):
            raise ValueError(f"{name} must be finite, got {bad} rows that are not")


def _check_ks(ks: Sequence[int]) -> None:
    if not ks or any(k < 1 for k in ks):
        raise ValueError(f"ks must hold numbers of at least 1, got {list(ks)}")


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if value == value]
    return sum(known) / len(known) if known else float("nan")


def _flat(name: str, by_k: dict[int, float]) -> dict[str, float | None]:
    return {f"{name}_at_{k}": _json(value) for k, value in by_k.items()}


def _json(value: float) -> float | None:
    return None if value != value else value
