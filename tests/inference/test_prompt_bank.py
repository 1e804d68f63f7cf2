"""Embedded prompts against loops over images, findings and prompts."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from monai_place.inference.prompt_bank import PromptBank

IMAGES, CLASSES, WIDTH, QUERIES = 3, 2, 6, 4


@pytest.fixture
def bank() -> PromptBank:
    """Return a bank of random prompts in which the second finding has fewer than there is room for."""
    draw = torch.Generator().manual_seed(0)
    made = PromptBank(CLASSES, positive_prompts=3, negative_prompts=2, joint_dim=WIDTH)
    for name, buffer in made.named_buffers():
        if name.endswith("mask"):
            buffer[:] = True
            buffer[1, 1:] = False
        elif name.endswith("temperature"):
            buffer.fill_({"global_temperature": 0.07, "local_temperature": 0.1, "pick_temperature": 0.2}[name])
        else:
            buffer.copy_(F.normalize(torch.randn(buffer.shape, generator=draw), dim=-1))
    return made


def unit(*shape: int) -> torch.Tensor:
    return F.normalize(torch.randn(shape, generator=torch.Generator().manual_seed(1)), dim=-1)


def averages(bank: PromptBank, kind: str, score: Any) -> torch.Tensor:
    """Mean of `score(finding, prompt)` over the prompts that are there, of each finding."""
    mask = getattr(bank, f"{kind}_mask")
    rows = [[score(c, p) for p in range(mask.shape[1]) if mask[c, p]] for c in range(CLASSES)]
    return torch.tensor([sum(row) / len(row) for row in rows])


def test_global_score_is_the_difference_of_mean_cosines_over_the_temperature(bank: PromptBank) -> None:
    images = unit(IMAGES, WIDTH)
    for row, image in zip(bank.global_scores(images), images, strict=True):
        positive = averages(bank, "positive", lambda c, p, image=image: float(bank.positive_reports[c, p] @ image))
        negative = averages(bank, "negative", lambda c, p, image=image: float(bank.negative_reports[c, p] @ image))
        assert torch.allclose(row, (positive - negative) / 0.07, atol=1e-5)


def test_local_score_lets_a_prompt_pick_observations(bank: PromptBank) -> None:
    observations = unit(IMAGES, QUERIES, WIDTH)

    def picked(prompt: torch.Tensor, image: torch.Tensor) -> float:
        cosines = image @ prompt
        return float(((cosines / 0.2).softmax(0) * cosines).sum())

    for row, image in zip(bank.local_scores(observations), observations, strict=True):
        positive = averages(bank, "positive", lambda c, p, i=image: picked(bank.positive_sentences[c, p], i))
        negative = averages(bank, "negative", lambda c, p, i=image: picked(bank.negative_sentences[c, p], i))
        assert torch.allclose(row, (positive - negative) / 0.1, atol=1e-5)


def test_scripted_bank_gives_the_same_after_a_round_trip(bank: PromptBank) -> None:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(bank), buffer)
    buffer.seek(0)
    again = torch.jit.load(buffer)
    assert torch.equal(again.global_scores(unit(2, WIDTH)), bank.global_scores(unit(2, WIDTH)))
    assert torch.equal(again.local_scores(unit(2, QUERIES, WIDTH)), bank.local_scores(unit(2, QUERIES, WIDTH)))


def test_empty_bank_scores_zero() -> None:
    empty = PromptBank(CLASSES, positive_prompts=1, negative_prompts=1, joint_dim=WIDTH)
    assert torch.equal(empty.global_scores(unit(2, WIDTH)), torch.zeros(2, CLASSES))
