"""The instance alignment (ITA): value, oracle, gradient, symmetry, meaning, limits, precision, export, arguments."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.autograd import gradcheck

from monai_place.losses import GlobalAlignmentLoss
from tests.losses.cases import assert_same, gradients, unit_rows

LOSS = GlobalAlignmentLoss()
HAS_TEXT = torch.tensor([True, False, True, True, False, True])


def slow_loss(
    image: torch.Tensor, report: torch.Tensor, temperature: torch.Tensor, has_text: torch.Tensor
) -> torch.Tensor:
    """InfoNCE as in the papers, pair by pair."""
    pairs = [index for index in range(len(image)) if has_text[index]]
    total = torch.zeros((), dtype=torch.float64)
    for own in pairs:
        to_reports = sum(((image[own] @ report[other]) / temperature).exp() for other in pairs)
        to_images = sum(((image[other] @ report[own]) / temperature).exp() for other in pairs)
        positive = ((image[own] @ report[own]) / temperature).exp()
        total = total - (positive / to_reports).log() - (positive / to_images).log()
    return total / (2 * len(pairs))


def test_golden_value() -> None:
    # tau = 0.5, so the logits are [[2, 1.2], [0, 1.6]].
    # Rows: log(1 + e^-0.8) = 0.371101 and log(1 + e^-1.6) = 0.183901, mean 0.277501.
    # Columns: log(1 + e^-2) = 0.126928 and log(1 + e^-0.4) = 0.513015, mean 0.319972.
    image = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64)
    report = torch.tensor([[1.0, 0.0], [0.6, 0.8]], dtype=torch.float64)
    assert LOSS(image, report, 0.5).item() == pytest.approx((0.277501 + 0.319972) / 2, abs=2e-6)


@pytest.mark.parametrize("has_text", [pytest.param(None, id="all reports"), pytest.param(HAS_TEXT, id="two empty")])
def test_equals_the_slow_oracle_forward_and_gradient(has_text: torch.Tensor | None) -> None:
    image, report = unit_rows(6, 5, seed=0), unit_rows(6, 5, seed=1)
    temperature = torch.tensor(0.2, dtype=torch.float64, requires_grad=True)
    fast = LOSS(image, report, temperature, has_text=has_text)
    keep = torch.ones(6, dtype=torch.bool) if has_text is None else has_text
    slow = slow_loss(image, report, temperature, keep)
    leaves = image, report, temperature
    assert_same([fast, *gradients(fast, *leaves)], [slow, *gradients(slow, *leaves)])


def test_gradient_equals_finite_differences() -> None:
    temperature = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    assert gradcheck(LOSS, (unit_rows(4, 3, seed=0), unit_rows(4, 3, seed=1), temperature))


def test_swapping_image_and_report_changes_nothing() -> None:
    image, report = unit_rows(6, 5, seed=0), unit_rows(6, 5, seed=1)
    assert_same([LOSS(image, report, 0.1)], [LOSS(report, image, 0.1)])


def test_order_of_the_batch_changes_nothing() -> None:
    image, report = unit_rows(6, 5, seed=0), unit_rows(6, 5, seed=1)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    left = LOSS(image, report, 0.1, has_text=HAS_TEXT)
    assert_same([left], [LOSS(image[order], report[order], 0.1, has_text=HAS_TEXT[order])])


def test_good_pairs_lose_less_than_shuffled_pairs() -> None:
    image = unit_rows(16, 8, seed=0)
    report = torch.nn.functional.normalize(image + 0.3 * unit_rows(16, 8, seed=1), dim=-1)
    assert LOSS(image, report, 0.1) + 1 < LOSS(image, report.roll(1, dims=0), 0.1)


def test_study_with_an_empty_report_is_neither_a_positive_nor_a_negative() -> None:
    image, report = unit_rows(6, 5, seed=0), unit_rows(6, 5, seed=1)
    loss = LOSS(image, report, 0.1, has_text=HAS_TEXT)
    assert_same([loss], [LOSS(image[HAS_TEXT], report[HAS_TEXT], 0.1)])
    for gradient in gradients(loss, image, report):
        assert gradient[HAS_TEXT].abs().min() > 0
        assert gradient[~HAS_TEXT].abs().max() == 0


def test_batch_of_empty_reports_costs_nothing_and_still_gives_every_input_a_gradient() -> None:
    image, report = unit_rows(3, 5, seed=0), unit_rows(3, 5, seed=1)
    temperature = torch.tensor(0.1, requires_grad=True)
    loss = LOSS(image, report, temperature, has_text=torch.zeros(3, dtype=torch.bool))
    assert loss.item() == 0
    for gradient in gradients(loss, image, report, temperature):
        assert gradient.abs().max() == 0


@pytest.mark.parametrize("temperature", [0.001, 0.07, 100.0])
@pytest.mark.parametrize(
    ("image", "report"),
    [
        pytest.param(unit_rows(1, 5, seed=0), unit_rows(1, 5, seed=1), id="batch of one"),
        pytest.param(unit_rows(1, 5, seed=0).expand(4, 5), unit_rows(1, 5, seed=1).expand(4, 5), id="identical rows"),
        pytest.param(torch.zeros(4, 5, dtype=torch.float64), unit_rows(4, 5, seed=1), id="zero images"),
        pytest.param(torch.zeros(4, 5, dtype=torch.float64), torch.zeros(4, 5, dtype=torch.float64), id="all zero"),
        pytest.param(unit_rows(4, 5, seed=0), -unit_rows(4, 5, seed=0), id="opposite pairs"),
    ],
)
def test_limits_stay_finite(image: torch.Tensor, report: torch.Tensor, temperature: float) -> None:
    # In float32, which is what training uses: exp(1 / 0.001) is beyond it.
    image, report = (part.detach().float().requires_grad_() for part in (image, report))
    tau = torch.tensor(temperature, requires_grad=True)
    loss = LOSS(image, report, tau)
    assert loss.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients(loss, image, report, tau))


def test_identical_rows_lose_log_of_the_batch() -> None:
    row = unit_rows(1, 5, seed=0).expand(4, 5)
    assert_same([LOSS(row, row, 0.07)], [torch.tensor(4.0, dtype=torch.float64).log()])


def test_autocast_does_not_lower_the_precision() -> None:
    image, report = (unit_rows(8, 16, seed=seed).detach().float() for seed in (0, 1))
    with torch.autocast("cpu", torch.bfloat16):
        inside = LOSS(image, report, 0.07)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, LOSS(image, report, 0.07))


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_input_is_close_to_float32(kind: torch.dtype) -> None:
    image, report = (unit_rows(8, 16, seed=seed).detach().float() for seed in (0, 1))
    half = LOSS(image.to(kind), report.to(kind), 0.07)
    assert half.dtype == torch.float32
    torch.testing.assert_close(half, LOSS(image, report, 0.07), rtol=0.02, atol=0)


def test_exported_loss_gives_the_same_after_a_round_trip_through_a_file(tmp_path: Path) -> None:
    image, report = (unit_rows(4, 5, seed=seed).detach() for seed in (0, 1))
    temperature = torch.tensor(0.1, dtype=torch.float64)
    torch.export.save(torch.export.export(LOSS, (image, report, temperature)), tmp_path / "loss.pt2")
    loaded = torch.export.load(tmp_path / "loss.pt2").module()
    other = unit_rows(4, 5, seed=2).detach()
    assert_same([loaded(image, other, temperature)], [LOSS(image, other, temperature)])


def test_inputs_are_left_as_they_were() -> None:
    image, report = unit_rows(4, 5, seed=0).detach(), unit_rows(4, 5, seed=1).detach()
    before = image.clone(), report.clone()
    LOSS(image, report, 0.1)
    assert torch.equal(image, before[0])
    assert torch.equal(report, before[1])


@pytest.mark.parametrize(
    ("image", "report", "temperature", "message"),
    [
        pytest.param((3, 4), (2, 4), 0.1, r"image \(3, 4\) and report \(2, 4\) must both be \(B, D\)", id="batches"),
        pytest.param((3, 4), (3, 5), 0.1, r"image \(3, 4\) and report \(3, 5\) must both", id="widths"),
        pytest.param((3, 4, 1), (3, 4, 1), 0.1, r"image \(3, 4, 1\) .* must both be \(B, D\)", id="axes"),
        pytest.param((3, 4), (3, 4), 0.0, "temperature is 0.0, expected a positive number", id="zero temperature"),
        pytest.param((3, 4), (3, 4), float("nan"), "temperature is nan, expected a positive", id="no temperature"),
    ],
)
def test_bad_argument_raises(image: tuple[int, ...], report: tuple[int, ...], temperature: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LOSS(torch.zeros(image), torch.zeros(report), temperature)
