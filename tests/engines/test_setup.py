"""Tokenizer, model and precision of a run."""

from __future__ import annotations

import pytest
import torch

from monai_place.data.tokens import ReportTokenizer
from monai_place.engines import build_place_model, fast_autocast, fit_report_tokenizer
from tests.networks.models import small_config

RECORDS = [{"report": "FINDINGS: No effusion. The heart is normal."}, {"report": "Small effusion."}, {"id": "no text"}]


def test_tokenizer_learns_the_words_of_the_reports_and_not_their_headings() -> None:
    tokenizer = fit_report_tokenizer(RECORDS * 2, vocab_size=200, max_tokens=16)
    assert tokenizer.decode(tokenizer.encode(["No effusion."]).input_ids) == "no effusion."
    assert tokenizer.max_tokens == 16
    heading = tokenizer.encode(["findings"]).input_ids
    assert tokenizer.special_ids["unk"] in heading, "nobody wrote the word"


def test_tokenizer_of_a_pretrained_encoder_is_taken_as_it_is(tmp_path) -> None:
    saved = ReportTokenizer.train(["another vocabulary"] * 3, vocab_size=100)
    folder = saved.save(tmp_path / "bert")
    assert fit_report_tokenizer(RECORDS, name=str(folder)).fingerprint == saved.fingerprint


def test_reports_without_text_teach_nothing() -> None:
    with pytest.raises(ValueError, match="no word"):
        fit_report_tokenizer([{"id": "a"}, {"report": " "}])


def test_initial_weights_depend_on_the_seed_alone() -> None:
    tokenizer = fit_report_tokenizer(RECORDS * 2, vocab_size=100, max_tokens=32)
    config = small_config().to_dict()
    torch.manual_seed(1)
    state = torch.random.get_rng_state()
    first = build_place_model(config, tokenizer, seed=5).state_dict()
    assert torch.equal(torch.random.get_rng_state(), state), "the run's own generator must not move"
    torch.manual_seed(2)
    second = build_place_model(config, tokenizer, seed=5).state_dict()
    other = build_place_model(config, tokenizer, seed=6).state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["extractor.queries"], other["extractor.queries"])


def test_vocabulary_and_length_follow_the_tokenizer_and_overrides_win() -> None:
    tokenizer = fit_report_tokenizer(RECORDS * 2, vocab_size=100, max_tokens=32)
    model = build_place_model(small_config().to_dict(), tokenizer, overrides={"queries": 3})
    assert model.config.vocab_size == tokenizer.vocab_size
    assert model.config.max_tokens == 32
    assert model.config.queries == 3


def test_unknown_preset_is_refused() -> None:
    tokenizer = fit_report_tokenizer(RECORDS * 2, vocab_size=100)
    with pytest.raises(ValueError, match="unknown preset 'place_huge'"):
        build_place_model("place_huge", tokenizer)


def test_autocast_is_fast_on_a_gpu_and_where_the_cpu_multiplies_matrices_in_bfloat16() -> None:
    assert fast_autocast("cuda")
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()
    assert fast_autocast("cpu") == bool(capabilities.get("amx_bf16", False))
