"""mmcv compiles the focal losses for GPUs only: the oracle is the formula, by autograd in double precision."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

Draw = Callable[..., Tensor]

SETTINGS = [(2.0, 0.25), (0.0, 0.5), (1.0, 1.0), (0.5, 0.3), (3.5, 0.0)]


def sigmoid_formula(logits: Tensor, target: Tensor, gamma: float, alpha: float, weight: Tensor | None) -> Tensor:
    own = F.one_hot(target, logits.shape[1] + 1)[:, :-1].double()
    probability = logits.sigmoid()
    positive = own * alpha * (1 - probability) ** gamma * F.logsigmoid(logits)
    negative = (1 - own) * (1 - alpha) * probability**gamma * F.logsigmoid(-logits)
    loss = -(positive + negative)
    return loss if weight is None else loss * weight[target][:, None]


def softmax_formula(logits: Tensor, target: Tensor, gamma: float, alpha: float, weight: Tensor | None) -> Tensor:
    log = logits.log_softmax(1)[torch.arange(len(target)), target]
    loss = -alpha * (1 - log.exp()) ** gamma * log
    return loss if weight is None else loss * weight[target]


def wanted(
    formula: Callable[..., Tensor], logits: Tensor, target: Tensor, gamma: float, alpha: float, weight: Tensor | None
) -> tuple[Tensor, Tensor]:
    leaf = logits.double().requires_grad_()
    loss = formula(leaf, target, gamma, alpha, weight)
    (grad,) = torch.autograd.grad(loss.sum(), leaf)
    return loss.detach().float(), grad.float()


def sigmoid(
    ext: ModuleType, logits: Tensor, target: Tensor, gamma: float, alpha: float, weight: Tensor
) -> tuple[Tensor, Tensor]:
    loss, grad = torch.zeros_like(logits), torch.zeros_like(logits)
    ext.sigmoid_focal_loss_forward(logits, target, weight, loss, gamma=gamma, alpha=alpha)
    ext.sigmoid_focal_loss_backward(logits, target, weight, grad, gamma=gamma, alpha=alpha)
    return loss, grad


def softmax(
    ext: ModuleType, logits: Tensor, target: Tensor, gamma: float, alpha: float, weight: Tensor
) -> tuple[Tensor, Tensor]:
    probability = logits.softmax(1)
    loss, buffer, grad = logits.new_zeros(len(logits)), logits.new_zeros(len(logits)), torch.zeros_like(logits)
    ext.softmax_focal_loss_forward(probability, target, weight, loss, gamma=gamma, alpha=alpha)
    ext.softmax_focal_loss_backward(probability, target, weight, buffer, grad, gamma=gamma, alpha=alpha)
    return loss, grad


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(("gamma", "alpha"), SETTINGS)
@pytest.mark.parametrize("shape", [(9, 1), (1, 2), (17, 5)])
def test_both_losses_and_gradients_are_those_of_the_formula(
    stand_in: ModuleType, draw: Draw, shape: tuple[int, int], gamma: float, alpha: float, weighted: bool
) -> None:
    logits = 4 * draw(*shape)
    target = draw(shape[0]).mul(100).long().abs() % shape[1]
    weight = draw(shape[1]).abs() if weighted else None
    given = logits.new_empty(0) if weight is None else weight
    pairs = [(sigmoid, sigmoid_formula), (softmax, softmax_formula)]
    for ours, formula in pairs[: shape[1]]:  # one class alone is certain, and the formula's gradient 0 / 0 there
        found = ours(stand_in, logits, target, gamma, alpha, given)
        for value, expected in zip(found, wanted(formula, logits, target, gamma, alpha, weight), strict=True):
            torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-6)


def test_background_is_no_class_of_the_sigmoids_and_weighs_one(stand_in: ModuleType, draw: Draw) -> None:
    logits, target = draw(6, 4), torch.full((6,), 4)
    found = sigmoid(stand_in, logits, target, 2.0, 0.25, torch.full((4,), 7.0))
    for value, expected in zip(found, wanted(sigmoid_formula, logits, target, 2.0, 0.25, None), strict=True):
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-6)


def test_a_sample_without_class_loses_nothing_by_the_softmax(stand_in: ModuleType, draw: Draw) -> None:
    logits, target = draw(3, 4), torch.tensor([-1, 2, 4])
    loss, grad = softmax(stand_in, logits, target, 2.0, 0.25, logits.new_empty(0))
    assert loss[[0, 2]].tolist() == [0, 0]
    assert loss[1] > 0
    assert not grad[[0, 2]].any()


@pytest.mark.parametrize("size", [0.0, 80.0, 1e4, float("inf")])
def test_extreme_logits_give_finite_losses_and_gradients(stand_in: ModuleType, size: float) -> None:
    logits = torch.tensor([[size, -size], [-size, size]])
    for gamma, alpha in SETTINGS:
        loss, grad = sigmoid(stand_in, logits, torch.tensor([0, 0]), gamma, alpha, logits.new_empty(0))
        assert loss.isfinite().all()
        assert grad.isfinite().all()
        for given in (logits.clamp(-1e4, 1e4), logits.clamp(-1e4, 1e4).flip(1)):
            loss, grad = softmax(stand_in, given, torch.tensor([0, 0]), gamma, alpha, logits.new_empty(0))
            assert loss.isfinite().all()
            assert grad.isfinite().all()


def test_no_samples_give_no_losses(stand_in: ModuleType) -> None:
    logits, target = torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)
    assert sigmoid(stand_in, logits, target, 2.0, 0.25, logits.new_empty(0))[0].shape == (0, 3)
    assert softmax(stand_in, logits, target, 2.0, 0.25, logits.new_empty(0))[0].shape == (0,)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_is_near_single(stand_in: ModuleType, draw: Draw, dtype: torch.dtype) -> None:
    logits, target = draw(20, 4).to(dtype), torch.arange(20) % 4
    for ours in (sigmoid, softmax):
        half = ours(stand_in, logits, target, 2.0, 0.25, logits.new_empty(0))
        single = ours(stand_in, logits.float(), target, 2.0, 0.25, torch.empty(0))
        for value, expected in zip(half, single, strict=True):
            assert value.dtype == dtype
            torch.testing.assert_close(value.float(), expected, rtol=5e-2, atol=1e-2)


@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_public_gradient_of_the_sigmoid_loss_is_that_of_finite_differences(
    mmcv_ops: ModuleType, draw: Draw, reduction: str
) -> None:
    loss = mmcv_ops.SigmoidFocalLoss(2.0, 0.25, weight=torch.tensor([1.0, 2.0, 3.0]), reduction=reduction)
    logits = draw(7, 3, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda value: loss(value, torch.arange(7) % 4), (logits,))


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_public_gradient_of_the_softmax_loss_is_that_of_finite_differences(
    mmcv_ops: ModuleType, draw: Draw, reduction: str
) -> None:
    loss = mmcv_ops.SoftmaxFocalLoss(2.0, 0.25, reduction=reduction)
    logits = draw(7, 3, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda value: loss(value, torch.arange(7) % 3), (logits,))


def test_public_loss_works_under_autocast(mmcv_ops: ModuleType, draw: Draw) -> None:
    layer = torch.nn.Linear(5, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = mmcv_ops.SigmoidFocalLoss(2.0, 0.25)(layer(draw(8, 5)), torch.arange(8) % 4)
    loss.backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.isfinite().all()
