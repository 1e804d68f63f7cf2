"""Named sizes of PLACE."""

from __future__ import annotations

from typing import Any

from monai_place.networks.config import PLACEConfig

__all__ = ["PRESETS", "place_preset"]

PRESETS: dict[str, PLACEConfig] = {
    # For the demo and the tests: minutes on two CPU cores.
    "place_tiny": PLACEConfig(
        image_arch="vit_tiny_patch16_224",
        image_size=128,
        image_kwargs={"embed_dim": 192, "depth": 4, "num_heads": 3},
        stem="conv",
        image_pool="mean",
        report_width=128,
        report_depth=2,
        report_heads=2,
        max_tokens=128,
        report_pool="mean",
        joint_dim=128,
        queries=16,
        value_level=1,
        correlation_level=0,
        image_correlation=True,
        correlation_mask_ratio=0.9,
    ),
    "place_small": PLACEConfig(
        image_arch="vit_small_patch16_224",
        report_width=384,
        report_depth=4,
        report_heads=6,
        joint_dim=128,
        queries=16,
        value_level=4,
        correlation_level=0,
        image_correlation=True,
        correlation_mask_ratio=0.9,
    ),
    # The real recipe: ViT-B/16 and a clinical BERT (weights by name or local folder).
    "place_base": PLACEConfig(
        image_arch="vit_base_patch16_224",
        report_name="emilyalsentzer/Bio_ClinicalBERT",
        max_tokens=256,
        joint_dim=256,
        queries=32,
        extractor_depth=2,
        extractor_heads=8,
        value_level=4,
        correlation_level=0,
        image_correlation=True,
        correlation_mask_ratio=0.9,
        correlation_dim=256,
    ),
}


def place_preset(name: str, **overrides: Any) -> PLACEConfig:
    """Return the preset `name` with some fields changed.

    Args:
        name: `place_tiny`, `place_small` or `place_base`.
        overrides: fields of `PLACEConfig`.

    Raises:
        ValueError: the preset or a field is unknown.

    Example:
        >>> place_preset("place_tiny", queries=8).queries
        8
    """
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}; known: {sorted(PRESETS)}")
    return PRESETS[name].replace(**overrides)
