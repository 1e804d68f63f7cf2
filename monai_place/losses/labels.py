"""Losses of labels: each class by itself, or one of several classes; a label that is not known takes no part."""

from __future__ import annotations

from typing import get_args

import torch
import torch.nn.functional as F
from torch import nn

from monai_place.losses.gather import gather_across_ranks
from monai_place.losses.precision import at_least_float32
from monai_place.metrics.classification import ClassificationTask

__all__ = ["FindingLoss", "finding_loss"]


class FindingLoss(nn.Module):
    """Binary cross entropy over the known labels, or cross entropy over the studies whose class is known.

    The mean is over all that is known in the batch of all ranks, so that several processes have the gradient of one.
    Without anything known it is 0, with gradient 0.

    Args:
        task: `multilabel` and `binary` are binary cross entropy, `multiclass` is cross entropy.

    Raises:
        ValueError: the task is unknown.

    Shape:
        - logits: (B, C)
        - labels: (B, C) of 0, 1, NaN where not known; of `multiclass` one entry of a study is 1, or all are NaN

    Example:
        >>> loss = FindingLoss("multilabel")
        >>> round(float(loss(torch.zeros(1, 2), torch.tensor([[1.0, float("nan")]]))), 4)
        0.6931
    """

    def __init__(self, task: ClassificationTask = "multilabel") -> None:
        super().__init__()
        if task not in get_args(ClassificationTask):
            raise ValueError(f"task is {task!r}, expected one of {get_args(ClassificationTask)}")
        self.task = task

    def forward(self, logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar.

        Raises:
            ValueError: the shapes differ.
        """
        return finding_loss(gather_across_ranks(logits), gather_across_ranks(labels), self.task)


def finding_loss(logits: torch.Tensor, labels: torch.Tensor, task: ClassificationTask) -> torch.Tensor:
    """Return the loss of what this process holds; see `FindingLoss`.

    Args:
        logits: (B, C).
        labels: (B, C).
        task: see `FindingLoss`.

    Raises:
        ValueError: the shapes differ.
    """
    if logits.ndim != 2 or logits.shape != labels.shape:
        raise ValueError(f"logits and labels must both be (B, C), got {tuple(logits.shape)}, {tuple(labels.shape)}")
    logits = at_least_float32(logits)
    labels = labels.to(logits.dtype)
    known = ~labels.isnan()
    if task == "multiclass":
        rows = known.all(dim=1)
        if not rows.any():
            return logits.sum() * 0
        return F.cross_entropy(logits[rows], labels[rows].argmax(dim=1))
    terms = F.binary_cross_entropy_with_logits(logits, labels.nan_to_num(), reduction="none")
    return (terms * known).sum() / known.sum().clamp(min=1)
