from __future__ import annotations

import math
from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from torch import Tensor

Draw = Callable[..., Tensor]

ROIS = torch.tensor(
    [
        [0.0, 0, 0, 5, 3],
        [1, 2.4, 1.3, 11.7, 9.9],
        [0, -7, -2, 3, 30],  # across the border
        [1, 40, 40, 50, 50],  # outside
        [0, 6, 6, 2, 2],  # void
        [0, 3, 3, 3, 3],  # one pixel
    ]
)


def slowly(image: Tensor, rois: Tensor, bins: tuple[int, int], scale: float) -> tuple[Tensor, Tensor]:
    """Pool pixel by pixel, as mmcv's kernel for GPUs does; there is none for the CPU to compare with."""
    height, width = image.shape[2:]
    pooled = image.new_zeros(len(rois), image.shape[1], *bins)
    places = torch.full_like(pooled, -1, dtype=torch.int32)
    for region, (index, x0, y0, x1, y1) in enumerate(rois.tolist()):
        left, top, right, bottom = x0 * scale, y0 * scale, (x1 + 1) * scale, (y1 + 1) * scale
        if right <= left or bottom <= top:
            continue
        tall, wide = (bottom - top) / bins[0], (right - left) / bins[1]
        for row in range(bins[0]):
            for column in range(bins[1]):
                ys = range(max(0, math.floor(row * tall + top)), min(height, math.ceil((row + 1) * tall + top)))
                xs = range(max(0, math.floor(column * wide + left)), min(width, math.ceil((column + 1) * wide + left)))
                for channel in range(image.shape[1]):
                    inside = [(-image[int(index), channel, y, x].item(), y * width + x) for y in ys for x in xs]
                    if inside:
                        value, place = min(inside)
                        pooled[region, channel, row, column] = -value
                        places[region, channel, row, column] = place
    return pooled, places


def pool(ext: ModuleType, image: Tensor, rois: Tensor, bins: tuple[int, int], scale: float) -> tuple[Tensor, Tensor]:
    output = image.new_full((len(rois), image.shape[1], *bins), 7)
    places = torch.zeros_like(output, dtype=torch.int32)
    ext.roi_pool_forward(image, rois, output, places, pooled_height=bins[0], pooled_width=bins[1], spatial_scale=scale)
    return output, places


@pytest.mark.parametrize(("bins", "scale"), [((1, 1), 1.0), ((3, 2), 0.5), ((7, 7), 0.37)])
def test_the_largest_value_of_each_bin_is_found_and_its_place(
    stand_in: ModuleType, draw: Draw, bins: tuple[int, int], scale: float
) -> None:
    image = draw(2, 3, 13, 9)
    found, places = pool(stand_in, image, ROIS, bins, scale)
    expected, expected_places = slowly(image, ROIS, bins, scale)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
    assert torch.equal(places, expected_places)


def test_of_equal_values_the_first_is_taken(stand_in: ModuleType) -> None:
    _, places = pool(stand_in, torch.ones(2, 3, 13, 9), ROIS, (3, 2), 0.5)
    assert torch.equal(places, slowly(torch.ones(2, 3, 13, 9), ROIS, (3, 2), 0.5)[1])


def test_nothing_gives_nothing(stand_in: ModuleType, draw: Draw) -> None:
    output, _ = pool(stand_in, draw(1, 3, 5, 5), torch.zeros(0, 5), (2, 2), 1.0)
    assert output.shape == (0, 3, 2, 2)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_finds_the_same_values(stand_in: ModuleType, draw: Draw, dtype: torch.dtype) -> None:
    image = draw(2, 3, 13, 9).to(dtype)
    rois = ROIS.round()
    half, places = pool(stand_in, image, rois.to(dtype), (3, 2), 0.5)
    single, expected = pool(stand_in, image.float(), rois, (3, 2), 0.5)
    assert torch.equal(half.float(), single)
    assert torch.equal(places, expected)


def test_public_gradient_is_that_of_finite_differences(mmcv_ops: ModuleType, draw: Draw) -> None:
    layer = mmcv_ops.RoIPool((3, 2), spatial_scale=0.5)
    image = draw(2, 2, 7, 6, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda value: layer(value, ROIS.double()), (image,))


def test_public_layer_works_under_autocast(mmcv_ops: ModuleType, draw: Draw) -> None:
    convolution = torch.nn.Conv2d(1, 2, 3, padding=1)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = convolution(draw(2, 1, 8, 8))
        pooled = mmcv_ops.RoIPool(2)(features, ROIS.to(features.dtype))
    pooled.float().square().sum().backward()
    assert pooled.dtype == torch.bfloat16
    assert convolution.weight.grad is not None
    assert convolution.weight.grad.abs().sum() > 0
