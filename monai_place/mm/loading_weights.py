"""Loading weights into the backbone, with a list of what was missing or left over."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import torch
from mmengine.logging import print_log
from torch import nn

from monai_place.weights import BackboneMetadata, LoadReport, WeightsError, adapt_vit_state, load_weights

__all__ = ["load_backbone"]

LISTED = 10
EMBEDDING = "patch_embed.proj."


def load_backbone(
    vit: nn.Module, state: Mapping[str, torch.Tensor], metadata: BackboneMetadata | None = None
) -> LoadReport:
    """Load weights into a ViT, fitted to its image size and input channels; log what does not match.

    MMEngine's own loading is content with a checkpoint of which nothing matches; this one is not.

    Args:
        vit: a timm VisionTransformer, perhaps without its last blocks.
        state: under the ViT's own names.
        metadata: what the file tells of the weights, for the error's text.

    Raises:
        WeightsError: no block matches, the patches are embedded by another stem, or a shape differs; the ViT is
            untouched.
    """
    made_for = f" (weights of arch={metadata.arch!r}, stem={metadata.stem!r})" if metadata else ""
    try:
        fitted = adapt_vit_state(state, vit, source_grid=_square(metadata))
        own = vit.state_dict()
        common = own.keys() & fitted.keys()
        if not any(key.startswith("blocks.") for key in common):
            raise WeightsError(
                f"no block of the encoder is among the weights; their keys begin like {sorted(fitted)[:3]}"
            )
        fits = all(own[key].shape == fitted[key].shape for key in common)
        if fits and not any(key.startswith(EMBEDDING) for key in common):
            raise WeightsError(
                "the blocks fit, and the embedding of the patches is of another stem: it has "
                f"{[key for key in sorted(fitted) if key.startswith(EMBEDDING)][:3]}, "
                f"expected {[key for key in own if key.startswith(EMBEDDING)][:3]}"
            )
        report = load_weights(vit, fitted, strict=False)
    except WeightsError as error:
        raise WeightsError(f"{error}{made_for}") from None
    for what, keys in (("missing, left as they were", report.missing), ("left over", report.unexpected)):
        if keys:
            told = ", ".join(keys[:LISTED]) + (f" and {len(keys) - LISTED} more" if len(keys) > LISTED else "")
            print_log(f"PLACEViT: {len(keys)} keys {what}: {told}", logger="current", level=logging.WARNING)
    loaded = len(fitted) - len(report.unexpected)
    print_log(f"PLACEViT: {loaded} tensors loaded{made_for}", logger="current", level=logging.INFO)
    return report


def _square(metadata: BackboneMetadata | None) -> tuple[int, int] | None:
    """Return the grid of patches that the weights were made for, where their file tells it."""
    if metadata is None:
        return None
    side = metadata.image_size // metadata.patch_size
    return side, side
