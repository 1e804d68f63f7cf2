"""The simple feature pyramid: its strides, its errors, and its use before YOLOV3Neck."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from monai_place.mm import PLACEPyramid


@pytest.mark.parametrize(
    ("options", "shapes"),
    [
        pytest.param({}, [(8, 24, 32), (8, 12, 16), (8, 6, 8), (8, 3, 4)], id="strides 4 to 32"),
        pytest.param({"strides": (8, 16, 32, 64)}, [(8, 12, 16), (8, 6, 8), (8, 3, 4), (8, 1, 2)], id="up to 64"),
        pytest.param({"strides": [16]}, [(8, 6, 8)], id="one level"),
        pytest.param({"out_channels": (4, 16), "strides": (8, 32)}, [(4, 12, 16), (16, 3, 4)], id="own widths"),
        pytest.param({"norm_cfg": {"type": "BN"}}, [(8, 24, 32), (8, 12, 16), (8, 6, 8), (8, 3, 4)], id="batch norm"),
        pytest.param({"patch_size": 8, "strides": (4, 8)}, [(8, 12, 16), (8, 6, 8)], id="smaller patches"),
    ],
)
def test_levels_have_their_strides_and_every_parameter_gets_a_gradient(
    options: dict[str, Any], shapes: list[tuple[int, ...]]
) -> None:
    neck = PLACEPyramid(**{"in_channels": 12, "out_channels": 8, **options})
    levels = neck((torch.full((2, 12, 9, 9), torch.nan), torch.randn(2, 12, 6, 8)))  # only the last map is looked at
    assert [tuple(level.shape) for level in levels] == [(2, *shape) for shape in shapes]
    sum(level.square().mean() for level in levels).backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in neck.parameters())


@pytest.mark.parametrize("stride", [12, 0, -4])
def test_stride_that_cannot_be_reached_raises(stride: int) -> None:
    with pytest.raises(ValueError, match=f"strides has {stride}, expected patch_size 16 times or by a power of two"):
        PLACEPyramid(8, strides=(stride,))


def test_widths_and_strides_must_match() -> None:
    with pytest.raises(ValueError, match="out_channels has 2 entries for 3 strides"):
        PLACEPyramid(8, (4, 4), strides=(8, 16, 32))


def test_map_smaller_than_the_largest_stride_is_told() -> None:
    neck = PLACEPyramid(8, 4, strides=(16, 64))
    assert [tuple(level.shape[2:]) for level in neck((torch.zeros(1, 8, 4, 5),))] == [(4, 5), (1, 1)]
    with pytest.raises(ValueError, match="the last map has 3 x 20 patches, and the largest of the strides spans 4"):
        neck((torch.zeros(1, 8, 3, 20),))


def test_pyramid_feeds_the_neck_of_yolov3() -> None:
    necks = pytest.importorskip("mmdet.models.necks")
    neck = torch.nn.Sequential(
        PLACEPyramid(8, (4, 8, 16), strides=(8, 16, 32)), necks.YOLOV3Neck(3, [16, 8, 4], [8, 4, 4])
    )
    shapes = [tuple(level.shape) for level in neck((torch.randn(1, 8, 4, 4),))]
    assert shapes == [(1, 8, 2, 2), (1, 4, 4, 4), (1, 4, 8, 8)]
