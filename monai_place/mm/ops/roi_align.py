"""RoI align, average and maximum. Letters: B images, C channels, H W pixels, R regions, P Q bins down and across."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
import torchvision.ops  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor

from monai_place.mm.ops.plain import check_regions, plainly, widened

__all__ = ["roi_align_backward", "roi_align_forward"]

MAXIMUM = 0  # of pool_mode; 1 is the average
# Elements that one step works on: what a GPU has room for, and what a CPU's cache holds.
AT_ONCE = {"cuda": 2**26, "cpu": 2**18}


@plainly
def roi_align_forward(
    input: Tensor,  # noqa: A002  (the compiled operator's names)
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,  # noqa: FBT001
) -> None:
    """Fill `output` (R, C, P, Q) with the features under each region.

    A region without a sample gives 0; the compiled operator's maximum gives its most negative number there.

    Args:
        input: (B, C, H, W).
        rois: (R, 5) image, x0, y0, x1, y1.
        output: (R, C, P, Q), filled.
        argmax_y: (R, C, P, Q), filled with where the maximum lies; not used for the average.
        argmax_x: as `argmax_y`.
        aligned_height: P.
        aligned_width: Q.
        spatial_scale: pixels of `input` per unit of `rois`.
        sampling_ratio: samples of a bin along each side; 0 takes as many as the bin has pixels.
        pool_mode: 0 maximum, 1 average.
        aligned: shift by half a pixel.

    Raises:
        ValueError: on a CPU, a region is not finite, or of an image that there is not.
    """
    if output.numel() == 0:
        return
    features = widened(input)
    rois = rois.to(features.dtype)
    check_regions(rois, len(features))
    if pool_mode != MAXIMUM:
        output.copy_(
            torch.ops.torchvision.roi_align(
                features, rois, spatial_scale, aligned_height, aligned_width, sampling_ratio, aligned
            )
        )
        return
    frame = _frame(rois, (aligned_height, aligned_width), spatial_scale, sampling_ratio, aligned=aligned)
    value, y, x = (features.new_zeros(output.shape), *(features.new_full(output.shape, -1) for _ in range(2)))
    for (down, across), part in _parts(frame, output.shape):
        # One sample in the middle of each of (P * down, Q * across) bins is a sample of (P, Q) bins.
        fine = torch.ops.torchvision.roi_align(
            features, rois[part], spatial_scale, aligned_height * down, aligned_width * across, 1, aligned
        )
        value[part], place = F.max_pool2d(fine, (down, across), return_indices=True)
        of_part = _Frame(*(each[part, None, None, None] for each in frame))
        row, column = place.div(fine.shape[3], rounding_mode="floor"), place % fine.shape[3]
        y[part] = of_part.top + (row + 0.5) * (of_part.bin_height / down)
        x[part] = of_part.left + (column + 0.5) * (of_part.bin_width / across)
    output.copy_(value)
    _keep(argmax_y, y)
    _keep(argmax_x, x)


@plainly
def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,  # noqa: FBT001
) -> None:
    """Fill `grad_input` (B, C, H, W); the other arguments are those of `roi_align_forward`."""
    if grad_output.numel() == 0:
        return
    grad = widened(grad_output)
    rois = rois.to(grad.dtype)
    bins = (aligned_height, aligned_width)
    if pool_mode == MAXIMUM:
        y, x = _kept(argmax_y, grad), _kept(argmax_x, grad)
        grad_input.copy_(_spread(grad, rois[:, 0].long(), y, x, grad_input.shape))
    elif grad.is_cuda and torch.are_deterministic_algorithms_enabled():  # torchvision's kernel would refuse
        frame = _frame(rois, bins, spatial_scale, sampling_ratio, aligned=aligned)
        grad_input.copy_(_average_backward(grad, rois[:, 0].long(), frame, grad_input.shape))
    else:
        grad_input.copy_(
            torch.ops.torchvision._roi_align_backward(
                grad, rois, spatial_scale, *bins, *grad_input.shape, sampling_ratio, aligned
            )
        )


class _Frame(NamedTuple):
    """Where the samples of each region lie, in pixels of the features; each (R,)."""

    top: Tensor
    left: Tensor
    bin_height: Tensor
    bin_width: Tensor
    down: Tensor
    """Samples of a bin from top to bottom."""
    across: Tensor


def _frame(rois: Tensor, bins: tuple[int, int], scale: float, sampling_ratio: int, *, aligned: bool) -> _Frame:
    left, top, right, bottom = (rois[:, 1:] * scale - (0.5 if aligned else 0.0)).unbind(1)
    height, width = bottom - top, right - left
    if not aligned:
        height, width = height.clamp(min=1), width.clamp(min=1)
    height, width = height / bins[0], width / bins[1]
    if sampling_ratio > 0:
        return _Frame(top, left, height, width, *(torch.full_like(top, sampling_ratio).long() for _ in range(2)))
    return _Frame(top, left, height, width, height.ceil().long(), width.ceil().long())


def _parts(frame: _Frame, shape: torch.Size) -> list[tuple[tuple[int, int], Tensor]]:
    """Return ((samples down, across), indices of regions that have so many), none of them too large at once."""
    grids = torch.stack([frame.down, frame.across], dim=1)
    distinct, member = grids.unique(dim=0, return_inverse=True)
    parts = []
    for index, (down, across) in enumerate(distinct.tolist()):
        if down < 1 or across < 1:
            continue
        most = _regions_at_once(grids, shape[1:].numel() * down * across)
        parts += [((down, across), part) for part in torch.nonzero(member == index)[:, 0].split(most)]
    return parts


def _regions_at_once(like: Tensor, elements: int) -> int:
    return max(1, AT_ONCE.get(like.device.type, AT_ONCE["cpu"]) // elements)


def _spread(grad: Tensor, image: Tensor, y: Tensor, x: Tensor, shape: torch.Size) -> Tensor:
    """Return (B, C, H, W): each gradient (R, C, P, Q) shared out to the four pixels around its (y, x)."""
    _, channels, height, width = shape
    plane = image[:, None] * channels + torch.arange(channels, device=grad.device)  # (R, C)
    first = plane[:, :, None, None] * (height * width)
    spread = grad.new_zeros(shape.numel())
    most = _regions_at_once(grad, grad[0].numel())
    for part in zip(*(each.split(most) for each in (grad, first, y, x)), strict=True):
        _spread_part(spread, *part, height=height, width=width)
    return spread.view(shape)


def _spread_part(spread: Tensor, grad: Tensor, first: Tensor, y: Tensor, x: Tensor, *, height: int, width: int) -> None:
    # -1 exactly says that there was no sample at all.
    grad = grad * ((y > -1) & (y <= height) & (x >= -1) & (x <= width))
    y, x = y.clamp(0, height - 1), x.clamp(0, width - 1)
    # The last row is reached as the one below the last but one, so that the one below is always there.
    top, left = y.floor().clamp_(max=max(0, height - 2)), x.floor().clamp_(max=max(0, width - 2))
    place = (first + (top * width + left).long()).flatten()
    below = grad * (y - top)
    for row, row_grad in ((0, grad - below), (width if height > 1 else 0, below)):
        right = row_grad * (x - left)
        for column, part in ((0, row_grad - right), (1 if width > 1 else 0, right)):
            spread[row + column :].scatter_add_(0, place, part.flatten())


def _average_backward(grad: Tensor, image: Tensor, frame: _Frame, shape: torch.Size) -> Tensor:
    """Return (B, C, H, W) by matrix products, in which the order of summation is fixed."""
    _, channels, height, width = shape
    rows = _weights(frame.top, frame.bin_height, frame.down, grad.shape[2], height)  # (R, P, H)
    columns = _weights(frame.left, frame.bin_width, frame.across, grad.shape[3], width)  # (R, Q, W)
    spread = grad.new_zeros(shape)
    most = _regions_at_once(grad, channels * grad.shape[2] * width)
    for index in range(shape[0]):
        for part in torch.nonzero(image == index)[:, 0].split(most):
            wide = torch.matmul(grad[part], columns[part, None])  # (r, C, P, Q) x (r, 1, Q, W) -> (r, C, P, W)
            wide = wide.permute(1, 0, 2, 3).reshape(channels, -1, width)  # (C, r * P, W)
            spread[index] += torch.matmul(rows[part].flatten(0, 1).t(), wide)  # (H, r * P) x ... -> (C, H, W)
    return spread


def _weights(start: Tensor, bin_size: Tensor, samples: Tensor, bins: int, pixels: int) -> Tensor:
    """Return (R, bins, pixels): how much each pixel of one axis weighs in the mean of each bin's samples."""
    weights = start.new_zeros(len(start), bins, pixels)
    pixel = torch.arange(pixels, device=start.device)
    number = torch.arange(bins, device=start.device)
    for sample in range(int(samples.max())):
        inner = (sample + 0.5) / samples.clamp(min=1)
        place = start[:, None] + (number + inner[:, None]) * bin_size[:, None]  # (R, bins)
        counts = (sample < samples)[:, None] & (place >= -1) & (place <= pixels)
        near = 1 - (place.clamp(0, pixels - 1)[..., None] - pixel).abs()  # bilinear: 1 at the pixel, 0 at the next
        weights += near.clamp(min=0) * (counts / samples.clamp(min=1)[:, None])[..., None]
    return weights


def _keep(buffer: Tensor, value: Tensor) -> None:
    """Keep places for the way back; a buffer in half is made twice as long, since it could not tell pixels apart."""
    if buffer.dtype == value.dtype:
        buffer.copy_(value)
    else:
        buffer.resize_(2 * value.numel()).view(torch.float32).copy_(value.flatten())


def _kept(buffer: Tensor, like: Tensor) -> Tensor:
    if buffer.numel() == 2 * like.numel():
        buffer = buffer.view(torch.float32)
    return buffer.view(like.shape).to(like.dtype)
