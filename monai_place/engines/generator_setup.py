"""The parts of a training of a report generator that need more than one line of JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from monai_place.data.report_format import ReportFormat
from monai_place.data.tokens import ReportTokenizer
from monai_place.engines.random_state import isolated_random
from monai_place.networks import PLACEModel, ReportGenerator, ReportGeneratorConfig

__all__ = ["build_report_generator", "generator_tokenizer"]


def generator_tokenizer(
    place_tokenizer: ReportTokenizer, *, decoder_name: str | None = None, max_tokens: int = 160
) -> ReportTokenizer:
    """Return the tokenizer of a decoder: PLACE's for a small one, its own for a pretrained one.

    Args:
        place_tokenizer: of the pretrained run.
        decoder_name: hub name or local folder of a pretrained decoder.
        max_tokens: longest sequence.

    Raises:
        FileNotFoundError: there is no tokenizer of that name.
    """
    if decoder_name is None:
        return place_tokenizer.resized(max_tokens)
    return ReportTokenizer.from_pretrained(decoder_name, max_tokens=max_tokens)


def build_report_generator(
    place: PLACEModel,
    tokenizer: ReportTokenizer,
    report_format: ReportFormat,
    *,
    decoder: Mapping[str, Any] | None = None,
    decoder_name: str | None = None,
    train_encoder: bool = False,
    seed: int = 0,
) -> ReportGenerator:
    """Return a generator on a pretrained encoder, its new weights drawn from `seed` alone.

    Args:
        place: the encoder; it becomes a part of the generator.
        tokenizer: of the decoder.
        report_format: of what is written.
        decoder: fields of `ReportGeneratorConfig` to change: `decoder`, `width`, `depth`, `heads`, `dropout`,
            `image_tokens`.
        decoder_name: a pretrained decoder.
        train_encoder: train the image side of the encoder, too.
        seed: of the new weights.

    Raises:
        ValueError: a field is unknown or out of range, or the tokenizer cannot write the headings of two sections.
    """
    _require_headings(tokenizer, report_format)
    config = ReportGeneratorConfig.from_dict(
        {
            **dict(decoder or {}),
            "place": place.config.to_dict(),
            "special_ids": tokenizer.special_ids,
            "vocab_size": tokenizer.vocab_size,
            "max_tokens": report_format.max_tokens,
            "decoder_name": decoder_name,
            "train_encoder": train_encoder,
        }
    )
    with isolated_random(seed):
        return ReportGenerator(config, place=place)


def _require_headings(tokenizer: ReportTokenizer, report_format: ReportFormat) -> None:
    if len(report_format.sections) < 2:
        return
    headings = [f"{name.capitalize()}:" for name in report_format.sections]
    if tokenizer.special_ids["unk"] in tokenizer.encode(headings).input_ids:
        raise ValueError(
            f"the tokenizer cannot write the headings {headings}; choose one section, or pretrain with a tokenizer of "
            "more characters"
        )
