"""What every run watches: does PCMA look at the image, are the slots in use, does CCE read the report.

Letters: B studies, N patches, K pathology queries, S sentences, D joint features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from monai_place.losses import PLACELoss, gather_across_ranks
from monai_place.networks import PLACEModel, PLACEOutput

__all__ = ["PretrainingDiagnostics"]


class PretrainingDiagnostics:
    """Sums over the batches of an evaluation; `compute` turns them into named numbers.

    - `pcma_right`: PCMA, mean over the batches, weighted by their size; `pcma_swapped`: the same with each image
      swapped for its neighbor in the batch; `pcma_gap`: how much worse that is, in nats. A PCMA that does not look at
      the image has a gap of 0.
    - `slot_perplexity`: how many of the K queries the sentences really use (1 to K).
    - `slot_cosine`: mean cosine of a slot's observation across images; 1 means that it is a constant.
    - `cce_explained` and `cce_explained_shuffled`: explained image-specific variance of the patch correlations with
      the right report and with that of a neighbor; the difference is what the report adds.
    - `recall_at_5_image_to_text`, `recall_at_5_text_to_image`: over all studies seen.

    All ranks' studies count where there is a process group, once each.

    Args:
        loss: the loss that is trained.

    Example:
        >>> PretrainingDiagnostics(PLACELoss()).compute()
        {}
    """

    def __init__(self, loss: PLACELoss) -> None:
        self.loss = loss
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        self._sums: dict[str, torch.Tensor] = {}
        self._images: list[torch.Tensor] = []
        self._reports: list[torch.Tensor] = []

    @torch.no_grad()
    def update(self, model: PLACEModel, batch: Mapping[str, torch.Tensor], output: PLACEOutput) -> None:
        """Take in a batch and what the model, in eval mode, made of it."""
        image, report = output.image, output.report
        size = float(len(image.global_embedding))
        self._add("studies", size)
        swapped = self.loss.pcma(
            report.sentence_embeddings, report.sentence_mask, output.sentence_keys, image.observations.roll(1, 0)
        )
        right = self.loss.pcma(
            report.sentence_embeddings, report.sentence_mask, output.sentence_keys, image.observations
        )
        self._add("sum_pcma_swapped", float(swapped) * size)
        self._add("sum_pcma_right", float(right) * size)
        self._add("slots", self._picked_slots(output))
        self._add("slot_sum", image.observations.sum(dim=0))  # (K, D)
        if output.correlation is not None:
            self._correlation(model, batch, output)
        has_text = report.has_text
        self._images.append(image.global_embedding[has_text].float())
        self._reports.append(report.global_embedding[has_text].float())

    def compute(self) -> dict[str, float]:
        """Return the numbers over all batches of all ranks; empty where there was none."""
        sums = {name: gather_across_ranks(value.unsqueeze(0)).sum(dim=0) for name, value in self._sums.items()}
        if not sums:
            return {}
        studies = float(sums["studies"])
        numbers = {name: float(sums[f"sum_{name}"]) / studies for name in ("pcma_right", "pcma_swapped")}
        numbers["pcma_gap"] = numbers["pcma_swapped"] - numbers["pcma_right"]
        numbers["slot_perplexity"] = _perplexity(sums["slots"])
        # |sum v|^2 counts each pair of images twice and each image with itself once.
        pairs = studies * (studies - 1)
        length = sums["slot_sum"].square().sum(dim=1)
        numbers["slot_cosine"] = float(((length - studies) / pairs).mean()) if pairs else math.nan
        if "cce_target" in sums:
            numbers["cce_explained"] = _explained(sums, "right")
            numbers["cce_explained_shuffled"] = _explained(sums, "shuffled")
        images = gather_across_ranks(torch.cat(self._images))
        reports = gather_across_ranks(torch.cat(self._reports))
        numbers["recall_at_5_image_to_text"] = _recall(images, reports, 5)
        numbers["recall_at_5_text_to_image"] = _recall(reports, images, 5)
        return numbers

    def _add(self, name: str, value: torch.Tensor | float) -> None:
        # float64 on the CPU: sums of thousands of studies keep their digits, and no device memory is held.
        value = torch.as_tensor(value).detach().to("cpu", torch.float64)
        self._sums[name] = self._sums[name] + value if name in self._sums else value

    def _picked_slots(self, output: PLACEOutput) -> torch.Tensor:
        """Count how many sentences of the batch like each slot best, (K,)."""
        similarity = torch.einsum("bsd,bkd->bsk", output.report.sentence_embeddings, output.image.observations)
        best = similarity[output.report.sentence_mask].argmax(dim=1)
        return torch.bincount(best, minlength=output.image.observations.shape[1])

    def _correlation(self, model: PLACEModel, batch: Mapping[str, torch.Tensor], output: PLACEOutput) -> None:
        correlation = output.correlation
        assert correlation is not None and model.correlation_head is not None  # noqa: PT018  # our own invariant
        tokens = model.correlation_tokens(batch["image"])
        report = output.report
        other = model.correlation_head(tokens, report.token_states.roll(1, 0), report.attention_mask.roll(1, 0))
        target = correlation.target.double()
        off = 1.0 - torch.eye(target.shape[1], device=target.device, dtype=torch.float64)
        self._add("cce_target", target.sum(dim=0))  # (N, N)
        self._add("cce_square", (target.square() * off).sum())
        for name, prediction in (("right", correlation.prediction), ("shuffled", other)):
            difference = prediction.double() - target
            self._add(f"cce_difference_{name}", difference.sum(dim=0))
            self._add(f"cce_error_{name}", (difference.square() * off).sum())


def _explained(sums: Mapping[str, torch.Tensor], name: str) -> float:
    """1 - sum |p - (t - m)|^2 / sum |t - m|^2 off the diagonal, m the mean of t over all images, from the sums."""
    number = float(sums["studies"])
    mean = sums["cce_target"] / number
    off = 1.0 - torch.eye(len(mean), dtype=mean.dtype)
    error = (
        sums[f"cce_error_{name}"] + ((2 * mean * sums[f"cce_difference_{name}"] + number * mean.square()) * off).sum()
    )
    variance = sums["cce_square"] - (number * mean.square() * off).sum()
    return float(1 - error / variance) if variance > 0 else math.nan


def _perplexity(counts: torch.Tensor) -> float:
    if counts.sum() == 0:
        return math.nan
    share = counts / counts.sum()
    return float((-(share * share.clamp(min=1e-12).log()).sum()).exp())


def _recall(queries: torch.Tensor, targets: torch.Tensor, top: int) -> float:
    """Share of queries whose own target is among the `top` best; a tie counts against it."""
    if len(queries) == 0:
        return math.nan
    hits: list[Any] = []
    for begin in range(0, len(queries), 1024):
        scores = queries[begin : begin + 1024] @ targets.t()
        own = scores.diagonal(begin) if begin else scores.diagonal()
        hits.append(((scores >= own.unsqueeze(1)).sum(dim=1) <= top).float())
    return float(torch.cat(hits).mean())
