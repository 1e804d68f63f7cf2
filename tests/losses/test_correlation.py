"""The correlation loss (CCE): value, oracle, gradient, symmetry, meaning, limits, precision, export, bad arguments."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.autograd import gradcheck

from monai_place.losses import PatchCorrelationLoss
from tests.losses.cases import assert_same, gradients

LOSS = PatchCorrelationLoss()
HAS_TEXT = torch.tensor([True, False, True, True, False])


def matrices(batch: int, patches: int, *, seed: int) -> torch.Tensor:
    """Random symmetric matrices with values in [-1, 1]."""
    values = torch.rand(batch, patches, patches, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return values + values.transpose(1, 2) - 1


def slow_loss(prediction: torch.Tensor, target: torch.Tensor, has_text: torch.Tensor) -> torch.Tensor:
    """Entry by entry: squared error over variance, off the diagonal, over the studies that have a report."""
    studies = [index for index in range(len(target)) if has_text[index]]
    error = torch.zeros((), dtype=torch.float64)
    variance, entries = 0.0, 0
    for row in range(target.shape[1]):
        for column in range(target.shape[2]):
            if row == column:
                continue
            mean = sum(float(target[study, row, column]) for study in studies) / len(studies)
            for study in studies:
                own = float(target[study, row, column]) - mean
                error = error + (prediction[study, row, column] - own) ** 2
                variance += own**2
                entries += 1
    return error / (variance + 1e-4 * entries)


def test_golden_value() -> None:
    # Two studies of two patches: the one correlation is 1 in the first and 0 in the second, so the mean is 0.5 and the
    # deviations are 0.5 and -0.5. Variance: 4 entries of 0.25 = 1, plus 1e-4 for each of the 4 entries.
    # The first study is predicted exactly, the second as 0: error 2 * 0.25 = 0.5.
    off = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    target = torch.stack([torch.eye(2) + off, torch.eye(2)])
    prediction = torch.stack([0.5 * off, 0 * off])
    assert LOSS(prediction, target).item() == pytest.approx(0.5 / 1.0004, abs=1e-6)


@pytest.mark.parametrize("has_text", [pytest.param(None, id="all reports"), pytest.param(HAS_TEXT, id="two empty")])
def test_equals_the_slow_oracle_forward_and_gradient(has_text: torch.Tensor | None) -> None:
    prediction, target = matrices(5, 4, seed=0).requires_grad_(), matrices(5, 4, seed=1)
    fast = LOSS(prediction, target, has_text=has_text)
    slow = slow_loss(prediction, target, torch.ones(5, dtype=torch.bool) if has_text is None else has_text)
    assert_same([fast, *gradients(fast, prediction)], [slow, *gradients(slow, prediction)])


def test_gradient_equals_finite_differences() -> None:
    assert gradcheck(
        lambda prediction: LOSS(prediction, matrices(3, 4, seed=1)), matrices(3, 4, seed=0).requires_grad_()
    )


def test_target_takes_no_gradient() -> None:
    target = matrices(3, 4, seed=1).requires_grad_()
    loss = LOSS(matrices(3, 4, seed=0).requires_grad_(), target)
    assert torch.autograd.grad(loss, target, allow_unused=True) == (None,)


def test_order_of_the_batch_changes_nothing() -> None:
    prediction, target, order = matrices(5, 4, seed=0), matrices(5, 4, seed=1), torch.tensor([4, 2, 0, 1, 3])
    left = LOSS(prediction, target, has_text=HAS_TEXT)
    assert_same([left], [LOSS(prediction[order], target[order], has_text=HAS_TEXT[order])])


def test_order_of_the_patches_changes_nothing() -> None:
    prediction, target, order = matrices(5, 4, seed=0), matrices(5, 4, seed=1), torch.tensor([2, 0, 3, 1])
    turned = [part[:, order][:, :, order] for part in (prediction, target)]
    assert_same([LOSS(prediction, target)], [LOSS(*turned)])


def test_what_all_images_share_earns_nothing() -> None:
    target, shared = matrices(5, 4, seed=1), matrices(1, 4, seed=2)
    prediction = matrices(5, 4, seed=0)
    assert_same([LOSS(prediction, target)], [LOSS(prediction, target + shared)])


def test_right_prediction_loses_nothing_a_constant_one_and_a_shuffled_one_more() -> None:
    target = matrices(8, 6, seed=1)
    own = target - target.mean(dim=0)
    assert LOSS(own, target).item() == pytest.approx(0, abs=1e-12)
    assert LOSS(torch.zeros_like(own), target).item() == pytest.approx(1, abs=2e-3)
    assert LOSS(own.roll(1, dims=0), target) > 1.5


def test_diagonal_does_not_count() -> None:
    prediction, target = matrices(5, 4, seed=0), matrices(5, 4, seed=1)
    assert_same([LOSS(prediction, target)], [LOSS(prediction + 3 * torch.eye(4), target)])


def test_study_with_an_empty_report_takes_no_part() -> None:
    prediction, target = matrices(5, 4, seed=0).requires_grad_(), matrices(5, 4, seed=1)
    loss = LOSS(prediction, target, has_text=HAS_TEXT)
    assert_same([loss], [LOSS(prediction[HAS_TEXT], target[HAS_TEXT])])
    (gradient,) = gradients(loss, prediction)
    assert gradient[~HAS_TEXT].abs().max() == 0


def test_batch_of_empty_reports_costs_nothing_and_still_gives_a_gradient() -> None:
    prediction = matrices(3, 4, seed=0).requires_grad_()
    loss = LOSS(prediction, matrices(3, 4, seed=1), has_text=torch.zeros(3, dtype=torch.bool))
    assert loss.item() == 0
    assert gradients(loss, prediction)[0].abs().max() == 0


@pytest.mark.parametrize(
    ("prediction", "target"),
    [
        pytest.param(matrices(1, 4, seed=0), matrices(1, 4, seed=1), id="batch of one"),
        pytest.param(matrices(1, 4, seed=0).expand(3, 4, 4), matrices(1, 4, seed=1).expand(3, 4, 4), id="equal images"),
        pytest.param(torch.zeros(3, 4, 4), torch.zeros(3, 4, 4), id="constant images"),
        pytest.param(torch.ones(3, 1, 1), torch.ones(3, 1, 1), id="one patch"),
        pytest.param(1000 * matrices(3, 4, seed=0), matrices(3, 4, seed=1), id="far off"),
    ],
)
def test_limits_stay_finite(prediction: torch.Tensor, target: torch.Tensor) -> None:
    prediction = prediction.float().clone().requires_grad_()
    loss = LOSS(prediction, target.float())
    assert loss.isfinite()
    assert gradients(loss, prediction)[0].isfinite().all()


def test_autocast_does_not_lower_the_precision() -> None:
    prediction, target = matrices(5, 4, seed=0).float(), matrices(5, 4, seed=1).float()
    with torch.autocast("cpu", torch.bfloat16):
        inside = LOSS(prediction, target)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, LOSS(prediction, target))


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_input_is_close_to_float32(kind: torch.dtype) -> None:
    prediction, target = matrices(5, 4, seed=0).float(), matrices(5, 4, seed=1).float()
    half = LOSS(prediction.to(kind), target.to(kind))
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, LOSS(prediction, target), rtol=0.02, atol=0)


def test_exported_loss_gives_the_same_after_a_round_trip_through_a_file(tmp_path: Path) -> None:
    prediction, target = matrices(3, 4, seed=0), matrices(3, 4, seed=1)
    torch.export.save(torch.export.export(LOSS, (prediction, target)), tmp_path / "loss.pt2")
    loaded = torch.export.load(tmp_path / "loss.pt2").module()
    other = matrices(3, 4, seed=2)
    assert_same([loaded(prediction, other)], [LOSS(prediction, other)])


@pytest.mark.parametrize(
    ("prediction", "target"),
    [
        pytest.param((2, 4, 4), (3, 4, 4), id="batches"),
        pytest.param((2, 4, 4), (2, 5, 5), id="patches"),
        pytest.param((4, 4), (4, 4), id="axes"),
    ],
)
def test_bad_shape_raises(prediction: tuple[int, ...], target: tuple[int, ...]) -> None:
    shapes = rf"prediction \({prediction[0]}, .*, target \({target[0]}, .*: both must be \(B, N, N\)"
    with pytest.raises(ValueError, match=shapes):
        LOSS(torch.zeros(prediction), torch.zeros(target))
