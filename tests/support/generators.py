"""A report generator with random weights, small enough for every test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from monai_place.data.report_format import ReportFormat
from monai_place.networks import ReportGenerator, ReportGeneratorConfig
from monai_place.networks.decoders import decoder_settings
from monai_place.preprocess import PreprocessSpec
from monai_place.weights.generator_folder import save_generator_folder
from tests.support.models import CLASSES, tiny_place, tiny_tokenizer

__all__ = ["save_tiny_decoder", "save_tiny_generator", "tiny_generator", "tiny_generator_config"]


def tiny_generator_config(**overrides: Any) -> ReportGeneratorConfig:
    """Return a config on the tiny PLACE of the tests."""
    tokenizer = tiny_tokenizer()
    sizes: dict[str, Any] = {
        "place": tiny_place().config.to_dict(),
        "special_ids": tokenizer.special_ids,
        "vocab_size": tokenizer.vocab_size,
        "width": 32,
        "depth": 2,
        "heads": 2,
        "max_tokens": 24,
    }
    return ReportGeneratorConfig(**{**sizes, **overrides})


def tiny_generator(seed: int = 0, **overrides: Any) -> ReportGenerator:
    """Return a generator drawn from `seed`, in evaluation mode; the global generator is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return ReportGenerator(tiny_generator_config(**overrides), place=tiny_place()).eval()


def save_tiny_decoder(folder: Path, kind: str) -> Path:
    """Save a small BERT encoder or GPT-2 as transformers does, without cross-attention."""
    from transformers import BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel

    words = tiny_tokenizer().vocab_size
    sizes = {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 32, "max_position_embeddings": 40}
    if kind == "bert":
        BertForMaskedLM(BertConfig(vocab_size=words, intermediate_size=32, **sizes)).save_pretrained(folder)
    else:
        GPT2LMHeadModel(GPT2Config(vocab_size=words, bos_token_id=2, eos_token_id=3, **sizes)).save_pretrained(folder)
    return folder


def save_tiny_generator(
    folder: Path, seed: int = 0, *, sections: tuple[str, ...] = ("impression",), **more: Any
) -> Path:
    """Save such a generator as a training does."""
    model = tiny_generator(seed, **more)
    tokenizer = tiny_tokenizer()
    return save_generator_folder(
        folder,
        model,
        decoder=decoder_settings(model.decoder),
        preprocess=PreprocessSpec(image_size=64),
        tokenizer=tokenizer.resized(24),
        place_tokenizer=tokenizer,
        report_format=ReportFormat(sections, max_tokens=24, max_prompt_tokens=8).to_dict(),
        classes=CLASSES,
        extra={"seed": seed, "loss": {"pick_temperature": 0.2}},
    )
