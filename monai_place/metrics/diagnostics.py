"""Diagnostics of pretraining: use of the query slots, sameness of a slot across images, what CCE explains.

Shapes: `B` studies, `K` pathology queries, `D` joint features, `N` patches.
"""

from __future__ import annotations

import math

import torch

__all__ = ["ImageVarianceMeter", "explained_image_variance", "slot_image_cosine", "slot_usage_perplexity"]


def slot_usage_perplexity(assignments: torch.Tensor) -> float:
    """Return how many of the K slots are in use: the exponential of the entropy of their mean use.

    K where all are used alike, 1 where one takes all. Each row counts the same: it is divided by its sum first.

    Args:
        assignments: (..., K) weights of the slots, not negative; rows of zeros or with NaN (no sentence) are left out.

    Returns:
        in [1, K]; NaN where no row is left.

    Raises:
        ValueError: a weight is negative or there is no slot.

    Example:
        >>> round(slot_usage_perplexity(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])), 6)
        2.0
    """
    if assignments.ndim < 1 or assignments.shape[-1] < 1:
        raise ValueError(f"assignments must be (..., K) with K of at least 1, got {tuple(assignments.shape)}")
    rows = assignments.detach().double().reshape(-1, assignments.shape[-1])
    if (rows < 0).any():
        raise ValueError("assignments must not be negative")
    total = rows.sum(dim=-1)
    chosen = (total > 0) & total.isfinite()
    if not chosen.any():
        return math.nan
    use = (rows[chosen] / total[chosen, None]).mean(dim=0)  # (K,)
    return math.exp(torch.special.entr(use).sum().item())


def slot_image_cosine(observations: torch.Tensor) -> float:
    """Return the mean cosine of a slot's observations between different images, mean over slots.

    1 means that the slots are constants that do not look at the image; it is the sign of a degenerate alignment.

    Args:
        observations: (B, K, D); rows of zeros have cosine 0 to everything.

    Returns:
        in [-1, 1]; NaN with fewer than two images.

    Raises:
        ValueError: the shape is another.

    Example:
        >>> slot_image_cosine(torch.ones(3, 2, 4))
        1.0
    """
    if observations.ndim != 3:
        raise ValueError(f"observations must be (B, K, D), got {tuple(observations.shape)}")
    images = len(observations)
    if images < 2 or not observations.shape[1]:
        return math.nan
    unit = torch.nn.functional.normalize(observations.detach().double(), dim=-1)
    # The squared norm of the sum holds every ordered pair, and each image with itself.
    pairs = unit.sum(dim=0).square().sum(dim=-1) - unit.square().sum(dim=(0, 2))  # (K,)
    return float((pairs / (images * (images - 1))).mean().clamp(-1, 1))


class ImageVarianceMeter:
    """Explained image-specific variance over batches: `1 - squared error / squared distance to the mean target`.

    The mean target over all images, which needs no image to predict, explains 0. Compare the value with the right
    report and with a shuffled one: the gap is what the report adds. Sums are kept in float64.

    Example:
        >>> target = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
        >>> meter = ImageVarianceMeter()
        >>> meter.update(target.mean(0).expand(2, 2), target)
        >>> meter.compute()
        0.0
    """

    def __init__(self) -> None:
        self._images = 0
        self._error = 0.0
        self._squares: torch.Tensor | None = None
        self._mean: torch.Tensor | None = None

    def update(self, predicted: torch.Tensor, target: torch.Tensor) -> None:
        """Take in a batch.

        Args:
            predicted: (B, ...), such as (B, N, N).
            target: (B, ...).

        Raises:
            ValueError: shapes differ, from each other or from those of earlier batches.
        """
        if predicted.shape != target.shape or predicted.ndim < 1:
            raise ValueError(
                f"predicted and target must share one shape (B, ...), got {predicted.shape}, {target.shape}"
            )
        truth = target.detach().double().flatten(1) if target.ndim > 1 else target.detach().double()[:, None]
        guess = predicted.detach().double().reshape(truth.shape)
        if not len(truth):
            return
        if self._mean is None or self._squares is None:
            self._mean, self._squares = torch.zeros_like(truth[0]), torch.zeros_like(truth[0])
        if self._mean.shape != truth[0].shape:
            raise ValueError(f"target has {truth[0].numel()} values an image, earlier batches {self._mean.numel()}")
        self._error += float((guess - truth).square().sum())
        # Chan's update of mean and squared deviations: no cancellation where the mean is large.
        images, mean = len(truth), truth.mean(dim=0)
        total, shift = self._images + images, mean - self._mean
        self._squares += (truth - mean).square().sum(dim=0) + shift.square() * (self._images * images / total)
        self._mean += shift * (images / total)
        self._images = total

    def compute(self) -> float:
        """Return the explained share, at most 1; NaN with fewer than two images or where the targets are equal."""
        spread = 0.0 if self._squares is None else float(self._squares.sum())
        return 1 - self._error / spread if self._images > 1 and spread > 0 else math.nan


def explained_image_variance(predicted: torch.Tensor, target: torch.Tensor) -> float:
    """Return the explained image-specific variance of one set, see `ImageVarianceMeter`.

    Args:
        predicted: (B, ...), such as (B, N, N).
        target: (B, ...).

    Example:
        >>> explained_image_variance(torch.eye(3), torch.eye(3))
        1.0
    """
    meter = ImageVarianceMeter()
    meter.update(predicted, target)
    return meter.compute()
