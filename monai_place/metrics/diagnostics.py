"""Diagnostics of pretraining: use of the query slots, sameness of a slot across images, what CCE explains.

Shapes: `B` studies, `K` pathology queries, `D` joint features, `N` patches.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

__all__ = [
    "ImageVarianceMeter",
    "SlotCosineMeter",
    "explained_image_variance",
    "slot_image_cosine",
    "slot_usage_perplexity",
]


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


class SlotCosineMeter:
    """Mean cosine of a slot's observations between different images over batches, mean over slots.

    1 means that the slots are constants that do not look at the image; it is the sign of a degenerate alignment. Sums
    are kept in float64 on the CPU; those of several processes are put together by `state` and `merge`.

    Example:
        >>> meter = SlotCosineMeter()
        >>> meter.update(torch.ones(3, 2, 4))
        >>> meter.compute()
        1.0
    """

    def __init__(self) -> None:
        self._sums: dict[str, torch.Tensor] = {}

    def update(self, observations: torch.Tensor) -> None:
        """Take in a batch.

        Args:
            observations: (B, K, D); rows of zeros have cosine 0 to everything.

        Raises:
            ValueError: the shape is another.
        """
        if observations.ndim != 3:
            raise ValueError(f"observations must be (B, K, D), got {tuple(observations.shape)}")
        unit = torch.nn.functional.normalize(observations.detach().double(), dim=-1)
        self.merge(
            {
                "images": torch.tensor(float(len(unit)), dtype=torch.float64),
                "total": unit.sum(dim=0).cpu(),  # (K, D)
                "own": unit.square().sum(dim=(0, 2)).cpu(),  # (K,)
            }
        )

    def merge(self, state: Mapping[str, torch.Tensor]) -> None:
        """Add what another meter has seen."""
        self._sums = {name: self._sums[name] + value if self._sums else value for name, value in state.items()}

    def state(self) -> dict[str, torch.Tensor]:
        """Return the sums so far; empty before the first batch."""
        return dict(self._sums)

    def compute(self) -> float:
        """Return the mean, in [-1, 1]; NaN with fewer than two images or without slots."""
        images = float(self._sums["images"]) if self._sums else 0.0
        if images < 2 or not len(self._sums["own"]):
            return math.nan
        # The squared norm of the sum holds every ordered pair, and each image with itself.
        pairs = self._sums["total"].square().sum(dim=-1) - self._sums["own"]  # (K,)
        return float((pairs / (images * (images - 1))).mean().clamp(-1, 1))


def slot_image_cosine(observations: torch.Tensor) -> float:
    """Return the mean cosine of a slot's observations between different images of one set, see `SlotCosineMeter`.

    Args:
        observations: (B, K, D).

    Example:
        >>> slot_image_cosine(torch.ones(3, 2, 4))
        1.0
    """
    meter = SlotCosineMeter()
    meter.update(observations)
    return meter.compute()


class ImageVarianceMeter:
    """Explained image-specific variance over batches: `1 - squared error / squared distance to the mean target`.

    The mean target over all images, which needs no image to predict, explains 0. Compare the value with the right
    report and with a shuffled one: the gap is what the report adds. Sums are kept in float64 on the CPU; those of
    several processes are put together by `state` and `merge`.

    Args:
        residual: what is predicted is the deviation from the mean target, which is known at the end only.

    Example:
        >>> target = torch.tensor([[1.0, 2.0], [3.0, 6.0]])
        >>> meter = ImageVarianceMeter()
        >>> meter.update(target.mean(0).expand(2, 2), target)
        >>> meter.compute()
        0.0
    """

    def __init__(self, *, residual: bool = False) -> None:
        self.residual = residual
        self._sums: dict[str, torch.Tensor] = {}

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
        if not len(truth):
            return
        difference = predicted.detach().double().reshape(truth.shape) - truth
        mean = truth.mean(dim=0)
        state = {
            "images": torch.tensor(float(len(truth)), dtype=torch.float64),
            "mean": mean.cpu(),
            "spread": (truth - mean).square().sum(dim=0).cpu(),
            "difference": difference.sum(dim=0).cpu(),
            "error": difference.square().sum().cpu(),
        }
        if self._sums and self._sums["mean"].shape != mean.shape:
            raise ValueError(f"target has {mean.numel()} values an image, earlier batches {self._sums['mean'].numel()}")
        self.merge(state)

    def merge(self, state: Mapping[str, torch.Tensor]) -> None:
        """Add what another meter has seen."""
        if not self._sums:
            self._sums = dict(state)
            return
        # Chan's update of mean and squared deviations: no cancellation where the mean is large.
        own, added = self._sums["images"], state["images"]
        shift, total = state["mean"] - self._sums["mean"], own + added
        merged = {name: self._sums[name] + state[name] for name in ("images", "spread", "difference", "error")}
        merged["spread"] += shift.square() * (own * added / total)
        self._sums = {**merged, "mean": self._sums["mean"] + shift * (added / total)}

    def state(self) -> dict[str, torch.Tensor]:
        """Return the sums so far; empty before the first batch."""
        return dict(self._sums)

    def compute(self) -> float:
        """Return the explained share, at most 1; NaN with fewer than two images or where the targets are equal."""
        sums = self._sums
        if not sums or sums["images"] < 2 or not sums["spread"].sum() > 0:
            return math.nan
        error = sums["error"]
        if self.residual:  # |p - (t - m)|^2 = |p - t|^2 + 2 m (p - t) + |m|^2
            error = error + (2 * sums["mean"] * sums["difference"] + sums["images"] * sums["mean"].square()).sum()
        return float(1 - error / sums["spread"].sum())


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
