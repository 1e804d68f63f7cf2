"""Text decoders with cross-attention, made by transformers: small ones from sizes, or pretrained ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from monai_place.networks.generator_config import ReportGeneratorConfig

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["build_decoder", "decoder_settings", "decoder_width", "rebuild_decoder"]

CROSS_ATTENTION = ("crossattention", "cross_attn", "crossattn", "cross_attention")


def build_decoder(config: ReportGeneratorConfig) -> PreTrainedModel:
    """Return the decoder that a config asks for.

    Args:
        config: with `decoder_name`, the model of that name or folder gets a cross-attention; else a small one is made.

    Raises:
        OSError: `decoder_name` is neither a folder with a model nor a hub name that can be reached.
        ValueError: a model of that kind has no cross-attention, too few positions or too few words.
    """
    if config.decoder_name is not None:
        return _pretrained(config)
    from transformers import BertConfig, BertLMHeadModel, GPT2Config, GPT2LMHeadModel

    common: dict[str, Any] = {
        "vocab_size": config.vocab_size,
        "add_cross_attention": True,
        "is_decoder": True,
        "pad_token_id": config.special_ids["pad"],
        "bos_token_id": config.special_ids["cls"],
        "eos_token_id": config.special_ids["sep"],
    }
    if config.decoder == "gpt2":
        return GPT2LMHeadModel(
            GPT2Config(
                n_embd=config.width,
                n_layer=config.depth,
                n_head=config.heads,
                n_positions=config.max_tokens,
                resid_pdrop=config.dropout,
                embd_pdrop=config.dropout,
                attn_pdrop=config.dropout,
                **common,
            )
        )
    return BertLMHeadModel(
        BertConfig(
            hidden_size=config.width,
            num_hidden_layers=config.depth,
            num_attention_heads=config.heads,
            intermediate_size=4 * config.width,
            max_position_embeddings=config.max_tokens,
            hidden_dropout_prob=config.dropout,
            attention_probs_dropout_prob=config.dropout,
            **common,
        )
    )


def decoder_width(decoder: PreTrainedModel) -> int:
    """Return the hidden size of a decoder."""
    return int(decoder.config.hidden_size)


def decoder_settings(decoder: PreTrainedModel) -> dict[str, Any]:
    """Return a decoder's config as plain JSON values without a path of this machine, for `rebuild_decoder`."""
    values: dict[str, Any] = json.loads(decoder.config.to_json_string(use_diff=False))
    return {key: value for key, value in values.items() if key != "_name_or_path"}


def rebuild_decoder(settings: Mapping[str, Any]) -> PreTrainedModel:
    """Build a decoder with random weights from what `decoder_settings` returned; the hub is not asked.

    Raises:
        ValueError: the settings are not those of a decoder with cross-attention.
    """
    from transformers import AutoConfig, AutoModelForCausalLM

    values = {key: value for key, value in settings.items() if key not in ("model_type", "transformers_version")}
    config = AutoConfig.for_model(settings["model_type"], **values)
    decoder: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    _require_cross_attention(decoder, str(settings["model_type"]))
    return decoder


def _pretrained(config: ReportGeneratorConfig) -> PreTrainedModel:
    from transformers import AutoConfig, AutoModelForCausalLM

    assert config.decoder_name is not None
    settings = AutoConfig.from_pretrained(config.decoder_name, trust_remote_code=False)
    settings.is_decoder = settings.add_cross_attention = True  # not every kind takes them as arguments
    decoder: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        config.decoder_name, config=settings, dtype=torch.float32, trust_remote_code=False
    )
    _require_cross_attention(decoder, config.decoder_name)
    positions = int(decoder.config.max_position_embeddings)
    if config.max_tokens > positions:
        raise ValueError(f"max_tokens is {config.max_tokens}, the decoder has {positions} positions")
    rows = decoder.get_input_embeddings().num_embeddings
    if config.vocab_size > rows:
        raise ValueError(
            f"the tokenizer has {config.vocab_size} words, the decoder knows {rows}; take the decoder's own tokenizer"
        )
    return decoder


def _require_cross_attention(decoder: PreTrainedModel, name: str) -> None:
    names = (name.lower() for name, _ in decoder.named_modules())
    if not any(part in module for module in names for part in CROSS_ATTENTION):
        raise ValueError(
            f"{name!r} ({type(decoder).__name__}) has no cross-attention; take a BERT-type or GPT-2-type model"
        )
