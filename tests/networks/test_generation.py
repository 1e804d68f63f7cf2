from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from monai_place.networks import GenerationSettings
from tests.support.generators import tiny_generator

GENERATORS = {kind: tiny_generator(decoder=kind, seed=3) for kind in ("bert", "gpt2")}
IMAGE = torch.rand(3, 1, 64, 64, generator=torch.Generator().manual_seed(0))
kinds = pytest.mark.parametrize("kind", list(GENERATORS))


def write(kind, image=IMAGE, prompts=None, **settings):
    batch = {"image": image}
    if prompts is not None:
        longest = max(map(len, prompts))
        batch["input_ids"] = torch.tensor([[*p, *[0] * (longest - len(p))] for p in prompts])
        batch["attention_mask"] = torch.tensor([[1] * len(p) + [0] * (longest - len(p)) for p in prompts]).bool()
    return [row.tolist() for row in GENERATORS[kind].generate(batch, GenerationSettings(**settings))]


def log_likelihood(kind, image, tokens):
    """Sum of log-probabilities of the tokens and, where there was room for it, of the end."""
    generator, sep = GENERATORS[kind], 3
    ids = [2, 3, *tokens, sep][:24]
    logits = generator(
        {"image": image, "input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids))}
    ).logits
    rows = logits[0].detach().log_softmax(-1)
    return float(sum(rows[place - 1, ids[place]] for place in range(2, len(ids)))) / (len(ids) - 2)


@kinds
def test_greedy_takes_the_likeliest_token_of_each_step(kind):
    generator = GENERATORS[kind]
    tokens = write(kind, max_tokens=6, min_tokens=6)[0]
    never = sorted(set(generator.config.special_ids.values()))
    ids = [2, 3]
    for token in tokens:  # the slow way: no cache, one step at a time
        batch = {"image": IMAGE[:1], "input_ids": torch.tensor([ids]), "attention_mask": torch.ones(1, len(ids))}
        logits = generator(batch).logits[0, -1].clone()
        logits[never] = -torch.inf
        assert int(logits.argmax()) == token
        ids.append(token)


@kinds
@pytest.mark.parametrize("beams", [1, 3])
def test_a_batch_writes_what_its_images_alone_write(kind, beams):
    together = write(kind, beams=beams)
    assert together == [write(kind, IMAGE[row : row + 1], beams=beams)[0] for row in range(3)]
    assert together == write(kind, beams=beams), "nothing is drawn at random"


@kinds
def test_prompts_of_different_lengths_do_not_disturb_each_other(kind):
    prompts = [[2, 3], [2, 7, 8, 9, 3], [2, 10, 3]]
    together = write(kind, prompts=prompts, max_tokens=8)
    alone = [write(kind, IMAGE[row : row + 1], [prompts[row]], max_tokens=8)[0] for row in range(3)]
    assert together == alone


@kinds
def test_beams_find_a_likelier_report_than_greed(kind):
    for row in range(3):
        image = IMAGE[row : row + 1]
        greedy, beams = write(kind, image)[0], write(kind, image, beams=6)[0]
        assert log_likelihood(kind, image, beams) >= log_likelihood(kind, image, greedy) - 1e-5


@kinds
def test_lengths_and_repetitions_are_controlled(kind):
    assert all(len(row) == 5 for row in write(kind, min_tokens=5, max_tokens=5))
    plain, other = write(kind, min_tokens=15), write(kind, min_tokens=15, no_repeat_ngram=2)
    pairs = [list(pairwise(row)) for row in other]
    assert all(len(set(row)) == len(row) for row in pairs)
    assert write(kind, min_tokens=15, repetition_penalty=50.0) != plain
    assert all(len(set(row)) == len(row) for row in write(kind, min_tokens=15, repetition_penalty=1e6))


@kinds
def test_special_tokens_are_never_written_and_the_room_is_kept(kind):
    for row in write(kind, min_tokens=999):
        assert not set(row) & {0, 1, 2, 3, 4}
        assert len(row) == 22  # 24 without the prompt


def test_a_prompt_that_fills_the_room_is_refused():
    with pytest.raises(ValueError, match="leaves no room; the decoder takes 24"):
        write("bert", IMAGE[:1], [[2, *[7] * 23]])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"beams": 0}, "beams is 0", id="beams"),
        pytest.param({"min_tokens": 5, "max_tokens": 4}, "max_tokens is 4, expected at least 5", id="lengths"),
        pytest.param({"repetition_penalty": 0.0}, "repetition_penalty is 0.0", id="penalty"),
        pytest.param({"length_penalty": float("nan")}, "length_penalty is nan", id="length"),
        pytest.param({"no_repeat_ngram": -1}, "no_repeat_ngram is -1", id="ngram"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        GenerationSettings(**settings)
