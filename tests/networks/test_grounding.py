"""The map of a sentence: it adds up to the sentence's score, patch by patch."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from monai_place.losses import observation_scores
from monai_place.networks import grounding_maps

S, K, N, D = 3, 4, 6, 5


def parts() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return sentences, observations, attention and patch values that fit together as in the extractor."""
    generator = torch.Generator().manual_seed(0)
    sentences = F.normalize(torch.randn(S, D, generator=generator, dtype=torch.float64), dim=-1)
    values = torch.randn(N, D, generator=generator, dtype=torch.float64)
    attention = torch.randn(K, N, generator=generator, dtype=torch.float64).softmax(dim=1)
    return sentences, F.normalize(attention @ values, dim=-1), attention, values


def test_map_adds_up_to_the_score() -> None:
    sentences, observations, attention, values = parts()
    maps = grounding_maps(sentences, observations, attention, values, pick_temperature=0.3)
    scores = observation_scores(sentences, observations.unsqueeze(0), pick_temperature=0.3)
    assert maps.shape == (S, N)
    torch.testing.assert_close(maps.sum(dim=1, keepdim=True), scores)


def test_map_equals_the_slow_oracle() -> None:
    sentences, observations, attention, values = parts()
    maps = grounding_maps(sentences, observations, attention, values, pick_temperature=0.3)
    for sentence in range(S):
        likeness = torch.stack([sentences[sentence] @ observations[query] for query in range(K)])
        picked = (likeness / 0.3).softmax(dim=0)
        for patch in range(N):
            share = sum(
                picked[query]
                * attention[query, patch]
                * (values[patch] @ sentences[sentence])
                / sum(attention[query, other] * values[other] for other in range(N)).norm()
                for query in range(K)
            )
            torch.testing.assert_close(maps[sentence, patch], share)


def test_patch_that_nobody_looks_at_has_no_share() -> None:
    sentences, _, attention, values = parts()
    attention = attention.clone()
    attention[:, 2] = 0
    maps = grounding_maps(sentences, F.normalize(attention @ values, dim=-1), attention, values)
    assert maps[:, 2].abs().max() == 0


def test_patch_that_speaks_against_the_sentence_is_negative() -> None:
    values = torch.tensor([[1.0, 0.0], [-0.5, 0.0], [0.0, 1.0]])
    attention = torch.full((1, 3), 1 / 3)
    (row,) = grounding_maps(torch.tensor([[1.0, 0.0]]), F.normalize(attention @ values, dim=-1), attention, values)
    assert row[0] > 0
    assert row[1] < 0
    assert row[2] == 0


def test_values_of_zero_stay_finite() -> None:
    sentences, _, attention, values = parts()
    zero = torch.zeros_like(values)
    assert grounding_maps(sentences, attention @ zero, attention, zero).abs().max() == 0
