"""Linear warm-up, then half a cosine, by iteration."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from monai_place.engines import build_warmup_cosine, read_history, warmup_cosine_factor
from tests.support.training import build_run


def factors(count: int, **arguments: float) -> list[float]:
    return [warmup_cosine_factor(step, **arguments) for step in range(count)]  # type: ignore[arg-type]


def test_the_rate_rises_linearly_and_falls_along_a_cosine() -> None:
    # Warm-up 4: 1/4 .. 4/4 in steps 0 to 3; then steps 4 to 9 are 1/7 .. 6/7 of the way down.
    expected = [0.25, 0.5, 0.75, 1.0] + [0.5 * (1 + math.cos(math.pi * part / 7)) for part in range(1, 7)]
    assert factors(10, warmup_steps=4, total_steps=10) == pytest.approx(expected)


def test_no_step_is_wasted_at_a_rate_of_zero() -> None:
    assert all(factor > 0 for factor in factors(10, warmup_steps=4, total_steps=10))
    assert all(factor > 0 for factor in factors(10, warmup_steps=0, total_steps=10))


def test_the_floor_holds_to_the_end_and_beyond() -> None:
    values = factors(14, warmup_steps=2, total_steps=10, floor=0.1)
    assert min(values[1:]) == pytest.approx(0.1)
    assert values[10:] == [0.1] * 4


@pytest.mark.parametrize("warmup", [0, 1])
def test_without_warm_up_the_first_step_has_the_full_rate(warmup: int) -> None:
    assert warmup_cosine_factor(0, warmup_steps=warmup, total_steps=5) == 1.0


def test_a_single_step_is_possible() -> None:
    assert factors(2, warmup_steps=1, total_steps=1) == pytest.approx([1.0, 0.0])


def test_groups_keep_their_ratios() -> None:
    network = nn.Linear(2, 1)
    groups = [{"params": [network.weight], "lr": 1.0}, {"params": [network.bias], "lr": 0.1}]
    scheduler = build_warmup_cosine(torch.optim.AdamW(groups), warmup_steps=2, total_steps=4)
    assert scheduler.get_last_lr() == pytest.approx([0.5, 0.05])


@pytest.mark.parametrize(
    "arguments",
    [
        {"warmup_steps": 5, "total_steps": 4},
        {"warmup_steps": -1, "total_steps": 4},
        {"warmup_steps": 0, "total_steps": 0},
        {"warmup_steps": 0, "total_steps": 4, "floor": 1.5},
    ],
)
def test_numbers_out_of_range_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected total_steps of at least 1"):
        build_warmup_cosine(torch.optim.SGD(nn.Linear(2, 1).parameters(), lr=0.1), **arguments)  # type: ignore[arg-type]


def test_the_trainer_steps_it_each_iteration_and_tells_the_rate_it_used(tmp_path: Path) -> None:
    build_run(tmp_path, epochs=2, warmup=4, validate=False).go()
    used = [row["lr/base.decay"] for row in read_history(tmp_path / "history.jsonl")]
    assert used == pytest.approx([1e-2 * factor for factor in factors(10, warmup_steps=4, total_steps=10)])


def test_accumulated_iterations_count_when_the_optimizer_has_stepped(tmp_path: Path) -> None:
    build_run(tmp_path, epochs=2, warmup=4, validate=False, trainer_arguments={"accumulation_steps": 2}).go()
    used = [row["lr/base.decay"] for row in read_history(tmp_path / "history.jsonl")]
    expected = [1e-2 * factor for factor in factors(10, warmup_steps=4, total_steps=10)]
    # Steps end at iterations 2, 4, 5 and so on; the rate stands still in between.
    assert used == pytest.approx([expected[index] for index in (0, 0, 2, 2, 4, 5, 5, 7, 7, 9)])
