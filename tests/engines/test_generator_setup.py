from __future__ import annotations

import pytest
import torch
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

from monai_place.data.report_format import ReportFormat
from monai_place.data.tokens import ReportTokenizer
from monai_place.engines.generator_setup import build_report_generator, generator_tokenizer
from tests.support.generators import save_tiny_decoder
from tests.support.models import tiny_place, tiny_tokenizer

SIZES = {"width": 32, "heads": 2, "depth": 1}
FORM = ReportFormat(("findings",), max_tokens=24, max_prompt_tokens=8)


def test_small_decoder_takes_the_tokenizer_of_place_at_its_own_length():
    tokenizer = generator_tokenizer(tiny_tokenizer(), max_tokens=24)
    assert tokenizer.max_tokens == 24
    assert tokenizer.fingerprint == tiny_tokenizer().fingerprint


def test_seed_alone_decides_the_new_weights_and_the_encoder_is_the_given_one():
    place = tiny_place()
    torch.manual_seed(1)
    first = build_report_generator(place, tiny_tokenizer(), FORM, decoder=SIZES, seed=4)
    torch.manual_seed(2)
    second = build_report_generator(tiny_place(), tiny_tokenizer(), FORM, decoder=SIZES, seed=4)
    other = build_report_generator(tiny_place(), tiny_tokenizer(), FORM, decoder=SIZES, seed=5)
    assert first.place is place
    same = [torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)]
    assert all(same)
    assert not torch.equal(first.slot_tokens, other.slot_tokens)


def test_pretrained_decoder_of_the_gpt_kind_brings_its_tokenizer(tmp_path):
    folder = save_tiny_decoder(tmp_path / "gpt", "gpt2")
    words = {"<end>": 0, "no": 1, "effusion": 2, ".": 3, "findings": 4}
    backend = Tokenizer(models.WordLevel(words, unk_token="<end>"))
    ends = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<end>")
    PreTrainedTokenizerFast(tokenizer_object=backend, **ends).save_pretrained(folder)
    tokenizer = generator_tokenizer(tiny_tokenizer(), decoder_name=str(folder), max_tokens=24)
    assert tokenizer.special_ids == {"unk": 0, "cls": 0, "sep": 0, "pad": 0}
    generator = build_report_generator(tiny_place(), tokenizer, FORM, decoder_name=str(folder))
    assert type(generator.decoder).__name__ == "GPT2LMHeadModel"
    written = generator.generate({"image": torch.zeros(2, 1, 64, 64)})
    assert all(0 not in row.tolist() for row in written)


def test_a_tokenizer_that_cannot_write_the_headings_is_told():
    poor = ReportTokenizer.train(["no oedema"] * 3, vocab_size=60, min_frequency=1)
    with pytest.raises(ValueError, match="cannot write the headings"):
        build_report_generator(tiny_place(), poor, ReportFormat(max_tokens=24, max_prompt_tokens=8), decoder=SIZES)


def test_unknown_fields_are_named():
    with pytest.raises(ValueError, match="unknown keys \\['depht'\\]"):
        build_report_generator(tiny_place(), tiny_tokenizer(), FORM, decoder={"depht": 3})
