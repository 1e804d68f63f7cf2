"""Multi-scale deformable attention, by bilinear sampling.

Letters: B images, V values over all levels, M heads, D features of a head, Q queries, L levels, P points.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_place.mm.ops.plain import plainly, widened

__all__ = ["ms_deform_attn_backward", "ms_deform_attn_forward"]


@plainly
def ms_deform_attn_forward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Return (B, Q, M * D): values sampled around each query's points, weighted and summed.

    Args:
        value: (B, V, M, D).
        value_spatial_shapes: (L, 2) height and width of each level.
        value_level_start_index: (L,) where each level begins in V.
        sampling_locations: (B, Q, M, L, P, 2) x, y, 0 to 1 across a level.
        attention_weights: (B, Q, M, L, P).
        im2col_step: images at a time in the compiled operator.
    """
    found = _attend(widened(value), value_spatial_shapes, widened(sampling_locations), widened(attention_weights))
    return found.to(value.dtype)


@plainly
def ms_deform_attn_backward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Fill the three gradients; the other arguments are those of `ms_deform_attn_forward`."""
    # The samples are needed again for the gradient of their weights, and nobody has kept them.
    inputs = [widened(each).detach().requires_grad_() for each in (value, sampling_locations, attention_weights)]
    with torch.enable_grad():
        found = _attend(inputs[0], value_spatial_shapes, inputs[1], inputs[2])
    grads = torch.autograd.grad(found, inputs, widened(grad_output))
    for target, grad in zip((grad_value, grad_sampling_loc, grad_attn_weight), grads, strict=True):
        target.copy_(grad)


def _attend(value: Tensor, shapes: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    batch, _, heads, features = value.shape
    queries, points = locations.shape[1], locations.shape[4]
    total = value.new_zeros(batch * heads, features, queries)
    sizes = [(int(height), int(width)) for height, width in shapes.tolist()]  # one transfer from the GPU
    grids = 2 * locations - 1
    start = 0
    for level, (height, width) in enumerate(sizes):
        plane = value[:, start : start + height * width]
        plane = plane.permute(0, 2, 3, 1).reshape(batch * heads, features, height, width)
        grid = grids[:, :, :, level].transpose(1, 2).flatten(0, 1)  # (B, Q, M, P, 2) -> (BM, Q, P, 2)
        sampled = F.grid_sample(plane, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        weight = weights[:, :, :, level].transpose(1, 2).reshape(batch * heads, 1, queries, points)
        total = total + (sampled * weight).sum(-1)  # (BM, D, Q, P) -> (BM, D, Q)
        start += height * width
    return total.view(batch, heads * features, queries).transpose(1, 2).contiguous()
