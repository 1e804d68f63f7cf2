"""The baseline of grounding: where such findings usually lie, told by the sentence's words and no image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy.typing as npt
import torch
import torch.nn.functional as F

__all__ = ["LocationPrior"]

Key = tuple[str | None, ...]
# From what a sentence says down to nothing: the first that was seen often enough in training answers.
LEVELS = (("class", "laterality", "zone"), ("class", "laterality"), ("class",), ())


class LocationPrior:
    """Mean masks of the training findings by class, laterality and zone.

    The map of a finding is the mean mask of all training findings with the same three words; where there were too few,
    of those with the same class and laterality, then of the class, then of all findings. It looks at no image, so a
    model that grounds must beat it.

    Args:
        grid: side of the square grid on which masks are averaged; coordinates are relative to the image's sides.
        minimum: findings needed for a mean.

    Raises:
        ValueError: an argument is below 1.

    Example:
        >>> prior = LocationPrior(grid=2)
        >>> prior.add({"class": "nodule", "laterality": "left", "zone": "upper"}, torch.tensor([[0, 1], [0, 0]]))
        >>> prior.predict({"class": "nodule", "laterality": "left", "zone": "upper"}, shape=(2, 2)).tolist()
        [[0.0, 1.0], [0.0, 0.0]]
    """

    def __init__(self, grid: int = 64, *, minimum: int = 1) -> None:
        for name, value in (("grid", grid), ("minimum", minimum)):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.grid = grid
        self.minimum = minimum
        self._sums: dict[Key, torch.Tensor] = {}
        self._counts: dict[Key, int] = {}

    @classmethod
    def fit(
        cls,
        findings: Iterable[Mapping[str, Any]],
        masks: Iterable[torch.Tensor | npt.NDArray[Any]],
        *,
        grid: int = 64,
        minimum: int = 1,
    ) -> LocationPrior:
        """Average the masks of training findings.

        Args:
            findings: each with the keys `class`, `laterality` and `zone` (None or absent where not said).
            masks: (H, W) each, of any size; anything above zero is inside.
            grid: side of the grid.
            minimum: findings needed for a mean.

        Raises:
            ValueError: there are not as many masks as findings, or none.
        """
        prior = cls(grid, minimum=minimum)
        for finding, mask in zip(findings, masks, strict=True):
            prior.add(finding, mask)
        if not prior._counts:
            raise ValueError("findings is empty; a location prior needs at least one finding with its mask")
        return prior

    def add(self, finding: Mapping[str, Any], mask: torch.Tensor | npt.NDArray[Any]) -> None:
        """Take in one training finding.

        Raises:
            ValueError: the mask is not (H, W), or the finding has no class.
        """
        region = torch.as_tensor(mask)
        if region.ndim != 2 or not region.numel():
            raise ValueError(f"mask must be (H, W), got {tuple(region.shape)}")
        small = F.adaptive_avg_pool2d((region > 0).double()[None], (self.grid, self.grid))[0]
        for key in _keys(finding):
            self._sums[key] = self._sums.get(key, torch.zeros_like(small)) + small
            self._counts[key] = self._counts.get(key, 0) + 1

    def predict(self, finding: Mapping[str, Any], *, shape: tuple[int, int]) -> torch.Tensor:
        """Return the map of a finding that a sentence names.

        Args:
            finding: class, laterality and zone as far as the sentence says them.
            shape: height and width of the map.

        Returns:
            (H, W) float64 in [0, 1].

        Raises:
            ValueError: nothing was fitted, or the finding has no class.
        """
        if not self._counts:
            raise ValueError("the location prior has seen no finding; call fit or add first")
        keys = _keys(finding)
        key = next((key for key in keys if self._counts.get(key, 0) >= self.minimum), keys[-1])
        mean = self._sums[key] / self._counts[key]
        return F.interpolate(mean[None, None], size=shape, mode="bilinear", align_corners=False)[0, 0]


def _keys(finding: Mapping[str, Any]) -> list[Key]:
    if not finding.get("class"):
        raise ValueError("finding has no class; a location prior needs one")
    words = {name: finding.get(name) for name in LEVELS[0]}
    return [tuple(words[name] for name in level) for level in LEVELS]
