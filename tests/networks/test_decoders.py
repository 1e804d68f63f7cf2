from __future__ import annotations

import json

import pytest
import torch
from transformers import BertConfig, BertModel, T5Config

from monai_place.networks.decoders import build_decoder, decoder_settings, decoder_width, rebuild_decoder
from tests.support.generators import save_tiny_decoder, tiny_generator_config


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_small_decoder_is_rebuilt_from_its_settings(kind):
    decoder = build_decoder(tiny_generator_config(decoder=kind))
    again = rebuild_decoder(json.loads(json.dumps(decoder_settings(decoder))))
    assert type(again) is type(decoder)
    assert decoder_width(again) == 32
    assert {k: v.shape for k, v in again.state_dict().items()} == {k: v.shape for k, v in decoder.state_dict().items()}


@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_pretrained_decoder_keeps_its_weights_and_gets_a_cross_attention(kind, tmp_path):
    folder = save_tiny_decoder(tmp_path / "decoder", kind)
    decoder = build_decoder(tiny_generator_config(decoder_name=str(folder)))
    embedding = decoder.get_input_embeddings().weight
    from safetensors.torch import load_file

    stored = load_file(folder / "model.safetensors")
    assert any(torch.equal(value, embedding) for value in stored.values() if value.shape == embedding.shape)
    assert str(tmp_path) not in json.dumps(decoder_settings(decoder))


def test_too_long_sequences_and_too_many_words_are_refused(tmp_path):
    name = str(save_tiny_decoder(tmp_path / "decoder", "bert"))
    with pytest.raises(ValueError, match="max_tokens is 99, the decoder has 40 positions"):
        build_decoder(tiny_generator_config(decoder_name=name, max_tokens=99))
    with pytest.raises(ValueError, match="take the decoder's own tokenizer"):
        build_decoder(tiny_generator_config(decoder_name=name, vocab_size=9999))


def test_a_model_without_cross_attention_is_refused():
    sizes = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
    settings = decoder_settings(BertModel(BertConfig(**sizes, intermediate_size=8, is_decoder=True)))
    with pytest.raises(ValueError, match="no cross-attention"):
        rebuild_decoder(settings)
    with pytest.raises(ValueError, match="T5"):
        rebuild_decoder({**T5Config().to_dict(), "d_model": 8, "num_layers": 1})


def test_a_name_that_is_nowhere_is_an_error():
    with pytest.raises(OSError, match="nowhere"):
        build_decoder(tiny_generator_config(decoder_name="/nowhere/decoder"))
