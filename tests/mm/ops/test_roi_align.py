from __future__ import annotations

from collections.abc import Callable
from itertools import product
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from monai_place.mm.ops.roi_align import AT_ONCE, _average_backward, _frame

Draw = Callable[..., Tensor]

SHAPES = [(1, 1, 1, 1), (2, 3, 13, 9), (1, 5, 7, 31)]
MODES = {"max": 0, "avg": 1}


def regions(shape: tuple[int, ...], scale: float, count: int = 9) -> Tensor:
    """Draw regions inside, across the border and outside, small and large, and one without area."""
    draw = torch.Generator().manual_seed(sum(shape))
    size = torch.tensor([shape[3], shape[2]]) / scale
    corner = (torch.rand(count, 2, generator=draw) * 1.4 - 0.3) * size
    extent = torch.rand(count, 2, generator=draw) ** 2 * 1.5 * size
    extent[3:4] = 0
    image = torch.randint(shape[0], (count, 1), generator=draw)
    return torch.cat([image, corner, corner + extent], dim=1)


def pool(
    ext: ModuleType, image: Tensor, rois: Tensor, bins: tuple[int, int], mode: str, **given: Any
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the features, both places of the maxima, and the gradient of a fixed weighting of the features."""
    output = image.new_zeros(len(rois), image.shape[1], *bins)
    y, x = (torch.zeros_like(output) if mode == "max" else image.new_zeros(0) for _ in range(2))
    settings = {"spatial_scale": 1.0, "sampling_ratio": 0, "aligned": True, "pool_mode": MODES[mode], **given}
    settings |= {"aligned_height": bins[0], "aligned_width": bins[1]}
    ext.roi_align_forward(image, rois, output, y, x, **settings)
    grad = torch.linspace(-1, 1, max(1, output.numel()))[: output.numel()].view_as(output).to(image.dtype)
    grad_input = torch.zeros_like(image)
    if output.numel():
        ext.roi_align_backward(grad, rois, y, x, grad_input, **settings)
    return output, y, x, grad_input


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("ratio", [0, 1, 3])
@pytest.mark.parametrize("mode", MODES)
def test_both_ways_are_those_of_the_compiled_one(
    compiled: ModuleType, stand_in: ModuleType, draw: Draw, mode: str, ratio: int, aligned: bool
) -> None:
    for shape, (scale, bins) in product(SHAPES, ((1.0, (2, 2)), (0.25, (3, 5)), (0.5, (7, 7)))):
        image, rois = draw(*shape), regions(shape, scale)
        if mode == "max" and ratio == 0 and aligned:
            rois = rois[rois[:, 3] > rois[:, 1]]  # without a sample, the compiled one has -10000, which means nothing
        settings = {"spatial_scale": scale, "sampling_ratio": ratio, "aligned": aligned}
        found, expected = (pool(ext, image, rois, bins, mode, **settings) for ext in (stand_in, compiled))
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", MODES)
def test_nothing_gives_nothing(stand_in: ModuleType, draw: Draw, mode: str) -> None:
    for image, rois in ((draw(1, 3, 5, 5), torch.zeros(0, 5)), (draw(1, 0, 5, 5), torch.zeros(2, 5))):
        output, *_, grad = pool(stand_in, image, rois, (2, 2), mode)
        assert output.shape == (len(rois), image.shape[1], 2, 2)
        assert not grad.any()


@pytest.mark.parametrize("mode", MODES)
def test_a_region_without_area_gives_zero(stand_in: ModuleType, draw: Draw, mode: str) -> None:
    output, *_, grad = pool(stand_in, draw(1, 2, 5, 5), torch.tensor([[0.0, 2, 2, 2, 2]]), (2, 2), mode)
    assert not output.any()
    assert not grad.any()


@pytest.mark.parametrize("name", ["RoIAlign", "RoIPool"])
def test_a_region_that_is_not_a_number_is_an_error_and_no_crash(mmcv_ops: ModuleType, draw: Draw, name: str) -> None:
    # As the boxes of a training that has diverged are: torchvision's kernel reads memory that is not its own.
    with pytest.raises(ValueError, match=r"region 0 is \[0.0, 1.0, 1.0, nan, 4.0\], expected finite numbers"):
        getattr(mmcv_ops, name)(3, 0.5)(draw(2, 4, 9, 9), torch.tensor([[0, 1, 1, float("nan"), 4]]))


def test_large_regions_are_worked_off_in_parts(
    stand_in: ModuleType, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    image, rois = draw(2, 3, 13, 9), regions((2, 3, 13, 9), 1.0)
    whole = pool(stand_in, image, rois, (2, 2), "max")
    monkeypatch.setitem(AT_ONCE, "cpu", 1)
    for ours, theirs in zip(pool(stand_in, image, rois, (2, 2), "max"), whole, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize("aligned", [True, False])
def test_the_deterministic_way_back_gives_the_same_gradient(
    stand_in: ModuleType, draw: Draw, ratio: int, aligned: bool
) -> None:
    # Of a GPU that is asked for determinism; it is plain torch, so that it can be held to the kernel here.
    image, rois = draw(2, 3, 13, 9), regions((2, 3, 13, 9), 0.5, count=30)
    settings = {"spatial_scale": 0.5, "sampling_ratio": ratio, "aligned": aligned}
    *_, expected = pool(stand_in, image, rois, (3, 5), "avg", **settings)
    grad = torch.linspace(-1, 1, 30 * 3 * 15).view(30, 3, 3, 5)
    found = _average_backward(grad, rois[:, 0].long(), _frame(rois, (3, 5), 0.5, ratio, aligned=aligned), image.shape)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("mode", MODES)
def test_half_is_near_single(stand_in: ModuleType, draw: Draw, mode: str, dtype: torch.dtype) -> None:
    # Wide, so that the place of a maximum could not be kept in half.
    image = draw(1, 2, 6, 300).to(dtype)
    rois = torch.tensor([[0.0, 256, 0, 292, 6], [0, 130, 1, 180, 5]])
    half = pool(stand_in, image, rois.to(dtype), (2, 2), mode, sampling_ratio=2)
    single = pool(stand_in, image.float(), rois, (2, 2), mode, sampling_ratio=2)
    assert half[0].dtype == half[3].dtype == dtype
    for ours, theirs in ((half[0], single[0]), (half[3], single[3])):
        torch.testing.assert_close(ours.float(), theirs, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("mode", MODES)
def test_public_gradient_is_that_of_finite_differences(mmcv_ops: ModuleType, draw: Draw, mode: str) -> None:
    layer = mmcv_ops.RoIAlign((2, 3), spatial_scale=0.5, sampling_ratio=2, pool_mode=mode)
    image = draw(2, 2, 6, 5, dtype=torch.float64).requires_grad_()
    rois = regions((2, 2, 6, 5), 0.5).double()
    assert torch.autograd.gradcheck(lambda value: layer(value, rois), (image,))


@pytest.mark.parametrize("mode", MODES)
def test_public_layer_works_under_autocast(mmcv_ops: ModuleType, draw: Draw, mode: str) -> None:
    convolution = torch.nn.Conv2d(1, 2, 3, padding=1)
    layer = mmcv_ops.RoIAlign(2, sampling_ratio=0, pool_mode=mode)
    rois = torch.tensor([[0.0, 0, 0, 6, 6], [0, 2, 1, 5, 5]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        features = convolution(draw(1, 1, 8, 8))
        pooled = layer(features, rois.to(features.dtype))
    assert pooled.dtype == torch.bfloat16
    pooled.float().square().sum().backward()
    assert convolution.weight.grad is not None
    assert convolution.weight.grad.abs().sum() > 0
