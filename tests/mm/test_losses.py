"""The loss by golden values, a slow oracle, limits and precisions."""

from __future__ import annotations

import math

import pytest
import torch
from mmengine.registry import MODELS

import monai_place.mm  # noqa: F401
from monai_place.mm.losses import FocalLogDiceLoss


def example(channels: int, *, dtype: torch.dtype = torch.float64) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits (2, C, 5, 4) and labels with some pixels to ignore."""
    generator = torch.Generator().manual_seed(channels)
    logits = 3 * torch.randn(2, channels, 5, 4, generator=generator, dtype=dtype)
    target = torch.randint(0, max(2, channels), (2, 5, 4), generator=generator)
    target[0, 0] = 255
    return logits, target


def oracle(
    logits: torch.Tensor, target: torch.Tensor, *, sigmoid: bool, gamma: float = 2.0, focal_weight: float = 10.0
) -> torch.Tensor:
    """Pixel by pixel and channel by channel, as the formula is written."""
    batch, channels, height, width = logits.shape
    focal: list[torch.Tensor] = []
    both, either = [torch.zeros(()) for _ in range(channels)], [torch.zeros(()) for _ in range(channels)]
    for b in range(batch):
        for y in range(height):
            for x in range(width):
                label = int(target[b, y, x])
                if label == 255:
                    continue
                pixel = logits[b, :, y, x]
                for c in range(channels):
                    p = 1 / (1 + (-pixel[c]).exp()) if sigmoid else pixel[c].exp() / pixel.exp().sum()
                    t = 1.0 if label == (c if channels > 1 else 1) else 0.0
                    both[c] = both[c] + p * t
                    either[c] = either[c] + p + t
                    if sigmoid:
                        right = p if t else 1 - p
                        focal.append(-((1 - right) ** gamma) * right.log())
                    elif t:
                        focal.append(-((1 - p) ** gamma) * p.log())
    log_dice = torch.stack([((2 * b + 1) / (e + 1)).log() for b, e in zip(both, either, strict=True)])
    return focal_weight * torch.stack(focal).mean() - log_dice.mean()


CASES = [
    pytest.param(1, True, id="one logit"),
    pytest.param(3, True, id="sigmoid of three"),
    pytest.param(3, False, id="softmax of three"),
    pytest.param(2, False, id="softmax of two"),
]


def test_value_worked_by_hand() -> None:
    # One pixel of foreground and one of background, both with probability 1/2 (logit 0).
    # Focal: (1 - 1/2)^2 * log 2 = 0.25 log 2 for each. Dice: (2 * 0.5 + 1) / (0.5 + 0.5 + 1 + 1) = 2 / 3.
    loss = FocalLogDiceLoss()(torch.zeros(1, 1, 1, 2), torch.tensor([[[0, 1]]]))
    assert loss.item() == pytest.approx(10 * 0.25 * math.log(2) - math.log(2 / 3))


@pytest.mark.parametrize(("channels", "sigmoid"), CASES)
def test_value_and_gradient_equal_the_slow_oracle(channels: int, sigmoid: bool) -> None:
    logits, target = example(channels)
    ours, slow = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    loss, expected = FocalLogDiceLoss(use_sigmoid=sigmoid)(ours, target), oracle(slow, target, sigmoid=sigmoid)
    torch.testing.assert_close(loss, expected)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(ours.grad, slow.grad)


@pytest.mark.parametrize(("channels", "sigmoid"), CASES)
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_gradient_is_that_of_the_value(channels: int, sigmoid: bool, gamma: float) -> None:
    logits, target = example(channels)
    loss = FocalLogDiceLoss(gamma=gamma, use_sigmoid=sigmoid)
    assert torch.autograd.gradcheck(lambda pred: loss(pred, target), logits.requires_grad_())


def test_one_logit_equals_the_second_of_two_by_sigmoid_where_the_first_is_its_negative() -> None:
    logits, target = example(1)
    both = FocalLogDiceLoss(focal_weight=0, smooth=1e-9)(torch.cat([-logits, logits], 1), target)
    foreground = FocalLogDiceLoss(focal_weight=0, smooth=1e-9)(logits, target)
    background = FocalLogDiceLoss(focal_weight=0, smooth=1e-9)(-logits, torch.where(target == 255, 255, 1 - target))
    torch.testing.assert_close(both, (foreground + background) / 2)


@pytest.mark.parametrize(("channels", "sigmoid"), CASES)
def test_what_is_ignored_does_not_matter(channels: int, sigmoid: bool) -> None:
    logits, target = example(channels)
    loss = FocalLogDiceLoss(use_sigmoid=sigmoid)
    changed = logits.clone()
    changed[0, :, 0] = 77.0
    assert torch.equal(loss(logits, target), loss(changed, target))
    moved = torch.where(target == 255, 9, target)
    assert torch.equal(loss(logits, target), loss(logits, moved, ignore_index=9))


def test_pictures_of_a_batch_may_change_places() -> None:
    logits, target = example(3)
    loss = FocalLogDiceLoss()
    torch.testing.assert_close(loss(logits, target), loss(logits.flip(0), target.flip(0)))


@pytest.mark.parametrize(("channels", "sigmoid"), CASES)
def test_right_predictions_lose_less_than_wrong_ones(channels: int, sigmoid: bool) -> None:
    _, target = example(channels)
    loss = FocalLogDiceLoss(use_sigmoid=sigmoid)
    right = 8 * (FocalLogDiceLoss.targets(target, channels).double() - 0.5)
    shuffled = right[:, :, torch.randperm(5, generator=torch.Generator().manual_seed(0))]
    assert loss(right, target) < 0.2 < 1 < loss(shuffled, target)


def sure(logits: torch.Tensor) -> torch.Tensor:
    """Return logits that are sure of the last channel."""
    return torch.zeros_like(logits).index_fill(1, torch.tensor([logits.shape[1] - 1]), 1e4)


LIMITS = {
    "all ignored": lambda logits, target: (logits, torch.full_like(target, 255)),
    "no foreground": lambda logits, target: (logits, torch.zeros_like(target)),
    "all foreground": lambda logits, target: (logits, torch.ones_like(target)),
    "sure and right": lambda logits, target: (sure(logits), torch.full_like(target, max(1, logits.shape[1] - 1))),
    "sure and wrong": lambda logits, target: (sure(logits), torch.zeros_like(target)),
    "one pixel": lambda logits, target: (logits[:1, :, :1, :1], target[1:, :1, :1]),
}


@pytest.mark.parametrize("limit", LIMITS)
@pytest.mark.parametrize(("channels", "sigmoid"), CASES)
def test_value_and_gradient_are_finite_in_limits(limit: str, channels: int, sigmoid: bool) -> None:
    logits, target = LIMITS[limit](*example(channels, dtype=torch.float32))
    logits = logits.detach().requires_grad_()
    for gamma in (0.0, 0.5, 2.0):
        loss = FocalLogDiceLoss(gamma=gamma, use_sigmoid=sigmoid)(logits, target)
        (gradient,) = torch.autograd.grad(loss, logits)
        assert loss.isfinite()
        assert gradient.isfinite().all()


def test_all_ignored_loses_nothing() -> None:
    logits, target = example(1)
    assert FocalLogDiceLoss()(logits, torch.full_like(target, 255)).item() == 0


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("channels", "sigmoid"), CASES)
def test_half_precision_is_close_to_single_and_computed_in_it(channels: int, sigmoid: bool, dtype: torch.dtype) -> None:
    logits, target = example(channels, dtype=torch.float32)
    loss = FocalLogDiceLoss(use_sigmoid=sigmoid)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = loss(logits.to(dtype), target)
    assert half.dtype == torch.float32
    assert torch.equal(half, loss(logits.to(dtype).float(), target))
    torch.testing.assert_close(half, loss(logits, target), rtol=0.03, atol=0.03)


def test_large_half_precision_maps_do_not_overflow() -> None:
    logits, target = torch.full((2, 1, 300, 300), 20.0, dtype=torch.float16), torch.ones(2, 300, 300, dtype=torch.int64)
    assert FocalLogDiceLoss()(logits, target).item() == pytest.approx(0, abs=1e-4)


def test_weights_of_pixels_count_in_both_parts() -> None:
    logits, target = example(1)
    weight = torch.ones(2, 5, 4, dtype=torch.float64)
    weight[1] = 0
    loss, count = FocalLogDiceLoss(), (target != 255).sum()
    without = loss(logits[:1], target[:1], avg_factor=count.item())
    torch.testing.assert_close(loss(logits, target, weight), without)
    torch.testing.assert_close(loss(logits, target, torch.ones_like(weight)), loss(logits, target))


def test_loss_weight_scales_and_focal_weight_zero_leaves_the_dice() -> None:
    logits, target = example(1)
    whole, half = FocalLogDiceLoss(), FocalLogDiceLoss(loss_weight=0.5)
    torch.testing.assert_close(half(logits, target), whole(logits, target) / 2)
    dice = FocalLogDiceLoss().dice(
        logits, FocalLogDiceLoss.targets(target, 1).double(), (target != 255).double()[:, None]
    )
    torch.testing.assert_close(FocalLogDiceLoss(focal_weight=0)(logits, target), -dice.log()[0])


def test_inputs_stay_as_they_are() -> None:
    logits, target = example(3)
    before = logits.clone(), target.clone()
    FocalLogDiceLoss()(logits, target)
    assert torch.equal(logits, before[0])
    assert torch.equal(target, before[1])


def test_exported_graph_gives_the_same_value() -> None:
    logits, target = example(3, dtype=torch.float32)
    loss = FocalLogDiceLoss()
    exported = torch.export.export(loss, (logits, target)).module()
    torch.testing.assert_close(exported(logits, target), loss(logits, target))


@pytest.mark.parametrize("name", ["FocalLogDiceLoss", "monai_place.FocalLogDiceLoss"])
def test_both_names_build_it(name: str) -> None:
    assert isinstance(MODELS.build({"type": name, "loss_name": "loss_x"}), FocalLogDiceLoss)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"gamma": -1.0}, "gamma and focal_weight must be at least 0, got -1.0 and 10.0", id="gamma"),
        pytest.param({"focal_weight": -1.0}, "gamma and focal_weight must be", id="focal weight"),
        pytest.param({"smooth": 0.0}, "smooth must be above 0, got 0.0", id="smooth"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FocalLogDiceLoss(**settings)  # type: ignore[arg-type]


def test_ill_fitting_inputs_are_refused() -> None:
    loss, target = FocalLogDiceLoss(), torch.zeros(1, 2, 2, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"labels run from 0 to 2, but 1 logits tell 0\.\.1"):
        loss(torch.zeros(1, 1, 2, 2), torch.tensor([[[0, 2], [0, 0]]]))
    with pytest.raises(ValueError, match=r"labels run from 0 to 255, but 3 logits tell 0\.\.2"):
        loss(torch.zeros(1, 3, 2, 2), torch.tensor([[[0, 255], [0, 0]]]), ignore_index=None)
    with pytest.raises(ValueError, match=r"pred is \(1, 1, 3, 2\), target \(1, 2, 2\), expected BCHW and BHW"):
        loss(torch.zeros(1, 1, 3, 2), target)
    with pytest.raises(ValueError, match="reduction_override must be None or 'mean', got 'none'"):
        loss(torch.zeros(1, 1, 2, 2), target, reduction_override="none")
    with pytest.raises(ValueError, match="a softmax over one logit is always 1"):
        FocalLogDiceLoss(use_sigmoid=False)(torch.zeros(1, 1, 2, 2), target)
