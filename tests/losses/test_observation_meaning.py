"""What PCMA can learn from, and what it cannot: the images, and not the texts alone."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from monai_place.losses import ObservationAlignmentLoss
from tests.losses.cases import make_studies, unit_rows

CONCEPTS, WIDTH, BATCH, SENTENCES = 8, 16, 16, 2


class ToyModel(nn.Module):
    """Images are two patches, each the noisy look of a concept; a report names both; both go through one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.texts = nn.Embedding(CONCEPTS, WIDTH)
        self.images = nn.Linear(WIDTH, WIDTH)

    def forward(self, named: torch.Tensor, patches: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return F.normalize(self.texts(named), dim=-1), F.normalize(self.images(patches), dim=-1)


def toy_batch(looks: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the concepts of each report (B, S) and the patches of each image (B, S, D)."""
    named = torch.rand(BATCH, CONCEPTS, generator=generator).argsort(dim=1)[:, :SENTENCES]
    return named, looks[named] + 0.3 * torch.randn(BATCH, SENTENCES, WIDTH, generator=generator)


@pytest.mark.parametrize("mode", ["report", "sentence", "both"])
@pytest.mark.parametrize("duplicates", ["mask", "soften"])
def test_after_a_few_steps_right_images_lose_a_nat_less_than_swapped_ones(mode: Any, duplicates: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    looks = torch.randn(CONCEPTS, WIDTH, generator=generator)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = ToyModel()
    loss = ObservationAlignmentLoss(mode, duplicates=duplicates)
    mask = torch.ones(BATCH, SENTENCES, dtype=torch.bool)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(60):
        named, patches = toy_batch(looks, generator)
        optimizer.zero_grad()
        sentences, observations = model(named, patches)
        loss(sentences, mask, named, observations).backward()
        optimizer.step()
    named, patches = toy_batch(looks, generator)  # not seen in training
    with torch.no_grad():
        sentences, observations = model(named, patches)
        right = loss(sentences, mask, named, observations)
        swapped = loss(sentences, mask, named, observations.roll(1, dims=0))
    assert float(swapped - right) > 1


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_observations_that_do_not_depend_on_the_image_lose_log_of_the_batch_for_any_sentences(seed: int) -> None:
    studies = make_studies([3, 1, 4, 2, 2], seed=seed, distinct=10_000)
    constant = unit_rows(1, 3, 5, seed=seed + 9).expand(5, 3, 5)
    loss = ObservationAlignmentLoss("sentence")(*studies.arguments[:3], constant)
    assert loss.item() == pytest.approx(math.log(5), abs=1e-9)


@pytest.mark.parametrize("mode", ["report", "sentence", "both"])
def test_a_text_only_solution_cannot_lower_the_loss(mode: Any) -> None:
    # Sentences and slots are trained, but the slots are the same for every image. This is what a contrast against
    # other sentences rewards, and what taught the project to contrast images.
    studies = make_studies([3, 1, 4, 2, 2], distinct=10_000)
    sentences = studies.sentences.detach().clone().requires_grad_()
    slots = unit_rows(1, 3, 5, seed=7).detach().requires_grad_()
    loss = ObservationAlignmentLoss(mode)
    optimizer = torch.optim.Adam([sentences, slots], lr=0.05)
    values = []
    for _ in range(50):
        optimizer.zero_grad()
        constant = F.normalize(slots, dim=-1).expand(5, 3, 5)
        value = loss(F.normalize(sentences, dim=-1), studies.mask, studies.keys, constant)
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert min(values) > math.log(5) - 1e-9
