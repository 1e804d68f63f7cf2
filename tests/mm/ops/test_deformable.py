from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

Draw = Callable[..., Tensor]

# Images, channels in and out, height and width, kernel, then (down, across) stride, padding, dilation; channel groups,
# offset groups.
CASES = {
    "plain": (2, 4, 6, (7, 9), (3, 3), (1, 1), (1, 1), (1, 1), 1, 1),
    "odd": (3, 6, 4, (11, 5), (3, 2), (2, 1), (0, 2), (2, 1), 2, 3),
    "pointwise": (1, 3, 2, (4, 4), (1, 1), (1, 1), (0, 0), (1, 1), 1, 1),
    "one output": (2, 2, 2, (3, 3), (3, 3), (1, 1), (0, 0), (1, 1), 2, 2),
}
# Every setting differs from its default, and few numbers: each is changed on its own in a check of a gradient.
SMALL = (1, 4, 2, (5, 3), (3, 2), (2, 1), (0, 2), (2, 1), 2, 2)
Case = tuple[Any, ...]


def drawn(case: Case, draw: Draw) -> dict[str, Tensor]:
    """Return input, weight, offset (some of it far outside), mask, bias and a gradient of the output."""
    batch, channels, out, size, kernel, stride, padding, dilation, groups, offset_groups = case
    outside = [(size[k] + 2 * padding[k] - dilation[k] * (kernel[k] - 1) - 1) // stride[k] + 1 for k in range(2)]
    positions = offset_groups * kernel[0] * kernel[1]
    return {
        "input": draw(batch, channels, *size),
        "weight": draw(out, channels // groups, *kernel),
        "offset": 3 * draw(batch, 2 * positions, *outside),
        "mask": draw(batch, positions, *outside).sigmoid(),
        "bias": draw(out),
        "grad": draw(batch, out, *outside),
    }


def version_1(ext: ModuleType, case: Case, given: dict[str, Tensor], *, step: int = 1) -> dict[str, Tensor]:
    _, _, _, _, kernel, stride, padding, dilation, groups, offset_groups = case
    setting = {"kH": kernel[0], "kW": kernel[1], "dH": stride[0], "dW": stride[1], "padH": padding[0]}
    setting |= {"padW": padding[1], "dilationH": dilation[0], "dilationW": dilation[1], "group": groups}
    setting |= {"deformable_group": offset_groups, "im2col_step": step}
    image, weight, offset = given["input"], given["weight"], given["offset"]
    columns, ones = image.new_empty(0), image.new_empty(0)
    found = {"output": torch.empty_like(given["grad"])}
    found |= {name: torch.zeros_like(given[name]) for name in ("input", "offset", "weight")}
    ext.deform_conv_forward(image, weight, offset, found["output"], columns, ones, **setting)
    grad = given["grad"].clone()
    ext.deform_conv_backward_input(image, offset, grad, found["input"], found["offset"], weight, columns, **setting)
    ext.deform_conv_backward_parameters(image, offset, grad, found["weight"], columns, ones, scale=1, **setting)
    return found


def version_2(ext: ModuleType, case: Case, given: dict[str, Tensor], *, with_bias: bool = True) -> dict[str, Tensor]:
    _, _, _, _, kernel, stride, padding, dilation, groups, offset_groups = case
    setting = {"kernel_h": kernel[0], "kernel_w": kernel[1], "stride_h": stride[0], "stride_w": stride[1]}
    setting |= {"pad_h": padding[0], "pad_w": padding[1], "dilation_h": dilation[0], "dilation_w": dilation[1]}
    setting |= {"group": groups, "deformable_group": offset_groups, "with_bias": with_bias}
    image, weight, offset, mask = (given[name] for name in ("input", "weight", "offset", "mask"))
    bias = given["bias"] if with_bias else image.new_empty(0)
    ones, columns = image.new_empty(0), image.new_empty(0)
    found = {"output": torch.empty_like(given["grad"]), "bias": torch.zeros_like(bias)}
    found |= {name: torch.zeros_like(given[name]) for name in ("input", "weight", "offset", "mask")}
    ext.modulated_deform_conv_forward(image, weight, bias, ones, offset, mask, found["output"], columns, **setting)
    grads = [found[name] for name in ("input", "weight", "bias", "offset", "mask")]
    ext.modulated_deform_conv_backward(
        image, weight, bias, ones, offset, mask, columns, *grads, given["grad"].clone(), **setting
    )
    return found


def compare(found: dict[str, Tensor], expected: dict[str, Tensor], **tolerance: float) -> None:
    for name, value in expected.items():
        torch.testing.assert_close(found[name].to(value), value, msg=lambda m, n=name: f"{n}: {m}", **tolerance)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_version_1_both_ways_is_the_compiled_one(
    compiled: ModuleType, stand_in: ModuleType, draw: Draw, case: Case
) -> None:
    given = drawn(case, draw)
    for step in {1, case[0]}:
        compare(
            version_1(stand_in, case, given, step=step),
            version_1(compiled, case, given, step=step),
            rtol=1e-4,
            atol=1e-4,
        )


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_version_2_both_ways_is_the_compiled_one(
    compiled: ModuleType, stand_in: ModuleType, draw: Draw, case: Case, with_bias: bool
) -> None:
    given = drawn(case, draw)
    found, expected = (version_2(ext, case, given, with_bias=with_bias) for ext in (stand_in, compiled))
    compare(found, expected, rtol=1e-4, atol=1e-4)


def test_without_offsets_it_is_a_convolution(stand_in: ModuleType, draw: Draw) -> None:
    given = drawn(CASES["odd"], draw)
    given["offset"].zero_()
    expected = torch.conv2d(given["input"], given["weight"], None, (2, 1), (0, 2), (2, 1), 2)
    torch.testing.assert_close(version_1(stand_in, CASES["odd"], given)["output"], expected, rtol=1e-4, atol=1e-5)


def test_no_images_give_no_output_and_no_gradient(stand_in: ModuleType, draw: Draw) -> None:
    case = (0, *CASES["plain"][1:])
    found = version_2(stand_in, case, drawn(case, draw))
    assert found["output"].shape == (0, 6, 7, 9)
    assert not found["weight"].any()


@pytest.mark.parametrize("lost", [float("nan"), float("inf"), -float("inf")])
def test_an_offset_that_is_not_finite_is_far_outside(stand_in: ModuleType, draw: Draw, lost: float) -> None:
    # As a training that has diverged gives them: torchvision's kernel reads memory that is not its own.
    given = drawn(CASES["plain"], draw)
    far = given["offset"] > 2
    there, nowhere = ({**given, "offset": torch.where(far, value, given["offset"])} for value in (1e6, lost))
    for version in (version_1, version_2):
        compare(version(stand_in, CASES["plain"], nowhere), version(stand_in, CASES["plain"], there))


def test_an_offset_that_is_not_a_number_is_read_as_by_the_compiled_one(
    compiled: ModuleType, mmcv_ops: ModuleType, monkeypatch: pytest.MonkeyPatch, draw: Draw
) -> None:
    given = drawn(CASES["plain"], draw)
    offset = given["offset"].masked_fill(given["offset"] > 2, float("nan"))
    found = mmcv_ops.deform_conv2d(given["input"], offset, given["weight"], 1, 1)
    monkeypatch.setattr(mmcv_ops.deform_conv, "ext_module", compiled)
    expected = mmcv_ops.deform_conv2d(given["input"], offset, given["weight"], 1, 1)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("groups", "offset_groups", "told"),
    [(2, 1, "input .* has 4 channels, expected 8: .* groups 2"), (1, 4, "offset .* has 18 channels, expected 72")],
)
def test_groups_that_the_shapes_do_not_have_are_told(
    mmcv_ops: ModuleType, draw: Draw, groups: int, offset_groups: int, told: str
) -> None:
    given = drawn(CASES["plain"], draw)
    image, weight, offset, mask = (given[name] for name in ("input", "weight", "offset", "mask"))
    with pytest.raises(ValueError, match=told):
        mmcv_ops.deform_conv2d(image, offset, weight, 1, 1, 1, groups, offset_groups)
    with pytest.raises(ValueError, match=told):
        mmcv_ops.modulated_deform_conv2d(image, offset, mask, weight, None, 1, 1, 1, groups, offset_groups)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_is_near_single(stand_in: ModuleType, draw: Draw, dtype: torch.dtype) -> None:
    given = {name: value.to(dtype) for name, value in drawn(CASES["plain"], draw).items()}
    single = {name: value.float() for name, value in given.items()}
    for version in (version_1, version_2):
        compare(
            version(stand_in, CASES["plain"], given), version(stand_in, CASES["plain"], single), rtol=2e-2, atol=5e-2
        )


def test_the_weight_s_gradient_belongs_to_the_gradient_that_is_asked(stand_in: ModuleType, draw: Draw) -> None:
    # It is made on the way to the input's and waits: a later call with another gradient must not get it.
    given = drawn(CASES["pointwise"], draw)
    image, offset, weight, grad = (given[name] for name in ("input", "offset", "weight", "grad"))
    settings, columns = (1, 1, 1, 1, 0, 0, 1, 1, 1, 1), image.new_empty(0)
    once, twice = torch.zeros_like(weight), torch.zeros_like(weight)
    for target, asked in ((once, grad), (twice, 2 * grad)):
        stand_in.deform_conv_backward_input(
            image, offset, grad, torch.zeros_like(image), torch.zeros_like(offset), weight, columns, *settings, 1
        )
        stand_in.deform_conv_backward_parameters(image, offset, asked, target, columns, columns, *settings, 1.0, 1)
    assert once.any()
    torch.testing.assert_close(twice, 2 * once)


def test_public_gradient_of_the_weight_alone_is_right(mmcv_ops: ModuleType, draw: Draw) -> None:
    given = drawn(SMALL, draw)
    weight = given["weight"].requires_grad_()
    output = mmcv_ops.deform_conv2d(given["input"], given["offset"], weight, *SMALL[5:])
    (found,) = torch.autograd.grad(output, weight, given["grad"])
    torch.testing.assert_close(found, version_1(mmcv_ops.deform_conv.ext_module, SMALL, given)["weight"])


def test_public_gradient_of_version_1_is_that_of_finite_differences(mmcv_ops: ModuleType, draw: Draw) -> None:
    given = {name: value.double().requires_grad_() for name, value in drawn(SMALL, draw).items()}
    leaves = [given[name] for name in ("input", "offset", "weight")]
    assert torch.autograd.gradcheck(lambda *values: mmcv_ops.deform_conv2d(*values, *SMALL[5:]), leaves)


def test_public_gradient_of_version_2_is_that_of_finite_differences(mmcv_ops: ModuleType, draw: Draw) -> None:
    given = {name: value.double().requires_grad_() for name, value in drawn(SMALL, draw).items()}
    leaves = [given[name] for name in ("input", "offset", "mask", "weight", "bias")]
    assert torch.autograd.gradcheck(lambda *values: mmcv_ops.modulated_deform_conv2d(*values, *SMALL[5:]), leaves)


@pytest.mark.parametrize("name", ["DeformConv2dPack", "ModulatedDeformConv2dPack"])
def test_public_layer_works_under_autocast(mmcv_ops: ModuleType, draw: Draw, name: str) -> None:
    layer = getattr(mmcv_ops, name)(3, 4, 3, padding=1)
    image = draw(2, 3, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = layer(image)
    output.float().square().sum().backward()
    assert output.dtype == torch.bfloat16
    assert all(parameter.grad is not None for parameter in layer.parameters())
    torch.testing.assert_close(output.float(), layer(image), rtol=5e-2, atol=5e-2)
