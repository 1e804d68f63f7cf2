"""Loading weights into a module, strictly, and fitting those of a ViT to another image size or number of channels."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from monai_place.weights.reading import WeightsError

__all__ = [
    "STEM_KEYS",
    "LoadReport",
    "adapt_vit_state",
    "expand_input_channels",
    "load_weights",
    "resize_position_embedding",
]

logger = logging.getLogger(__name__)

# The first convolution of a ViT, with its own patch projection and with a convolutional stem.
STEM_KEYS = ("patch_embed.proj.weight", "patch_embed.proj.layers.0.weight")
LISTED = 10


@dataclass(frozen=True)
class LoadReport:
    """What a tolerant `load_weights` left alone.

    Args:
        missing: keys of the module that the file lacks.
        unexpected: keys of the file that the module lacks.
    """

    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()


def load_weights(
    module: nn.Module, state: Mapping[str, torch.Tensor], *, prefix: str = "", strict: bool = True
) -> LoadReport:
    """Load weights into a module, all or nothing.

    Args:
        module: takes the weights; untouched where an error is raised.
        state: as from `read_state_dict`.
        prefix: take the keys that begin with it, without it: `image_encoder.vit.` cuts the ViT out of a whole model.
        strict: every key must match. Otherwise keys missing on either side are logged; a shape that differs, and no
            match at all, stay errors.

    Returns:
        What was left alone; empty where `strict`.

    Raises:
        WeightsError: with the lists of missing, unexpected and misshapen keys.

    Example:
        >>> load_weights(nn.Linear(1, 1), {"head.weight": torch.ones(1, 1), "head.bias": torch.ones(1)}, prefix="head.")
        LoadReport(missing=(), unexpected=())
    """
    given = {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}
    own = module.state_dict()
    report = LoadReport(tuple(key for key in own if key not in given), tuple(key for key in given if key not in own))
    shared = [key for key in own if key in given]
    misshapen = [
        f"{key} {tuple(given[key].shape)}, expected {tuple(own[key].shape)}"
        for key in shared
        if given[key].shape != own[key].shape
    ]
    if misshapen or not shared or (strict and (report.missing or report.unexpected)):
        parts = [("missing", report.missing), ("unexpected", report.unexpected), ("of another shape", misshapen)]
        told = "; ".join(f"{len(keys)} {what}: {_listed(keys)}" for what, keys in parts if keys)
        where = f" under prefix {prefix!r}" if prefix else ""
        raise WeightsError(f"weights do not fit {type(module).__name__}{where}: {told or 'no key at all'}")
    for what, keys in (("missing", report.missing), ("unexpected", report.unexpected)):
        if keys:
            logger.warning("%s: %d keys %s: %s", type(module).__name__, len(keys), what, _listed(keys))
    module.load_state_dict(given, strict=False)
    return report


def resize_position_embedding(
    position: torch.Tensor,
    grid: tuple[int, int],
    *,
    prefix_tokens: int = 1,
    source_grid: tuple[int, int] | None = None,
) -> torch.Tensor:
    """Resample the position embedding of a ViT to another grid of patches.

    Args:
        position: (1, P + N, E).
        grid: rows and columns wanted.
        prefix_tokens: P, tokens without a place; they are copied.
        source_grid: rows and columns of `position`; None takes a square.

    Raises:
        WeightsError: N is no square, or not that of `source_grid`.

    Example:
        >>> resize_position_embedding(torch.zeros(1, 1 + 16, 8), (6, 2)).shape
        torch.Size([1, 13, 8])
    """
    from timm.layers import resample_abs_pos_embed

    patches = position.shape[1] - prefix_tokens
    side = math.isqrt(max(patches, 0))
    source = source_grid or (side, side)
    if patches < 1 or source[0] * source[1] != patches:
        told = f"a grid of {source[0]} x {source[1]}" if source_grid else "a square"
        raise WeightsError(
            f"position embedding has {patches} patches, expected {told}, to be resampled to {grid[0]} x {grid[1]}; "
            "weights of another grid load at the image size that they were made for"
        )
    if source == tuple(grid):
        return position
    guessed = "" if source_grid else ", the first taken for a square"
    logger.info("position embedding resampled from %d x %d to %d x %d patches%s", *source, *grid, guessed)
    resized = resample_abs_pos_embed(
        position.float(), new_size=list(grid), old_size=list(source), num_prefix_tokens=prefix_tokens
    )
    return resized.to(position.dtype)


def expand_input_channels(weight: torch.Tensor, channels: int) -> torch.Tensor:
    """Fit the first convolution to another number of input channels, so that a grey image gives the same features.

    Args:
        weight: (E, C, k, k).
        channels: wanted. One channel is shared out evenly; several are summed into one.

    Raises:
        WeightsError: neither number is 1.
    """
    have = weight.shape[1]
    if have == channels:
        return weight
    if have == 1:
        return (weight / channels).repeat(1, channels, 1, 1)
    if channels == 1:
        return weight.sum(dim=1, keepdim=True)
    raise WeightsError(f"first convolution has {have} input channels, {channels} are wanted; one of them must be 1")


def adapt_vit_state(
    state: Mapping[str, torch.Tensor], vit: nn.Module, *, source_grid: tuple[int, int] | None = None
) -> dict[str, torch.Tensor]:
    """Fit the weights of a ViT to `vit`'s image size and input channels; load the result with `load_weights`.

    Args:
        state: keys as in timm's VisionTransformer, with either stem.
        vit: a timm VisionTransformer, as `RadiographEncoder.vit`.
        source_grid: rows and columns of patches that the weights were made for; None takes those of `vit` where the
            number is the same, and else a square.

    Raises:
        WeightsError: the weights cannot be fitted.
    """
    adapted, own = dict(state), vit.state_dict()
    for key in STEM_KEYS:
        if key in adapted and key in own:
            adapted[key] = expand_input_channels(adapted[key], own[key].shape[1])
    if "pos_embed" in adapted and "pos_embed" in own:
        net: Any = vit
        prefix, grid = 0 if net.no_embed_class else net.num_prefix_tokens, tuple(net.patch_embed.grid_size)
        if source_grid is None and adapted["pos_embed"].shape == own["pos_embed"].shape:
            source_grid = grid
            if grid[0] != grid[1] and math.isqrt(math.prod(grid)) ** 2 == math.prod(grid):
                logger.warning("position embedding taken for one of %d x %d patches, not for a square", *grid)
        adapted["pos_embed"] = resize_position_embedding(
            adapted["pos_embed"], grid, prefix_tokens=prefix, source_grid=source_grid
        )
    return adapted


def _listed(keys: Sequence[str]) -> str:
    return ", ".join(keys[:LISTED]) + (f" and {len(keys) - LISTED} more" if len(keys) > LISTED else "")
