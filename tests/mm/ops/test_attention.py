"""mmcv compiles this attention for GPUs only: the oracle is mmcv's own function in plain torch."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from torch import Tensor

Draw = Callable[..., Tensor]

# Images, heads, features of a head, queries, points; levels' sizes.
CASES = {
    "pyramid": (2, 4, 8, 11, 3, [(8, 6), (4, 3), (1, 2)]),
    "one of each": (1, 1, 1, 1, 1, [(1, 1)]),
    "odd": (3, 2, 5, 7, 4, [(3, 9)]),
}


def drawn(case: tuple[int, int, int, int, int, list[tuple[int, int]]], draw: Draw) -> dict[str, Tensor]:
    batch, heads, features, queries, points, sizes = case
    shapes = torch.tensor(sizes).view(-1, 2)
    areas = shapes.prod(1)
    return {
        "value": draw(batch, int(areas.sum()), heads, features),
        "shapes": shapes,
        "starts": torch.cat([areas.new_zeros(1), areas.cumsum(0)[:-1]]),
        "locations": 0.5 + 0.5 * draw(batch, queries, heads, len(sizes), points, 2),  # some outside
        "weights": draw(batch, queries, heads, len(sizes), points),
        "grad": draw(batch, queries, heads * features),
    }


def attend(ext: ModuleType, given: dict[str, Tensor]) -> list[Tensor]:
    inputs = [given[name] for name in ("value", "shapes", "starts", "locations", "weights")]
    grads = [torch.zeros_like(given[name]) for name in ("value", "locations", "weights")]
    output = ext.ms_deform_attn_forward(*inputs, im2col_step=64)
    ext.ms_deform_attn_backward(*inputs, given["grad"], *grads, im2col_step=64)
    return [output, *grads]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_both_ways_are_those_of_plain_torch(
    mmcv_ops: ModuleType, stand_in: ModuleType, draw: Draw, case: tuple[int, int, int, int, int, list[tuple[int, int]]]
) -> None:
    oracle = importlib.import_module("mmcv.ops.multi_scale_deform_attn").multi_scale_deformable_attn_pytorch
    given = drawn(case, draw)
    leaves = [given[name].clone().requires_grad_() for name in ("value", "locations", "weights")]
    expected = oracle(leaves[0], given["shapes"], leaves[1], leaves[2])
    expected = [expected, *torch.autograd.grad(expected, leaves, given["grad"])]
    for ours, theirs in zip(attend(stand_in, given), expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", [(0, 2, 4, 3, 2, [(2, 2)]), (1, 2, 4, 0, 2, [(2, 2)]), (1, 2, 4, 3, 0, [(2, 2)])])
def test_nothing_to_attend_gives_zeros(
    stand_in: ModuleType, draw: Draw, case: tuple[int, int, int, int, int, list[tuple[int, int]]]
) -> None:
    given = drawn(case, draw)
    output, *grads = attend(stand_in, given)
    assert output.shape == given["grad"].shape
    assert not any(value.any() for value in (output, *grads))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_is_near_single(stand_in: ModuleType, draw: Draw, dtype: torch.dtype) -> None:
    given = drawn(CASES["pyramid"], draw)
    half = {name: value.to(dtype) if value.is_floating_point() else value for name, value in given.items()}
    single = {name: value.float() if value.is_floating_point() else value for name, value in half.items()}
    for ours, theirs in zip(attend(stand_in, half), attend(stand_in, single), strict=True):
        assert ours.dtype == dtype
        torch.testing.assert_close(ours.float(), theirs, rtol=2e-2, atol=2e-2)


def test_public_gradient_is_that_of_finite_differences(mmcv_ops: ModuleType, draw: Draw) -> None:
    function = importlib.import_module("mmcv.ops.multi_scale_deform_attn").MultiScaleDeformableAttnFunction
    given = drawn(CASES["odd"], draw)
    leaves = [given[name].double().requires_grad_() for name in ("value", "locations", "weights")]
    assert torch.autograd.gradcheck(
        lambda value, locations, weights: function.apply(
            value, given["shapes"], given["starts"], locations, weights, 64
        ),
        leaves,
    )


def test_public_layer_works_under_autocast(mmcv_ops: ModuleType, draw: Draw) -> None:
    layer = mmcv_ops.MultiScaleDeformableAttention(
        embed_dims=16, num_heads=4, num_levels=1, num_points=2, batch_first=True
    )
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = layer(
            draw(2, 5, 16),
            value=draw(2, 12, 16),
            reference_points=torch.rand(2, 5, 1, 2),
            spatial_shapes=torch.tensor([[3, 4]]),
            level_start_index=torch.tensor([0]),
        )
    output.float().square().sum().backward()
    assert all(parameter.grad is not None for parameter in layer.parameters())
