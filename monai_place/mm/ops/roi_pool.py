"""RoI pooling. Letters: B images, C channels, H W pixels, R regions, P Q bins down and across."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_place.mm.ops.plain import check_regions, plainly, widened

__all__ = ["roi_pool_backward", "roi_pool_forward"]


@plainly
def roi_pool_forward(
    input: Tensor,  # noqa: A002  (the compiled operator's names)
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Fill `output` (R, C, P, Q) with the largest value of each bin, 0 where a bin lies outside or a region is void.

    torchvision's operator rounds the regions to pixels before it divides them, mmcv's does not: this is mmcv's.

    Args:
        input: (B, C, H, W).
        rois: (R, 5) image, x0, y0, x1, y1; the last pixel belongs to a region.
        output: (R, C, P, Q), filled.
        argmax: (R, C, P, Q) int32, filled with the place of the largest value in its plane, -1 where there is none.
        pooled_height: P.
        pooled_width: Q.
        spatial_scale: pixels of `input` per unit of `rois`.

    Raises:
        ValueError: on a CPU, a region is not finite, or of an image that there is not.
    """
    if output.numel() == 0:
        return
    features = widened(input)
    check_regions(rois, len(features))
    channels, height, width = features.shape[1:]
    rows = features.permute(0, 2, 3, 1).reshape(-1, channels)  # (B * H * W, C): a pixel's channels lie together
    image, left, top, right, bottom = rois.to(features.dtype).unbind(1)
    top, tall = _bins(top * spatial_scale, (bottom + 1) * spatial_scale, pooled_height, height)  # (R, P)
    left, wide = _bins(left * spatial_scale, (right + 1) * spatial_scale, pooled_width, width)  # (R, Q)
    first = (top[:, :, None] * width + left[:, None, :]).flatten()  # (R * P * Q,)
    plane = (image.long() * height * width)[:, None, None].expand(output.shape[0], *output.shape[2:]).flatten()
    tall = tall[:, :, None].expand(-1, -1, pooled_width).flatten()
    wide = wide[:, None, :].expand(-1, pooled_height, -1).flatten()
    wide = wide * (tall > 0)
    value = features.new_full((len(first), channels), -torch.inf)
    place = torch.full_like(value, -1, dtype=torch.int32)
    for down in range(int(tall.max())):
        for across in range(int(wide.max())):  # a pixel of every bin that is large enough, in the order of reading
            live = torch.nonzero((tall > down) & (wide > across))[:, 0]
            spot = first[live] + (down * width + across)
            found, best = rows[plane[live] + spot], value[live]
            better = found > best
            value[live] = torch.where(better, found, best)
            place[live] = torch.where(better, spot[:, None].int(), place[live])
    value.masked_fill_(place < 0, 0)
    shape = (output.shape[0], pooled_height, pooled_width, channels)
    output.copy_(value.view(shape).permute(0, 3, 1, 2))
    argmax.copy_(place.view(shape).permute(0, 3, 1, 2))


@plainly
def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Fill `grad_input` (B, C, H, W); the other arguments are those of `roi_pool_forward`."""
    if grad_output.numel() == 0:
        return
    grad = widened(grad_output)
    _, channels, height, width = grad_input.shape
    plane = rois[:, :1].long() * channels + torch.arange(channels, device=grad.device)  # (R, C)
    place = plane[:, :, None, None] * (height * width) + argmax.clamp(min=0)
    spread = grad.new_zeros(grad_input.numel())
    spread.scatter_add_(0, place.flatten(), (grad * (argmax >= 0)).flatten())
    grad_input.copy_(spread.view(grad_input.shape))


def _bins(start: Tensor, end: Tensor, bins: int, pixels: int) -> tuple[Tensor, Tensor]:
    """Return (first pixel, number of pixels) of each bin along one axis, each (R, bins)."""
    number = torch.arange(bins + 1, device=start.device)
    size = (end - start) / bins
    edge = number * size[:, None] + start[:, None]  # (R, bins + 1)
    low = edge[:, :-1].floor().clamp(0, pixels)
    high = edge[:, 1:].ceil().clamp(0, pixels)
    count = (high - low).clamp(min=0) * (size > 0)[:, None]
    return low.long(), count.long()
