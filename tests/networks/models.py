"""A small PLACE and batches for it, which tests of networks and of losses share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from monai_place.networks import PLACEConfig, PLACEModel, place_preset

__all__ = ["VOCABULARY", "make_batch", "small_config", "small_model"]

VOCABULARY = 30
IMAGE_SIZE = 32
PAD, CLS, SEP, FIRST_WORD = 0, 2, 3, 5


def small_config(**overrides: Any) -> PLACEConfig:
    """Return place_tiny shrunk to a second's work: four patches, two blocks, narrow."""
    sizes: dict[str, Any] = {
        "image_size": IMAGE_SIZE,
        "image_kwargs": {"embed_dim": 24, "depth": 2, "num_heads": 3},
        "vocab_size": VOCABULARY,
        "report_width": 16,
        "report_depth": 2,
        "report_heads": 2,
        "max_tokens": 32,
        "joint_dim": 8,
        "queries": 4,
        "extractor_heads": 2,
        "correlation_dim": 16,
    }
    return place_preset("place_tiny", **{**sizes, **overrides})


def small_model(*, seed: int = 0, **overrides: Any) -> PLACEModel:
    """Return the small model with weights that depend on the seed alone."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return PLACEModel(small_config(**overrides))


def make_batch(
    counts: Sequence[int], *, words: int = 3, seed: int = 0, image_size: int = IMAGE_SIZE
) -> dict[str, torch.Tensor]:
    """Return a batch of studies whose reports have `counts` sentences of `words` tokens; 0 is an empty report."""
    generator = torch.Generator().manual_seed(seed)
    length = 2 + words * max(*counts, 0)
    ids = torch.randint(FIRST_WORD, VOCABULARY, (len(counts), length), generator=generator)
    place = torch.arange(length)
    last = 1 + words * torch.tensor(counts).unsqueeze(1)  # where [SEP] stands
    ids = torch.where(place < last, ids, torch.where(place == last, SEP, PAD))
    ids[:, 0] = CLS
    sentence_ids = torch.where((place > 0) & (place < last), (place - 1).div(words, rounding_mode="floor"), -1)
    return {
        "image": torch.randn(len(counts), 1, image_size, image_size, generator=generator),
        "input_ids": ids,
        "attention_mask": place <= last,
        "sentence_ids": sentence_ids,
        "sentence_count": torch.tensor(counts),
    }
