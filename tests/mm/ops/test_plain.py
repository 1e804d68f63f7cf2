from __future__ import annotations

import pytest
import torch
from torch import Tensor

from monai_place.mm.ops.plain import check_regions, plainly, widened


@plainly
def product(scale: float, left: Tensor, right: Tensor) -> Tensor:
    return scale * (left @ right)


def test_an_operator_leaves_no_graph_behind() -> None:
    matrix = torch.eye(2, requires_grad=True)
    assert not product(2.0, matrix, matrix).requires_grad
    assert not product(2.0, left=matrix, right=matrix).requires_grad


def test_an_operator_is_not_cast_by_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (torch.eye(2) @ torch.eye(2)).dtype == torch.bfloat16
        assert product(2.0, torch.eye(2), torch.eye(2)).dtype == torch.float32


@pytest.mark.parametrize(
    ("given", "wide"),
    [
        (torch.float16, torch.float32),
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
        (torch.int64, torch.float32),
    ],
)
def test_numbers_are_widened_to_single_at_least(given: torch.dtype, wide: torch.dtype) -> None:
    assert widened(torch.ones(1, dtype=given)).dtype == wide


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        pytest.param([0, 1, 1, float("nan"), 4], r"region 1 is \[0.0, 1.0, 1.0, nan, 4.0\]", id="not a number"),
        pytest.param([0, 0, 0, float("inf"), 4], r"region 1 is \[0.0, 0.0, 0.0, inf, 4.0\]", id="infinite"),
        pytest.param([2, 0, 0, 4, 4], "an image from 0 to 1", id="an image too far"),
        pytest.param([-1, 0, 0, 4, 4], "an image from 0 to 1", id="an image before the first"),
    ],
)
def test_a_region_that_lies_nowhere_is_told(wrong: list[float], told: str) -> None:
    check_regions(torch.tensor([[0.0, -9, -9, 3, 3], [1, 5, 5, 2, 2]]), 2)  # outside, and inside out
    with pytest.raises(ValueError, match=told):
        check_regions(torch.tensor([[0.0, 0, 0, 3, 3], wrong]), 2)
