"""Pathological-level alignment (PCMA): sentences pick visual observations and are contrasted across IMAGES.

Negatives that vary the sentence teach nothing: the loss then falls without a look at the image (docs/method.md). So
in every variant here the images vary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable

from monai_place.losses.gather import gather_across_ranks
from monai_place.losses.precision import at_least_float32

__all__ = ["ContrastMode", "DuplicatePolicy", "ObservationAlignmentLoss", "observation_scores"]

ContrastMode = Literal["report", "sentence", "both"]
DuplicatePolicy = Literal["mask", "soften", "keep"]


def observation_scores(
    sentences: torch.Tensor, observations: torch.Tensor, *, pick_temperature: float = 0.1
) -> torch.Tensor:
    """How well each image's observations fit each sentence.

    A sentence softly picks the observations of an image that are like it; the score is the picked similarity.

    Args:
        sentences: T-PORs (M, D), unit norm.
        observations: V-PORs (B, K, D), unit norm.
        pick_temperature: of the softmax over the K observations.

    Returns:
        (M, B), in [-1, 1].
    """
    images, queries, width = observations.shape
    # Queries before images: a softmax over an inner axis of few entries is slow.
    similarity = sentences @ observations.transpose(0, 1).reshape(queries * images, width).t()
    similarity = similarity.view(-1, queries, images)  # (M, K, B)
    return ((similarity / pick_temperature).softmax(dim=1) * similarity).sum(dim=1)


class ObservationAlignmentLoss(nn.Module):
    """PCMA without disease labels.

    A study with an empty report takes no part, neither as a positive nor as a negative.

    Args:
        mode: `report` scores an image by the mean over a report's sentences (late interaction) and contrasts the
            reports and images of the batch in both directions; `sentence` contrasts each sentence across the images;
            `both` is the mean of the two.
        duplicates: what becomes of an image whose own report holds the same sentence: in `sentence` mode it is masked
            from the negatives, or shares the target in equal parts (`soften`); in `report` mode both mask a report
            that holds the same set of sentences. `keep` treats it as any other negative.
        temperature: of the contrast.
        pick_temperature: of a sentence's choice among the observations.
        chunk_sentences: sentences scored at a time, fewer where an image has more than 16 observations; the scores of a
            chunk are computed again in the backward pass, so that memory is bounded whatever the global batch.

    Raises:
        ValueError: a choice is unknown, or a temperature not positive.

    Reference:
        arXiv:2506.10573 (PCMA); late interaction after Khattab and Zaharia, ColBERT, SIGIR 2020, and Yao et al., FILIP,
        ICLR 2022. The form is this project's.
    """

    def __init__(
        self,
        mode: ContrastMode = "report",
        *,
        duplicates: DuplicatePolicy = "mask",
        temperature: float = 0.1,
        pick_temperature: float = 0.1,
        chunk_sentences: int = 512,
    ) -> None:
        super().__init__()
        if mode not in get_args(ContrastMode):
            raise ValueError(f"mode is {mode!r}, expected one of {get_args(ContrastMode)}")
        if duplicates not in get_args(DuplicatePolicy):
            raise ValueError(f"duplicates is {duplicates!r}, expected one of {get_args(DuplicatePolicy)}")
        temperatures = (temperature, pick_temperature)
        if not min(temperatures) > 0 or chunk_sentences < 1:
            raise ValueError(f"temperatures {temperatures} and chunk_sentences {chunk_sentences} must be positive")
        self.mode, self.duplicates = mode, duplicates
        self.temperature, self.pick_temperature = temperatures
        self.chunk_sentences = chunk_sentences

    def forward(
        self,
        sentences: torch.Tensor,
        sentence_mask: torch.Tensor,
        sentence_keys: torch.Tensor,
        observations: torch.Tensor,
    ) -> torch.Tensor:
        """Return the loss, a scalar in at least float32.

        Args:
            sentences: T-PORs (B, S, D), unit norm; S may differ between ranks.
            sentence_mask: (B, S), true where there is a sentence.
            sentence_keys: (B, S) int64, equal for equal sentences.
            observations: V-PORs (B, K, D), unit norm.

        Raises:
            ValueError: the shapes do not fit.
        """
        table = sentences.shape[:2]
        fits = table == sentence_mask.shape == sentence_keys.shape and sentences.dim() == observations.dim() == 3
        if not fits or sentences.shape[::2] != observations.shape[::2]:
            raise ValueError(
                f"sentences {tuple(sentences.shape)}, sentence_mask {tuple(sentence_mask.shape)}, sentence_keys "
                f"{tuple(sentence_keys.shape)} and observations {tuple(observations.shape)} must be (B, S, D), (B, S), "
                "(B, S) and (B, K, D)"
            )
        with torch.autocast(observations.device.type, enabled=False):
            flat = self._flatten(at_least_float32(sentences), sentence_mask, sentence_keys)
            return self._loss(*flat, gather_across_ranks(at_least_float32(observations)))

    @staticmethod
    def _flatten(
        sentences: torch.Tensor, mask: torch.Tensor, keys: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """List the sentences of all ranks: embeddings (M, D), the study of each (M,), and keys (M,)."""
        counts = gather_across_ranks(mask.sum(dim=1))  # (global B,)
        owner = torch.repeat_interleave(torch.arange(len(counts), device=mask.device), counts)
        return gather_across_ranks(sentences[mask]), owner, gather_across_ranks(keys[mask])

    def _loss(
        self, sentences: torch.Tensor, owner: torch.Tensor, keys: torch.Tensor, observations: torch.Tensor
    ) -> torch.Tensor:
        if len(sentences) == 0:
            return (sentences.sum() + observations.sum()) * 0.0
        # An image with an empty report is no negative: nobody said what it does not show.
        present, owner = torch.unique_consecutive(owner, return_inverse=True)
        observations = observations[present]
        ranges = _chunks(owner, self.chunk_sentences * 16 // max(observations.shape[1], 16))
        if len(ranges) == 1:
            # One chunk fits in memory as it is; computing it twice would only cost time.
            scores, sentence_sum = self._chunk(slice(0, len(sentences)), sentences, observations, owner, keys)
        else:
            scores, sentence_sum = _InChunks.apply(self._chunk, ranges, sentences, observations, owner, keys)
        total = sentences.sum() * 0.0
        if self.mode != "report":
            total = total + sentence_sum / len(sentences)
        if self.mode != "sentence":
            total = total + self._contrast_reports(scores, owner, keys)
        return total / 2 if self.mode == "both" else total

    def _chunk(
        self,
        rows: slice,
        sentences: torch.Tensor,
        observations: torch.Tensor,
        all_owner: torch.Tensor,
        all_keys: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the scores of the reports (R, B) whose `sentences` are these rows, and the sum of their losses."""
        owner, keys = all_owner[rows], all_keys[rows]
        scores = observation_scores(sentences, observations, pick_temperature=self.pick_temperature)  # (M, B)
        term = scores.sum() * 0.0
        if self.mode != "report":
            same = _holders(keys, all_keys, all_owner, scores.shape[1])
            term = self._contrast_sentences(scores, owner, same)
        _, place, counts = torch.unique_consecutive(owner, return_inverse=True, return_counts=True)
        reports = scores.new_zeros(len(counts), scores.shape[1]).index_add(0, place, scores)
        return reports / counts.unsqueeze(1), term

    def _contrast_sentences(self, scores: torch.Tensor, owner: torch.Tensor, same: torch.Tensor) -> torch.Tensor:
        """Sum over sentences of the cross-entropy across images; `same` (M, B): the image's report holds it, too."""
        logits = scores / self.temperature
        if self.duplicates == "soften":
            target = same.to(logits.dtype) / same.sum(dim=1, keepdim=True)
            return -(target * logits.log_softmax(dim=1)).sum()
        if self.duplicates == "mask":
            own = F.one_hot(owner, scores.shape[1]).bool()
            logits = logits.masked_fill(same & ~own, -torch.inf)
        return F.cross_entropy(logits, owner, reduction="sum")

    def _contrast_reports(self, scores: torch.Tensor, owner: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
        """Symmetric cross-entropy of the report-image scores (R, B) of the reports that have sentences."""
        logits = scores / self.temperature  # (R, R)
        if self.duplicates != "keep":
            signature = _signatures(owner, keys, len(scores))
            equal = signature.unsqueeze(0) == signature.unsqueeze(1)
            equal.fill_diagonal_(fill_value=False)
            logits = logits.masked_fill(equal, -torch.inf)
        target = torch.arange(len(logits), device=logits.device)
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.t(), target)) / 2


class _InChunks(torch.autograd.Function):
    """`ObservationAlignmentLoss._chunk`, a range of sentences at a time; the backward pass computes each again.

    Results go into tables that are made beforehand. Were they made chunk by chunk, they would lie between the large
    intermediate results, and glibc would not use those places again: 12 GB instead of 1 at a global batch of 4,096.
    """

    @staticmethod
    def forward(
        context: Any,
        function: Callable[..., tuple[torch.Tensor, torch.Tensor]],
        ranges: list[tuple[int, int]],
        sentences: torch.Tensor,
        observations: torch.Tensor,
        owner: torch.Tensor,
        keys: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        context.function, context.ranges = function, ranges
        context.save_for_backward(sentences, observations, owner, keys)
        scores = sentences.new_empty(len(observations), len(observations))
        total = sentences.new_zeros(())
        for begin, end in ranges:
            rows = slice(begin, end)
            scores[_reports(owner, rows)], term = function(rows, sentences[rows], observations, owner, keys)
            total += term
        return scores, total

    @staticmethod
    @once_differentiable
    def backward(context: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        sentences, observations, owner, keys = context.saved_tensors
        to_scores, to_total = gradients
        to_sentences, to_observations = torch.empty_like(sentences), torch.zeros_like(observations)
        # As in the forward pass, whatever the caller's autocast is by now.
        with torch.enable_grad(), torch.autocast(observations.device.type, enabled=False):
            for begin, end in context.ranges:
                rows = slice(begin, end)
                leaves = sentences[rows].detach().requires_grad_(), observations.detach().requires_grad_()
                results = context.function(rows, *leaves, owner, keys)
                found = torch.autograd.grad(results, leaves, (to_scores[_reports(owner, rows)], to_total))
                to_sentences[rows] = found[0]
                to_observations += found[1]
        return None, None, to_sentences, to_observations, None, None


def _reports(owner: torch.Tensor, rows: slice) -> slice:
    """Return the reports that these sentences make up; they are numbered in order, none is left out."""
    return slice(int(owner[rows.start]), int(owner[rows.stop - 1]) + 1)


def _holders(keys: torch.Tensor, all_keys: torch.Tensor, all_owner: torch.Tensor, batch: int) -> torch.Tensor:
    """Which studies hold each of the sentences `keys` (M,): (M, B) bool, without a table of all sentences."""
    distinct, place = torch.unique(keys, return_inverse=True)  # sorted
    found = torch.searchsorted(distinct, all_keys).clamp(max=len(distinct) - 1)
    match = distinct[found] == all_keys
    holds = torch.zeros(len(distinct), batch, dtype=torch.bool, device=keys.device)
    holds[found[match], all_owner[match]] = True
    return holds[place]


def _signatures(owner: torch.Tensor, keys: torch.Tensor, batch: int) -> torch.Tensor:
    """A number for each study (B,) that is equal where reports hold the same set of sentences.

    Keys are spread over 62 bits, so that the sum over a report's distinct sentences tells sets apart.
    """
    pairs = torch.unique(torch.stack([owner, keys], dim=1), dim=0)
    signature = torch.zeros(batch, dtype=torch.long, device=keys.device)
    return signature.index_add(0, pairs[:, 0], pairs[:, 1])


def _chunks(owner: torch.Tensor, size: int) -> list[tuple[int, int]]:
    """Ranges of about `size` sentences that never cut a report in two."""
    ends = torch.unique_consecutive(owner, return_counts=True)[1].cumsum(0).tolist()
    ranges, begin, last = [], 0, 0
    for end in ends:
        if end - begin > size and last > begin:
            ranges.append((begin, last))
            begin = last
        last = end
    ranges.append((begin, last))
    return ranges
