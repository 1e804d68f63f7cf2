"""Teacher forcing: how well the decoder foretells each token of a report."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import nn

from monai_place.losses.gather import gather_across_ranks
from monai_place.losses.precision import at_least_float32

__all__ = ["ReportTokenLoss", "TokenPrediction"]


class TokenPrediction(Protocol):
    """What the loss needs of `monai_place.networks.GeneratorOutput`."""

    @property
    def logits(self) -> torch.Tensor:
        """(B, T, V)."""

    @property
    def input_ids(self) -> torch.Tensor:
        """(B, T)."""

    @property
    def target_mask(self) -> torch.Tensor:
        """(B, T)."""


class ReportTokenLoss(nn.Module):
    """Cross-entropy of the next token: the mean over a report's tokens, then over the reports of all ranks.

    Prompt and padding are left out. The mean over reports does not depend on how they are put into batches or shared
    out among processes, so that validation losses of any batch size can be compared. A report without a token to learn
    is left out; a batch of such reports has the loss 0.

    Args:
        label_smoothing: share of the target that is spread over all words.

    Raises:
        ValueError: `label_smoothing` is outside [0, 1).

    Shape:
        - logits: (B, T, V), input_ids: (B, T), target_mask: (B, T)
        - result: `loss` and `token_accuracy` (without gradient), scalars, float32

    Example:
        >>> from types import SimpleNamespace
        >>> ids = torch.tensor([[2, 5, 3]])
        >>> sure = 20 * torch.nn.functional.one_hot(ids.roll(-1, 1), 6).float()
        >>> output = SimpleNamespace(logits=sure, input_ids=ids, target_mask=ids != 2)
        >>> {name: round(float(value), 3) for name, value in ReportTokenLoss()(output).items()}
        {'loss': 0.0, 'token_accuracy': 1.0}
    """

    def __init__(self, *, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"label_smoothing is {label_smoothing}, expected 0 <= label_smoothing < 1")
        self.label_smoothing = label_smoothing

    def forward(self, output: TokenPrediction) -> dict[str, torch.Tensor]:
        """Return the terms; shapes as in the class."""
        means = gather_across_ranks(self.of_reports(output))  # (B of all, 3)
        loss, accuracy, _ = means.sum(dim=0) / means[:, 2].sum().clamp(min=1)
        return {"loss": loss, "token_accuracy": accuracy.detach()}

    def of_reports(self, output: TokenPrediction) -> torch.Tensor:
        """Return (B, 3): loss and share of foretold tokens of each report of this process, and 1 or, without any, 0."""
        logits = at_least_float32(output.logits[:, :-1])
        targets = output.input_ids[:, 1:]  # token t + 1 stands behind position t
        mask = output.target_mask[:, 1:].to(logits.dtype)
        losses = F.cross_entropy(
            logits.transpose(1, 2), targets, reduction="none", label_smoothing=self.label_smoothing
        )  # (B, T - 1)
        hits = (logits.detach().argmax(dim=2) == targets).to(logits.dtype)
        tokens = mask.sum(dim=1)
        reports = [(values * mask).sum(dim=1) / tokens.clamp(min=1) for values in (losses, hits)]
        return torch.stack([*reports, (tokens > 0).to(logits.dtype)], dim=1)
