"""Deformable convolution, version 1 and 2 (modulated), by torchvision's kernels.

Letters: B images, C input and D output channels, H W pixels, h w pixels of the output, G groups of offsets, K kernel
positions (an offset is y, x of position 0, y, x of position 1, ...).
"""

from __future__ import annotations

import weakref
from typing import Any, NamedTuple

import torch
import torchvision.ops
from torch import Tensor

from monai_place.mm.ops.plain import plainly, widened

__all__ = [
    "deform_conv_backward_input",
    "deform_conv_backward_parameters",
    "deform_conv_forward",
    "modulated_deform_conv_backward",
    "modulated_deform_conv_forward",
]

FAR = 1e8  # pixels


@plainly
def deform_conv_forward(
    input: Tensor,  # noqa: A002  (the compiled operator's names)
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,  # noqa: N803
    kH: int,  # noqa: N803
    dW: int,  # noqa: N803
    dH: int,  # noqa: N803
    padW: int,  # noqa: N803
    padH: int,  # noqa: N803
    dilationW: int,  # noqa: N803
    dilationH: int,  # noqa: N803
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Fill `output` (B, D, h, w).

    Args:
        input: (B, C, H, W).
        weight: (D, C / group, kH, kW).
        offset: (B, 2 * G * K, h, w).
        output: filled.
        columns: a buffer of the compiled operator, not used.
        ones: a buffer of the compiled operator, not used.
        kW: width of the kernel; the shape of `weight` has it.
        kH: height of the kernel.
        dW: stride across.
        dH: stride down.
        padW: padding across.
        padH: padding down.
        dilationW: dilation across.
        dilationH: dilation down.
        group: groups of channels, as the shape of `weight` has them.
        deformable_group: G, as the shape of `offset` has it.
        im2col_step: images at a time; torchvision chooses its own.

    Raises:
        ValueError: `weight` or `offset` has other groups than are said.
    """
    setting = _Setting(dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    _forward(input, weight, offset, None, None, output, setting)


@plainly
def deform_conv_backward_input(
    input: Tensor,  # noqa: A002
    offset: Tensor,
    gradOutput: Tensor,  # noqa: N803
    gradInput: Tensor,  # noqa: N803
    gradOffset: Tensor,  # noqa: N803
    weight: Tensor,
    columns: Tensor,
    kW: int,  # noqa: N803
    kH: int,  # noqa: N803
    dW: int,  # noqa: N803
    dH: int,  # noqa: N803
    padW: int,  # noqa: N803
    padH: int,  # noqa: N803
    dilationW: int,  # noqa: N803
    dilationH: int,  # noqa: N803
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Fill `gradInput` and `gradOffset`; the other arguments are those of `deform_conv_forward`."""
    setting = _Setting(dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    grads = _backward(input, weight, offset, None, gradOutput, setting)
    gradInput.copy_(grads.input)
    gradOffset.copy_(grads.offset)
    # The same kernels have made the weight's gradient: it waits for the call that asks for it next, on the way back of
    # the same output's gradient.
    columns._place_waiting = (weakref.ref(gradOutput), grads.weight)  # type: ignore[attr-defined]


@plainly
def deform_conv_backward_parameters(
    input: Tensor,  # noqa: A002
    offset: Tensor,
    gradOutput: Tensor,  # noqa: N803
    gradWeight: Tensor,  # noqa: N803
    columns: Tensor,
    ones: Tensor,
    kW: int,  # noqa: N803
    kH: int,  # noqa: N803
    dW: int,  # noqa: N803
    dH: int,  # noqa: N803
    padW: int,  # noqa: N803
    padH: int,  # noqa: N803
    dilationW: int,  # noqa: N803
    dilationH: int,  # noqa: N803
    group: int,
    deformable_group: int,
    scale: float,
    im2col_step: int,
) -> None:
    """Add `scale` times the weight's gradient to `gradWeight`; the others are those of `deform_conv_forward`."""
    waiting: Any = getattr(columns, "_place_waiting", None)
    columns._place_waiting = None  # type: ignore[attr-defined]
    if waiting is not None and waiting[0]() is gradOutput:
        grad = waiting[1]
    else:
        setting = _Setting(dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
        grad = _backward(input, gradWeight, offset, None, gradOutput, setting).weight
    gradWeight.add_(grad, alpha=scale)


@plainly
def modulated_deform_conv_forward(
    input: Tensor,  # noqa: A002
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,  # noqa: FBT001
) -> None:
    """Fill `output` (B, D, h, w).

    Args:
        input: (B, C, H, W).
        weight: (D, C / group, kernel_h, kernel_w).
        bias: (D,), or empty.
        ones: a buffer of the compiled operator, not used.
        offset: (B, 2 * G * K, h, w).
        mask: (B, G * K, h, w), how much each sample counts.
        output: filled.
        columns: a buffer of the compiled operator, not used.
        kernel_h: height of the kernel; the shape of `weight` has it.
        kernel_w: width of the kernel.
        stride_h: stride down.
        stride_w: stride across.
        pad_h: padding down.
        pad_w: padding across.
        dilation_h: dilation down.
        dilation_w: dilation across.
        group: groups of channels, as the shape of `weight` has them.
        deformable_group: G, as the shape of `offset` has it.
        with_bias: add `bias`.

    Raises:
        ValueError: `weight`, `offset` or `mask` has other groups than are said.
    """
    setting = _Setting(stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group)
    _forward(input, weight, offset, mask, bias if with_bias else None, output, setting)


@plainly
def modulated_deform_conv_backward(
    input: Tensor,  # noqa: A002
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,  # noqa: FBT001
) -> None:
    """Fill the five gradients; the other arguments are those of `modulated_deform_conv_forward`."""
    setting = _Setting(stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group)
    grads = _backward(input, weight, offset, mask, grad_output, setting)
    grad_input.copy_(grads.input)
    grad_weight.copy_(grads.weight)
    grad_offset.copy_(grads.offset)
    grad_mask.copy_(grads.mask)
    if with_bias:
        grad_bias.copy_(grads.bias)


class _Setting(NamedTuple):
    """How the kernel moves, in the order of torchvision's operator."""

    stride_h: int
    stride_w: int
    pad_h: int
    pad_w: int
    dilation_h: int
    dilation_w: int
    groups: int
    offset_groups: int


class _Grads(NamedTuple):
    """What torchvision's backward operator returns, in its order."""

    input: Tensor
    weight: Tensor
    offset: Tensor
    mask: Tensor
    bias: Tensor


def _forward(
    image: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    output: Tensor,
    setting: _Setting,
) -> None:
    _check(image, weight, offset, mask, setting)
    found = torchvision.ops.deform_conv2d(
        widened(image),
        _somewhere(offset),
        widened(weight),
        None if bias is None else widened(bias),
        stride=setting[:2],
        padding=setting[2:4],
        dilation=setting[4:6],
        mask=None if mask is None else widened(mask),
    )
    output.copy_(found)


def _check(image: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, setting: _Setting) -> None:
    """Raise where the shapes say another number of groups than is given: torchvision believes the shapes."""
    positions = setting.offset_groups * weight.shape[2] * weight.shape[3]
    wanted = [("input", image, weight.shape[1] * setting.groups), ("offset", offset, 2 * positions)]
    wanted += [] if mask is None else [("mask", mask, positions)]
    for name, value, channels in wanted:
        if value.shape[1] != channels:
            raise ValueError(
                f"{name} of a deformable convolution has {value.shape[1]} channels, expected {channels}: weight is "
                f"{tuple(weight.shape)}, groups {setting.groups}, deform_groups {setting.offset_groups}"
            )


def _somewhere(offset: Tensor) -> Tensor:
    """Return the offsets, widened, and NaN as far outside, where the compiled operator's forward reads it as well.

    torchvision's CPU kernels read memory that is not theirs at a place that is not a number.
    """
    return widened(offset).nan_to_num(nan=FAR, posinf=FAR, neginf=-FAR)


def _backward(
    image: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, grad: Tensor, setting: _Setting
) -> _Grads:
    image, grad = widened(image), widened(grad)
    # The gradient of a bias is a sum over the output's: its value is not asked for.
    given = image.new_zeros((len(image), 1)) if mask is None else widened(mask)
    bias = image.new_zeros(len(weight))
    return _Grads(
        *torch.ops.torchvision._deform_conv2d_backward(
            grad, image, widened(weight), _somewhere(offset), given, bias, *setting, mask is not None
        )
    )
