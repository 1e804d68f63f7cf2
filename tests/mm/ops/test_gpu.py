"""On a GPU every served operator gives what it gives on the CPU, in single and in half."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
import torch
from torch import Tensor

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

Draw = Callable[..., Tensor]
ROIS = torch.tensor([[0.0, 1, 1, 12, 9], [1, -3, 2, 6, 30], [1, 5, 5, 6, 7]])


def layers(ops: ModuleType, draw: Draw) -> dict[str, tuple[Callable[..., Tensor], list[Tensor]]]:
    """Return, by name, what to call, and its inputs, of which the floating ones want a gradient."""
    image, weight = draw(2, 4, 11, 13), draw(6, 2, 3, 3)
    offset, mask = draw(2, 18, 11, 13), draw(2, 9, 11, 13).sigmoid()
    classes = torch.arange(8) % 4
    attention = ops.multi_scale_deform_attn.MultiScaleDeformableAttnFunction
    shapes, starts = torch.tensor([[4, 5], [2, 3]]), torch.tensor([0, 20])
    return {
        "roi_align avg": (lambda x, r: ops.roi_align(x, r.to(x), (3, 2), 0.5, 0, "avg", True), [image, ROIS]),
        "roi_align max": (lambda x, r: ops.roi_align(x, r.to(x), (3, 2), 0.5, 2, "max", True), [image, ROIS]),
        "roi_pool": (lambda x, r: ops.roi_pool(x, r.to(x), (3, 2), 0.5), [image, ROIS]),
        "deform_conv": (lambda x, o, w: ops.deform_conv2d(x, o, w, 1, 1, 1, 2), [image, offset, weight]),
        "modulated": (
            lambda x, o, m, w: ops.modulated_deform_conv2d(x, o, m, w, None, 1, 1, 1, 2),
            [image, offset, mask, weight],
        ),
        "sigmoid focal": (lambda x, t: ops.sigmoid_focal_loss(x, t, 2.0, 0.25, None, "sum"), [draw(8, 3), classes]),
        "softmax focal": (lambda x, t: ops.softmax_focal_loss(x, t, 2.0, 0.25, None, "sum"), [draw(8, 4), classes]),
        "attention": (
            lambda v, s, i, p, w: attention.apply(v, s, i, p, w, 64),
            [draw(2, 26, 2, 4), shapes, starts, draw(2, 5, 2, 2, 3, 2).sigmoid(), draw(2, 5, 2, 2, 3)],
        ),
    }


def both_ways(call: Callable[..., Tensor], inputs: list[Tensor], device: str, dtype: torch.dtype) -> list[Tensor]:
    given = [value.detach().to(device, dtype if value.is_floating_point() else None, copy=True) for value in inputs]
    for value in given:
        value.requires_grad_(value.is_floating_point())
    found = call(*given)
    found.float().square().sum().backward()
    return [found, *[value.grad for value in given if value.grad is not None]]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_every_layer_gives_what_it_gives_on_the_cpu(mmcv_ops: ModuleType, draw: Draw, dtype: torch.dtype) -> None:
    limit = 1e-4 if dtype == torch.float32 else 5e-2  # of the largest number
    for name, (call, inputs) in layers(mmcv_ops, draw).items():
        rounded = [value.to(dtype).float() if value.is_floating_point() else value for value in inputs]
        found, expected = both_ways(call, rounded, "cuda", dtype), both_ways(call, rounded, "cpu", torch.float32)
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.dtype == dtype
            assert (ours.float().cpu() - theirs).abs().max() <= limit * theirs.abs().max().clamp(min=1), name


def test_suppression_keeps_the_same_boxes(mmcv_ops: ModuleType, draw: Draw) -> None:
    corner = draw(300, 2).abs() * 20
    boxes, scores = torch.cat([corner, corner + draw(300, 2).abs() * 20], dim=1), draw(300).sigmoid()
    for function in (mmcv_ops.nms, mmcv_ops.soft_nms):
        dets, kept = function(boxes.cuda(), scores.cuda(), 0.5)
        expected, expected_kept = function(boxes, scores, 0.5)
        assert kept.tolist() == expected_kept.tolist()
        torch.testing.assert_close(dets.cpu(), expected)


def test_average_align_goes_back_the_same_way_twice_where_determinism_is_asked_for(
    mmcv_ops: ModuleType, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    image, rois = draw(2, 8, 40, 40), ROIS.repeat(50, 1)
    call = layers(mmcv_ops, draw)["roi_align avg"][0]
    expected = both_ways(call, [image, rois], "cpu", torch.float32)[1]
    torch.use_deterministic_algorithms(True)
    try:
        first, second = (both_ways(call, [image, rois], "cuda", torch.float32)[1] for _ in range(2))
    finally:
        torch.use_deterministic_algorithms(False)
    assert torch.equal(first, second)
    torch.testing.assert_close(first.cpu(), expected, rtol=1e-3, atol=1e-3)
