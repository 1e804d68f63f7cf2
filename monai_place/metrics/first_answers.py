"""How many of the first answers to a query are right: the counts behind Precision@k and Hit@k, in bounded memory.

Ties are counted against the query: of scores nearer than 1e-6 wrong answers come first, then those whose label is not
known, then right ones.

Shapes: `Q` queries, `q` queries of a chunk, `G` items of the gallery, `D` features, `C` classes, `K` numbers k.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

import torch

from monai_place.metrics.search import score_tiles

__all__ = ["TOLERANCE", "FirstAnswers", "key_numbers", "label_first_answers"]

TOLERANCE = 1e-6  # of scores of unit embeddings


class FirstAnswers(NamedTuple):
    """The first k answers to some queries, for each k and class.

    Args:
        rows: which queries.
        right: (K, q, C) float64, answers that are of the class.
        wrong: (K, q, C) float64, answers that are not.
    """

    rows: slice
    right: torch.Tensor
    wrong: torch.Tensor

    @property
    def share(self) -> torch.Tensor:
        """(K, q, C) share of right ones among those whose label is known; NaN where none is."""
        return self.right / (self.right + self.wrong)


def label_first_answers(
    queries: torch.Tensor,
    gallery: torch.Tensor,
    held: torch.Tensor,
    *,
    ks: Sequence[int],
    chunk_size: int,
    groups: tuple[Sequence[Hashable], Sequence[Hashable]] | None = None,
) -> Iterator[FirstAnswers]:
    """Yield the counts of a chunk of queries after the other.

    Args:
        queries: (Q, D), finite.
        gallery: (G, D), finite.
        held: (G, C) of 0, 1, NaN.
        ks: how many first answers to look at; where the gallery has fewer items, all of them are the first k.
        chunk_size: queries at a time.
        groups: (Q,) and (G,), such as patients: an item of the query's own group is no answer to it.

    Example:
        >>> held = torch.tensor([[1.0], [0.0], [1.0]])
        >>> next(label_first_answers(torch.eye(3), torch.eye(3), held, ks=(1, 3), chunk_size=8)).share[:, :, 0].T
        tensor([[1.0000, 0.6667],
                [0.0000, 0.6667],
                [1.0000, 0.6667]], dtype=torch.float64)
    """
    right, wrong = (held == 1).float(), (held == 0).float()  # (G, C)
    asked, owned = key_numbers(*groups) if groups is not None else (None, None)
    for start in range(0, len(queries), chunk_size):
        some = queries[start : start + chunk_size]
        own = None if asked is None or owned is None else (asked[start : start + chunk_size], owned)
        last, places = _last_of_first(some, gallery, own, ks)
        counts = torch.zeros(4, len(ks), len(some), held.shape[1], dtype=torch.float64)
        above_all, level_all = torch.zeros(2, len(ks), len(some), dtype=torch.float64)
        for columns, scores in _tiles(some, gallery, own):
            for index in range(len(ks)):
                above = scores > last[index, :, None] + TOLERANCE
                level = (scores >= last[index, :, None] - TOLERANCE) & ~above
                for offset, mask in ((0, above.float()), (2, level.float())):
                    counts[offset, index] += mask @ right[columns]
                    counts[offset + 1, index] += mask @ wrong[columns]
                above_all[index] += above.sum(dim=1)
                level_all[index] += level.sum(dim=1)
        above_right, above_wrong, level_right, level_wrong = counts
        left = (places - above_all)[:, :, None]  # for the level ones
        unknown = level_all[:, :, None] - level_right - level_wrong
        yield FirstAnswers(
            rows=slice(start, start + len(some)),
            right=above_right + (left - level_wrong - unknown).clamp(min=0),
            wrong=above_wrong + torch.minimum(left, level_wrong),
        )


def key_numbers(first: Sequence[Hashable], second: Sequence[Hashable]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return numbers in place of keys; equal keys have equal numbers.

    Example:
        >>> [numbers.tolist() for numbers in key_numbers(["a", "b"], ["b", "c"])]
        [[0, 1], [1, 2]]
    """
    numbers: dict[Hashable, int] = {}
    both = torch.tensor([numbers.setdefault(key, len(numbers)) for key in (*first, *second)], dtype=torch.int64)
    return both[: len(first)], both[len(first) :]


def _last_of_first(
    queries: torch.Tensor, gallery: torch.Tensor, own: tuple[torch.Tensor, torch.Tensor] | None, ks: Sequence[int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the score (K, q) of the last of the first k answers, and how many (K, q) these are."""
    top = queries.new_zeros(len(queries), 0, dtype=torch.float64)
    answers = torch.zeros(len(queries), dtype=torch.int64)
    for _, scores in _tiles(queries, gallery, own):
        best = scores.topk(min(max(ks), scores.shape[1]), dim=1).values
        top = torch.cat([top, best], dim=1)
        top = top.topk(min(max(ks), top.shape[1]), dim=1).values
        answers += (~scores.isneginf()).sum(dim=1)
    places = torch.stack([answers.clamp(max=k) for k in ks])  # (K, q)
    if not top.shape[1]:
        return torch.full(places.shape, float("inf"), dtype=torch.float64), places
    last = top.gather(1, (places.T - 1).clamp(min=0)).T
    return last.masked_fill(places == 0, float("inf")), places


def _tiles(
    queries: torch.Tensor, gallery: torch.Tensor, own: tuple[torch.Tensor, torch.Tensor] | None
) -> Iterator[tuple[slice, torch.Tensor]]:
    """Yield columns and scores (q, g) of all tiles of a chunk of queries; -inf where the item is no answer."""
    for _, columns, scores in score_tiles(queries, gallery, query_chunk=max(1, len(queries))):
        if own is not None:
            scores.masked_fill_(own[0][:, None] == own[1][None, columns], float("-inf"))
        yield columns, scores
