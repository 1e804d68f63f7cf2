"""Seeds from coordinates, and generators that can be put back."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from monai_place.engines import capture_random_state, derive_seed, isolated_random, restore_random_state


def draw() -> list[float]:
    return [
        random.random(),
        random.gauss(0, 1),
        float(np.random.rand()),
        float(np.random.randn()),
        float(torch.rand(())),
    ]


@pytest.fixture(autouse=True)
def _leave_no_trace() -> object:
    before = capture_random_state()
    yield
    restore_random_state(before)


def test_a_state_put_back_draws_the_same_numbers() -> None:
    draw()  # gauss and randn keep a second number for the next call: the state has to hold it
    state = capture_random_state()
    first = draw()
    assert draw() != first
    restore_random_state(state)
    assert draw() == first


def test_isolated_numbers_depend_on_the_seed_alone() -> None:
    with isolated_random(5):
        first = draw()
    draw()
    with isolated_random(5):
        assert draw() == first
    with isolated_random(6):
        assert draw() != first


def test_isolation_leaves_the_generators_as_they_were() -> None:
    state = capture_random_state()
    expected = draw()
    restore_random_state(state)
    with pytest.raises(ZeroDivisionError), isolated_random(5):
        draw()[0] / 0
    assert draw() == expected


def test_seeds_of_neighbors_differ() -> None:
    seeds = {derive_seed(seed, epoch, index) for seed in range(10) for epoch in range(10) for index in range(10)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**32 for seed in seeds)
