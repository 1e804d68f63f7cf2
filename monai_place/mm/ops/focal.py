"""Focal loss over sigmoids and over a softmax. Letters: N samples, C classes."""

from __future__ import annotations

import torch
from torch import Tensor

from monai_place.mm.ops.plain import plainly, widened

__all__ = [
    "sigmoid_focal_loss_backward",
    "sigmoid_focal_loss_forward",
    "softmax_focal_loss_backward",
    "softmax_focal_loss_forward",
]

LEAST = torch.finfo(torch.float32).tiny  # of a probability whose logarithm is taken, as in the compiled operator


@plainly
def sigmoid_focal_loss_forward(
    input: Tensor,  # noqa: A002  (the compiled operator's names)
    target: Tensor,
    weight: Tensor,
    output: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Fill `output` (N, C) with -a (1 - q)^gamma log q, where q is the probability given to the truth of each class.

    Args:
        input: (N, C) logits.
        target: (N,) class, or C for none of them.
        weight: (C,), by which the loss of a sample is multiplied according to its class, or empty.
        output: filled.
        gamma: how little well-classified samples count.
        alpha: a of the sample's own class; 1 - alpha is a of the others.
    """
    truth, error, scale, _ = _sides(input, target, weight, alpha)
    output.copy_(-scale * error**gamma * truth.clamp(min=LEAST).log())


@plainly
def sigmoid_focal_loss_backward(
    input: Tensor,  # noqa: A002
    target: Tensor,
    weight: Tensor,
    grad_input: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Fill `grad_input` (N, C); the other arguments are those of `sigmoid_focal_loss_forward`."""
    truth, error, scale, own = _sides(input, target, weight, alpha)
    grad = scale * error**gamma * (error - gamma * truth * truth.clamp(min=LEAST).log())
    grad_input.copy_(torch.where(own, -grad, grad))


@plainly
def softmax_focal_loss_forward(
    input: Tensor,  # noqa: A002
    target: Tensor,
    weight: Tensor,
    output: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Fill `output` (N,) with -alpha (1 - p)^gamma log p, where p is the probability of the sample's class.

    Args:
        input: (N, C) probabilities.
        target: (N,) class; a sample whose class is none of the C loses nothing.
        weight: (C,), by which the loss of a sample is multiplied according to its class, or empty.
        output: filled.
        gamma: how little well-classified samples count.
        alpha: a factor.
    """
    truth, scale = _of_own_class(widened(input), target, weight, alpha)
    output.copy_(-scale * (1 - truth) ** gamma * truth.clamp(min=LEAST).log())


@plainly
def softmax_focal_loss_backward(
    input: Tensor,  # noqa: A002
    target: Tensor,
    weight: Tensor,
    buff: Tensor,
    grad_input: Tensor,
    gamma: float,
    alpha: float,
) -> None:
    """Fill `grad_input` (N, C), the gradient of the logits; `buff` (N,) is a buffer, the rest is the forward's."""
    probability = widened(input)
    truth, scale = _of_own_class(probability, target, weight, alpha)
    error = 1 - truth
    # A power of gamma - 1 may have no value at 0, but its product with log(1) = 0 has.
    steepness = gamma * error.clamp(min=LEAST) ** (gamma - 1) * truth * truth.clamp(min=LEAST).log()
    slope = scale * (steepness - error**gamma)
    buff.copy_(slope)
    grad_input.copy_(slope[:, None] * (_is_own(probability, target).to(slope) - probability))


def _is_own(input: Tensor, target: Tensor) -> Tensor:  # noqa: A002
    return target[:, None] == torch.arange(input.shape[1], device=input.device)


def _sides(input: Tensor, target: Tensor, weight: Tensor, alpha: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # noqa: A002
    """Return, each (N, C), the probability of the truth, that of the error, the factor, and which class is its own.

    Both probabilities are taken from the logit, since 1 - q says nothing of a small difference.
    """
    own = _is_own(input, target)
    logit = widened(input)
    logit = torch.where(own, logit, -logit)
    scale = torch.where(own, alpha, 1 - alpha).to(logit)
    if weight.numel():
        scale = scale * _class_weight(weight, target)[:, None]
    return logit.sigmoid(), (-logit).sigmoid(), scale, own


def _of_own_class(probability: Tensor, target: Tensor, weight: Tensor, alpha: float) -> tuple[Tensor, Tensor]:
    """Return, each (N,), the probability of the sample's class and the factor of its loss."""
    classes = probability.shape[1]
    known = (target >= 0) & (target < classes)
    truth = probability.gather(1, target.clamp(0, classes - 1)[:, None])[:, 0]
    scale = known * alpha
    if weight.numel():
        scale = scale * _class_weight(weight, target)
    return truth, scale.to(truth)


def _class_weight(weight: Tensor, target: Tensor) -> Tensor:
    """Return (N,); what is of no class is not weighted."""
    known = (target >= 0) & (target < len(weight))
    return torch.where(known, widened(weight)[target.clamp(0, len(weight) - 1)], 1.0)
