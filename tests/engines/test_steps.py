"""What counts as one step of the optimizer, and as finite."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from monai_place.engines.steps import accumulation_position, all_finite


def positions(length: int | None, steps: int, count: int) -> list[tuple[bool, bool]]:
    engine = SimpleNamespace(accumulation_steps=steps, state=SimpleNamespace(epoch_length=length, iteration=0))
    found = []
    for engine.state.iteration in range(1, count + 1):
        found.append(accumulation_position(engine))
    return found


def test_without_accumulation_each_iteration_is_a_step() -> None:
    assert positions(5, 1, 10) == [(True, True)] * 10


def test_an_epoch_ends_with_a_step_and_the_next_begins_with_one() -> None:
    first, middle, last, alone = (True, False), (False, False), (False, True), (True, True)
    assert positions(4, 3, 8) == [first, middle, last, alone] * 2
    assert positions(None, 3, 6) == [first, middle, last] * 2


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_one_bad_number_is_enough(bad: float) -> None:
    assert all_finite([torch.ones(3), torch.zeros(0), torch.tensor([1, 2])])
    assert not all_finite([torch.ones(3), torch.tensor([[1.0, bad]], dtype=torch.float16)])


def test_nothing_is_finite() -> None:
    assert all_finite([])
