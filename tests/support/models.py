"""A PLACE model with random weights, small enough to be saved and loaded in every test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from monai_place.data.tokens import ReportTokenizer
from monai_place.networks import PLACEModel, place_preset
from monai_place.preprocess import PreprocessSpec
from monai_place.weights import save_model_folder

__all__ = ["CLASSES", "save_tiny_place", "tiny_config", "tiny_place", "tiny_tokenizer"]

CLASSES = ("cardiomegaly", "pleural effusion", "nodule")
TEXTS = [
    "There is cardiomegaly. No pleural effusion. A nodule in the right upper zone.",
    "The heart is not enlarged. Small left pleural effusion. No nodule is seen. The lungs are clear.",
]


def tiny_tokenizer() -> ReportTokenizer:
    """Return a tokenizer that knows a few words."""
    return ReportTokenizer.train(TEXTS, vocab_size=200, max_tokens=48, min_frequency=1)


def tiny_config(**overrides: Any) -> Any:
    """Return place_tiny at 64 pixels with one block of each kind."""
    sizes: dict[str, Any] = {
        "image_size": 64,
        "image_kwargs": {"embed_dim": 48, "depth": 1, "num_heads": 2},
        "report_width": 32,
        "report_depth": 1,
        "max_tokens": 48,
        "joint_dim": 24,
        "queries": 5,
        "correlation_dim": 16,
        "vocab_size": tiny_tokenizer().vocab_size,
    }
    return place_preset("place_tiny", **{**sizes, **overrides})


def tiny_place(seed: int = 0, **overrides: Any) -> PLACEModel:
    """Return a model with weights drawn from `seed`; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return PLACEModel(tiny_config(**overrides)).eval()


def save_tiny_place(folder: Path, seed: int = 0, *, resize_rule: Any = "pad", **overrides: Any) -> PLACEModel:
    """Save such a model with its tokenizer, and return it."""
    model = tiny_place(seed, **overrides)
    spec = PreprocessSpec(image_size=model.config.image_size, resize_rule=resize_rule)
    save_model_folder(folder, model, preprocess=spec, tokenizer=tiny_tokenizer(), classes=CLASSES)
    return model
