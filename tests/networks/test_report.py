"""The report encoder, the pooling of sentences, and the keys by which equal sentences are found."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel

from monai_place.networks import ReportEncoder, pool_sentences, sentence_keys
from tests.networks.malicious import save_malicious_checkpoint

SIZES = BertConfig(
    vocab_size=40,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=32,
    max_position_embeddings=24,
)


def encoder(**options: int) -> ReportEncoder:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return ReportEncoder(
            **{"vocab_size": 40, "width": 16, "depth": 2, "heads": 2, "max_tokens": 24, **options}
        ).eval()


def token_ids(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(1, 40, shape, generator=torch.Generator().manual_seed(seed))


def saved_bert(folder: Path, kind: torch.dtype = torch.float32) -> BertModel:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        bert = BertModel(SIZES).to(kind)
    bert.save_pretrained(folder)
    return bert.eval()


def test_every_token_gets_a_state_of_the_promised_width() -> None:
    model = encoder(width=32)
    assert model(token_ids(3, 7), torch.ones(3, 7, dtype=torch.bool)).shape == (3, 7, 32)
    assert model.width == 32


def test_padding_changes_no_state_of_a_token() -> None:
    model, ids = encoder(), token_ids(2, 10)
    mask = torch.arange(10) < torch.tensor([[10], [6]])
    padded = model(ids * mask, mask)
    torch.testing.assert_close(padded[1:, :6], model(ids[1:, :6], mask[1:, :6]), rtol=1e-4, atol=1e-5)


def test_eval_is_deterministic_and_training_drops_out() -> None:
    model, ids, mask = encoder(), token_ids(2, 10), torch.ones(2, 10, dtype=torch.bool)
    assert torch.equal(model(ids, mask), model(ids, mask))
    model.train()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert not torch.equal(model(ids, mask), model(ids, mask))


def test_every_parameter_gets_a_gradient() -> None:
    model = encoder()
    model(token_ids(2, 10), torch.ones(2, 10, dtype=torch.bool)).square().sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_longer_report_than_the_encoder_has_positions_raises() -> None:
    with pytest.raises(ValueError, match="input_ids has 25 tokens, expected at most 24"):
        encoder()(token_ids(1, 25), torch.ones(1, 25, dtype=torch.bool))


def test_local_folder_loads_and_reads_as_transformers_does(tmp_path: Path) -> None:
    bert = saved_bert(tmp_path)
    model, ids, mask = ReportEncoder(str(tmp_path)).eval(), token_ids(2, 10), torch.ones(2, 10, dtype=torch.long)
    torch.testing.assert_close(model(ids, mask.bool()), bert(input_ids=ids, attention_mask=mask).last_hidden_state)


def test_checkpoint_in_half_precision_makes_a_model_in_float32(tmp_path: Path) -> None:
    saved_bert(tmp_path, torch.float16)
    assert {parameter.dtype for parameter in ReportEncoder(str(tmp_path)).parameters()} == {torch.float32}


def test_folder_that_is_not_there_raises_without_a_look_at_the_network(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nothing"):
        ReportEncoder(str(tmp_path / "nothing"))


def test_malicious_checkpoint_is_refused_and_does_not_run(tmp_path: Path) -> None:
    SIZES.save_pretrained(tmp_path)
    save_malicious_checkpoint(tmp_path / "pytorch_model.bin", tmp_path / "marker")
    with pytest.raises(Exception, match=r"[Ww]eights.only|pathlib"):
        ReportEncoder(str(tmp_path))
    assert not (tmp_path / "marker").exists()


SENTENCE_IDS = torch.tensor(
    [
        [-1, 0, 0, 1, 2, 2, -1, -1],
        [-1, 0, -1, -1, -1, -1, -1, -1],
        [-1, -1, -1, -1, -1, -1, -1, -1],  # an empty report
        [-1, 1, 0, 1, -1, 0, 3, -1],  # scattered, and without a sentence 2
    ]
)


def slow_pool(states: torch.Tensor, ids: torch.Tensor, sentences: int) -> tuple[torch.Tensor, torch.Tensor]:
    rows, mask = [], []
    for study in range(len(ids)):
        for sentence in range(sentences):
            own = [states[study, token] for token in range(ids.shape[1]) if ids[study, token] == sentence]
            rows.append(sum(own) / len(own) if own else torch.zeros_like(states[0, 0]))
            mask.append(bool(own))
    return torch.stack(rows).view(len(ids), sentences, -1), torch.tensor(mask).view(len(ids), sentences)


def test_pooling_equals_the_slow_oracle_forward_and_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(4, 8, 3, generator=generator, requires_grad=True)
    weight = torch.randn(4, 4, 3, generator=generator)
    (fast, fast_mask), (slow, slow_mask) = pool_sentences(states, SENTENCE_IDS), slow_pool(states, SENTENCE_IDS, 4)
    assert torch.equal(fast_mask, slow_mask)
    torch.testing.assert_close(fast, slow)
    left, right = (torch.autograd.grad((part * weight).sum(), states)[0] for part in (fast, slow))
    torch.testing.assert_close(left, right)


def test_batch_of_empty_reports_has_one_place_that_holds_nothing() -> None:
    pooled, mask = pool_sentences(torch.randn(2, 5, 3), torch.full((2, 5), -1))
    assert pooled.shape == (2, 1, 3)
    assert pooled.abs().max() == 0
    assert mask.tolist() == [[False], [False]]


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16], ids=str)
def test_long_sentence_in_half_precision_loses_no_tokens(kind: torch.dtype) -> None:
    # Half precision cannot count beyond 256 (bfloat16) or 2048 (float16) in steps of one.
    states = torch.ones(1, 4096, 1, dtype=kind)
    pooled, _ = pool_sentences(states, torch.zeros(1, 4096, dtype=torch.long))
    assert pooled.dtype == kind
    assert pooled.item() == 1


def test_equal_sentences_have_equal_keys_wherever_they_stand() -> None:
    ids = torch.tensor([[2, 7, 8, 9, 5, 6, 3], [2, 5, 6, 7, 8, 9, 3]])
    sentences = torch.tensor([[-1, 0, 0, 0, 1, 1, -1], [-1, 0, 0, 1, 1, 1, -1]])
    keys = sentence_keys(ids, sentences, 2)
    assert keys[0, 0] == keys[1, 1]
    assert keys[0, 1] == keys[1, 0]
    assert keys[0, 0] != keys[0, 1]


def test_key_does_not_depend_on_padding_or_neighbors() -> None:
    short = sentence_keys(torch.tensor([[2, 7, 8, 3]]), torch.tensor([[-1, 0, 0, -1]]), 1)
    long = sentence_keys(torch.tensor([[2, 9, 7, 8, 9, 3, 0, 0]]), torch.tensor([[-1, 0, 1, 1, 2, -1, -1, -1]]), 3)
    assert short[0, 0] == long[0, 1]


@pytest.mark.parametrize(
    "other",
    [
        pytest.param([8, 7, 9], id="permuted"),
        pytest.param([7, 8], id="shorter"),
        pytest.param([7, 8, 9, 9], id="longer"),
        pytest.param([7, 8, 10], id="another word"),
        pytest.param([0, 7, 8, 9], id="a token of id 0 before"),
    ],
)
def test_different_sentences_have_different_keys(other: list[int]) -> None:
    keys = [
        sentence_keys(torch.tensor([ids]), torch.zeros(1, len(ids), dtype=torch.long), 1) for ids in ([7, 8, 9], other)
    ]
    assert keys[0].item() != keys[1].item()


def test_place_without_a_sentence_has_no_key() -> None:
    keys = sentence_keys(torch.tensor([[2, 7, 3], [2, 3, 0]]), torch.tensor([[-1, 1, -1], [-1, -1, -1]]), 2)
    assert keys[0, 0] == -1
    assert keys[0, 1] >= 0
    assert keys[1].tolist() == [-1, -1]


def test_no_collision_among_100_000_random_sentences() -> None:
    # Short sentences of few words, so that many differ by one word or by their order alone.
    generator = torch.Generator().manual_seed(0)
    reports, sentences, longest = 1000, 100, 8
    ids = torch.randint(0, 40, (reports, sentences, longest), generator=generator)
    length = torch.randint(3, longest + 1, (reports, sentences, 1), generator=generator)
    place = torch.arange(sentences).view(1, -1, 1).expand(reports, -1, longest)
    place = torch.where(torch.arange(longest) < length, place, -1)
    keys = sentence_keys(ids.flatten(1), place.flatten(1), sentences)
    texts = [
        tuple(words[:count])
        for report, counts in zip(ids.tolist(), length.tolist(), strict=True)
        for words, (count,) in zip(report, counts, strict=True)
    ]
    found = dict(zip(texts, keys.flatten().tolist(), strict=True))
    assert len(set(texts)) > 95_000
    assert len(set(found.values())) == len(found)  # different sentences, different keys
    assert [found[text] for text in texts] == keys.flatten().tolist()  # equal sentences, equal keys
