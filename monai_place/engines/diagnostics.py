"""What every run watches: does PCMA look at the image, are the slots in use, does CCE read the report.

Letters: B studies, N patches, K pathology queries, S sentences, D joint features.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from monai_place.losses import PLACELoss, gather_across_ranks
from monai_place.metrics.diagnostics import ImageVarianceMeter, SlotCosineMeter, slot_usage_perplexity
from monai_place.metrics.retrieval import retrieval_ranks
from monai_place.networks import PLACEModel, PLACEOutput

__all__ = ["PretrainingDiagnostics"]

TOP = 5


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
        self._slot_cosine = SlotCosineMeter()
        self._explained: dict[str, ImageVarianceMeter] = {}
        self._images: list[torch.Tensor] = []
        self._reports: list[torch.Tensor] = []

    @torch.no_grad()
    def update(self, model: PLACEModel, batch: Mapping[str, torch.Tensor], output: PLACEOutput) -> None:
        """Take in a batch and what the model, in eval mode, made of it."""
        image, report = output.image, output.report
        size = float(len(image.global_embedding))
        self._add("studies", size)
        for name, observations in (("right", image.observations), ("swapped", image.observations.roll(1, 0))):
            term = self.loss.pcma(report.sentence_embeddings, report.sentence_mask, output.sentence_keys, observations)
            self._add(f"pcma_{name}", float(term) * size)
        self._add("slots", _picked_slots(output))
        self._slot_cosine.update(image.observations)
        if output.correlation is not None:
            self._correlation(model, batch, output)
        has_text = report.has_text
        self._images.append(image.global_embedding[has_text].float())
        self._reports.append(report.global_embedding[has_text].float())

    def compute(self) -> dict[str, float]:
        """Return the numbers over all batches of all ranks; empty where there was none."""
        if not self._sums:
            return {}
        device = self._images[0].device
        sums = {name: _all_ranks(value, device).sum(dim=0) for name, value in self._sums.items()}
        numbers = {name: float(sums[name] / sums["studies"]) for name in ("pcma_right", "pcma_swapped")}
        numbers["pcma_gap"] = numbers["pcma_swapped"] - numbers["pcma_right"]
        numbers["slot_perplexity"] = slot_usage_perplexity(sums["slots"])
        numbers["slot_cosine"] = _merged(self._slot_cosine, SlotCosineMeter(), device)
        for name, meter in self._explained.items():
            numbers[name] = _merged(meter, ImageVarianceMeter(residual=True), device)
        images = gather_across_ranks(torch.cat(self._images)).cpu()
        reports = gather_across_ranks(torch.cat(self._reports)).cpu()
        numbers["recall_at_5_image_to_text"] = _recall(images, reports)
        numbers["recall_at_5_text_to_image"] = _recall(reports, images)
        return numbers

    def _add(self, name: str, value: torch.Tensor | float) -> None:
        # float64 on the CPU: sums of thousands of studies keep their digits, and no device memory is held.
        value = torch.as_tensor(value).detach().to("cpu", torch.float64)
        self._sums[name] = self._sums[name] + value if name in self._sums else value

    def _correlation(self, model: PLACEModel, batch: Mapping[str, torch.Tensor], output: PLACEOutput) -> None:
        correlation = output.correlation
        assert correlation is not None and model.correlation_head is not None  # noqa: PT018  # our own invariant
        tokens = model.correlation_tokens(batch["image"])
        report = output.report
        other = model.correlation_head(tokens, report.token_states.roll(1, 0), report.attention_mask.roll(1, 0))
        off = ~torch.eye(tokens.shape[1], dtype=torch.bool, device=tokens.device)  # a patch is always like itself
        found = {"cce_explained": correlation.prediction, "cce_explained_shuffled": other}
        for name, prediction in found.items():
            meter = self._explained.setdefault(name, ImageVarianceMeter(residual=True))
            meter.update(prediction[:, off], correlation.target[:, off])


def _picked_slots(output: PLACEOutput) -> torch.Tensor:
    """Count how many sentences of the batch like each slot best, (K,)."""
    similarity = torch.einsum("bsd,bkd->bsk", output.report.sentence_embeddings, output.image.observations)
    best = similarity[output.report.sentence_mask].argmax(dim=1)
    return torch.bincount(best, minlength=output.image.observations.shape[1])


def _all_ranks(value: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return the value of each rank (W, ...); they travel on the device, since NCCL takes nothing from the CPU."""
    return gather_across_ranks(value.to(device).unsqueeze(0)).cpu()


def _merged(own: Any, total: Any, device: torch.device) -> float:
    """Return what the meters of all ranks have measured together."""
    states = {name: _all_ranks(value, device) for name, value in own.state().items()}
    for rank in range(len(next(iter(states.values())))):
        total.merge({name: value[rank] for name, value in states.items()})
    return float(total.compute())


def _recall(queries: torch.Tensor, targets: torch.Tensor) -> float:
    """Share of queries whose own target is among the 5 best; a tie counts against it.

    NaN without queries, and of a model that has diverged: its validation is to end as any other.
    """
    if not len(queries) or not (queries.isfinite().all() and targets.isfinite().all()):
        return math.nan
    own = range(len(queries))
    return float((retrieval_ranks(queries, targets, query_keys=own, gallery_keys=own) <= TOP).double().mean())
