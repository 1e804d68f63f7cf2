"""The precision of losses: half is raised to single, single and double stay."""

from __future__ import annotations

import pytest
import torch

from monai_place.losses.precision import at_least_float32


@pytest.mark.parametrize(
    ("given", "computed"),
    [
        pytest.param(torch.float16, torch.float32, id="float16"),
        pytest.param(torch.bfloat16, torch.float32, id="bfloat16"),
        pytest.param(torch.float32, torch.float32, id="float32"),
        pytest.param(torch.float64, torch.float64, id="float64"),
    ],
)
def test_precision_is_raised_but_never_lowered(given: torch.dtype, computed: torch.dtype) -> None:
    assert at_least_float32(torch.zeros(2, dtype=given)).dtype == computed


def test_gradient_comes_back_in_the_precision_of_the_input() -> None:
    tensor = torch.ones(2, dtype=torch.bfloat16, requires_grad=True)
    at_least_float32(tensor).sum().backward()
    assert tensor.grad is not None
    assert tensor.grad.dtype == torch.bfloat16
