"""The parts of a run that need more than one line of JSON: tokenizer, model, precision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from monai_place.data.reports import report_sentences
from monai_place.data.tokens import ReportTokenizer
from monai_place.engines.random_state import isolated_random
from monai_place.networks import PLACEConfig, PLACEModel, place_preset

__all__ = ["build_place_model", "fast_autocast", "fit_report_tokenizer"]


def fit_report_tokenizer(
    records: Sequence[Mapping[str, Any]], *, name: str | None = None, vocab_size: int = 1000, max_tokens: int = 128
) -> ReportTokenizer:
    """Return the tokenizer of a pretrained report encoder, or one trained on the training reports.

    Args:
        records: training records.
        name: hub name or local folder of the report encoder; None trains a WordPiece tokenizer.
        vocab_size: of the trained one, at most.
        max_tokens: longest report in tokens.

    Raises:
        ValueError: there is no text to train on.
    """
    if name is not None:
        return ReportTokenizer.from_pretrained(name, max_tokens=max_tokens)
    texts = [sentence for record in records for sentence in report_sentences(record.get("report") or "")]
    return ReportTokenizer.train(texts, vocab_size=vocab_size, max_tokens=max_tokens)


def build_place_model(
    preset: str | Mapping[str, Any],
    tokenizer: ReportTokenizer,
    *,
    overrides: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> PLACEModel:
    """Return a model with its initial weights drawn from `seed` alone.

    Args:
        preset: name of a preset, or all fields of a `PLACEConfig`.
        tokenizer: its vocabulary sizes the small BERT.
        overrides: fields of `PLACEConfig` to change.
        seed: of the initial weights.

    Raises:
        ValueError: preset or field unknown, or a value out of range.
    """
    config = place_preset(preset) if isinstance(preset, str) else PLACEConfig.from_dict(dict(preset))
    changes = {"max_tokens": tokenizer.max_tokens, **dict(overrides or {})}
    if config.report_name is None:
        changes["vocab_size"] = tokenizer.vocab_size
    with isolated_random(seed):
        return PLACEModel(config.replace(**changes))


def fast_autocast(device: torch.device | str) -> bool:
    """Tell whether bfloat16 is computed by matrix hardware: on a GPU, and on a CPU with AMX.

    Elsewhere bfloat16 is emulated and slower than float32.

    Args:
        device: where the run is.
    """
    if torch.device(device).type != "cpu":
        return True
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # from torch 2.11 on
    return bool(capabilities.get("amx_bf16", False))
