"""Grounding: does a sentence's map lie on the region that the sentence speaks of.

Every number stands beside that of `monai_place.metrics.location_prior.LocationPrior`, which sees no image: maps of
"right lower zone" hit the mask often enough by anatomy alone. Pixels where the map is NaN (outside the crop) take no
part; a sentence without a pixel of its region, or without a pixel outside it where that is needed, has no number.

Shapes: `S` sentences, `H W` pixels, `P` pixels in a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

__all__ = [
    "GroundingScores",
    "contrast_to_noise",
    "grounding_scores",
    "mean_threshold_iou",
    "pointing_game",
    "region_area",
]

# Of cosine maps, as published for MS-CXR. Maps of another scale (attention) need thresholds of their own.
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5)
NO_NOISE = 1e-9  # of the contrast: rounding

Maps = Sequence[torch.Tensor | npt.NDArray[Any]] | torch.Tensor | npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class GroundingScores:
    """Scores of sentences, one value a sentence, NaN where there is none.

    Args:
        pointing: (S,) whether the map's maximum lies in the region, see `pointing_game`.
        contrast_to_noise: (S,) as published for MS-CXR, the absolute value.
        signed_contrast_to_noise: (S,) negative where the map is lower inside the region than outside.
        miou: (S,) intersection over union, mean over thresholds.
        area: (S,) share of the pixels in the region: what `pointing` is by chance.
    """

    pointing: npt.NDArray[np.float64]
    contrast_to_noise: npt.NDArray[np.float64]
    signed_contrast_to_noise: npt.NDArray[np.float64]
    miou: npt.NDArray[np.float64]
    area: npt.NDArray[np.float64]

    def to_dict(self) -> dict[str, float | int | None]:
        """Return the means over the sentences that have a number, None where none has, and their number."""
        values: dict[str, float | int | None] = {"sentences": int((~np.isnan(self.area)).sum())}
        for field in fields(self):
            column = getattr(self, field.name)
            known = column[~np.isnan(column)]
            values[field.name] = float(known.mean()) if known.size else None
        return values


def grounding_scores(maps: Maps, regions: Maps, *, thresholds: Sequence[float] = THRESHOLDS) -> GroundingScores:
    """Score the maps of sentences against their regions; images may differ in size from sentence to sentence.

    Args:
        maps: (S, H, W), or S maps (H, W); higher where the sentence is seen, NaN where there is no answer.
        regions: of the same shapes; anything above zero is inside.
        thresholds: see `mean_threshold_iou`.

    Raises:
        ValueError: numbers or shapes differ, or a map is infinite; the message says which sentence.

    Example:
        >>> heat = torch.tensor([[[0.9, 0.1], [0.2, float("nan")]]])
        >>> region = torch.tensor([[[1, 0], [0, 1]]])
        >>> scores = grounding_scores(heat, region)
        >>> float(scores.pointing[0]), round(float(scores.miou[0]), 3)
        (1.0, 0.9)
    """
    if len(maps) != len(regions):
        raise ValueError(f"maps and regions must be as many, got {len(maps)} and {len(regions)}")
    names = [field.name for field in fields(GroundingScores)]
    rows = []
    for index, (heat, region) in enumerate(zip(maps, regions, strict=True)):
        values, inside = _pair(heat, region, index)
        row = (
            pointing_game(values, inside),
            contrast_to_noise(values, inside),
            contrast_to_noise(values, inside, signed=True),
            mean_threshold_iou(values, inside, thresholds=thresholds),
            region_area(values, inside),
        )
        rows.append([float(value) for value in row])
    columns = np.array(rows, dtype=np.float64).reshape(-1, len(names)).T
    return GroundingScores(**dict(zip(names, columns, strict=True)))


def pointing_game(maps: torch.Tensor, regions: torch.Tensor) -> torch.Tensor:
    """Tell whether the maximum of a map lies in its region.

    Where several pixels hold the maximum, the share of them inside: what a random choice among them would score.

    Args:
        maps: (..., H, W), NaN where there is no answer.
        regions: (..., H, W) bool.

    Returns:
        (...) in [0, 1]; NaN where the region has no pixel with an answer.
    """
    values, known, inside = _flat(maps, regions)
    top = values.masked_fill(~known, float("-inf")).amax(dim=-1, keepdim=True)
    at_top = known & (values == top)
    share = (at_top & inside).sum(-1) / at_top.sum(-1)
    return torch.where(inside.any(-1), share.double(), float("nan"))


def contrast_to_noise(maps: torch.Tensor, regions: torch.Tensor, *, signed: bool = False) -> torch.Tensor:
    """Compute `|mean inside - mean outside| / sqrt(variance inside + variance outside)` of a map.

    Variances are those of the pixels (divided by their number). A constant map has the value 0; a map with a contrast
    but no noise at all has none.

    Args:
        maps: (..., H, W), NaN where there is no answer.
        regions: (..., H, W) bool.
        signed: keep the sign of the difference, so that a map that is dark on the region loses.

    Returns:
        (...) float64; NaN where a side has no pixel with an answer, or there is a contrast but no noise.

    Reference:
        Boecking et al., "Making the Most of Text Semantics to Improve Biomedical Vision-Language Processing" (MS-CXR).
    """
    values, known, inside = _flat(maps, regions)
    # From the maximum on, so that a constant map is exactly zero, and a large offset costs no digits.
    values = values - values.masked_fill(~known, float("-inf")).amax(dim=-1, keepdim=True).nan_to_num(0, neginf=0)
    (mean_in, var_in), (mean_out, var_out) = _moments(values, inside), _moments(values, known & ~inside)
    difference = mean_in - mean_out if signed else (mean_in - mean_out).abs()
    noise = (var_in + var_out).sqrt()
    is_noisy = noise > NO_NOISE * difference.abs()
    ratio = torch.where(is_noisy, difference / noise, torch.where(difference == 0, 0.0, float("nan")))
    return torch.where(mean_in.isnan() | mean_out.isnan(), float("nan"), ratio)


def mean_threshold_iou(
    maps: torch.Tensor, regions: torch.Tensor, *, thresholds: Sequence[float] = THRESHOLDS
) -> torch.Tensor:
    """Cut a map at several thresholds and return the mean intersection over union of map and region.

    Args:
        maps: (..., H, W), NaN where there is no answer.
        regions: (..., H, W) bool.
        thresholds: a pixel above the threshold is predicted.

    Returns:
        (...) in [0, 1]; NaN where the region has no pixel with an answer.

    Raises:
        ValueError: there is no threshold.
    """
    if not thresholds:
        raise ValueError("thresholds must hold at least one number, got none")
    values, known, inside = _flat(maps, regions)
    ious = []
    for threshold in thresholds:
        # In the map's own precision: a float32 pixel of 0.2 is not above 0.2.
        limit = torch.tensor(threshold, dtype=maps.dtype if maps.is_floating_point() else torch.float64).double()
        predicted = known & (values > limit)
        ious.append((predicted & inside).sum(-1).double() / (predicted | inside).sum(-1))
    return torch.where(inside.any(-1), torch.stack(ious).mean(0), float("nan"))


def region_area(maps: torch.Tensor, regions: torch.Tensor) -> torch.Tensor:
    """Return the share of a map's pixels with an answer that lie in the region: the pointing game by chance.

    Args:
        maps: (..., H, W), NaN where there is no answer.
        regions: (..., H, W) bool.

    Returns:
        (...) in (0, 1]; NaN where the region has no pixel with an answer.
    """
    _, known, inside = _flat(maps, regions)
    return torch.where(inside.any(-1), inside.sum(-1).double() / known.sum(-1), float("nan"))


def _flat(maps: torch.Tensor, regions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Values (NaN as 0), which are known, and which are known and inside, each (..., P)."""
    if maps.shape != regions.shape or maps.ndim < 2:
        raise ValueError(f"maps and regions must share one shape (..., H, W), got {maps.shape} and {regions.shape}")
    values = maps.detach().double().flatten(-2)  # (..., H, W) -> (..., P)
    known = ~values.isnan()
    return values.nan_to_num(0.0), known, known & (regions.flatten(-2) > 0)


def _moments(values: torch.Tensor, chosen: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance (...) over the chosen pixels; NaN where there is none."""
    number = chosen.sum(-1).double()
    mean = (values * chosen).sum(-1) / number
    deviation = (values - mean.nan_to_num(0.0).unsqueeze(-1)) * chosen
    return mean, deviation.square().sum(-1) / number


def _pair(heat: Any, region: Any, index: int) -> tuple[torch.Tensor, torch.Tensor]:
    values, inside = (torch.as_tensor(given).detach().cpu() for given in (heat, region))
    if values.shape != inside.shape or values.ndim != 2:
        shapes = tuple(values.shape), tuple(inside.shape)
        raise ValueError(f"map and region of sentence {index} must share one shape (H, W), got {shapes}")
    if values.double().isinf().any():
        raise ValueError(f"map of sentence {index} holds infinities; NaN means no answer")
    return values, inside > 0
