"""Losses of labels: worked by hand, against a slow way, gradients, symmetry, limits, precision, ranks."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from monai_place.losses.labels import FindingLoss, finding_loss
from tests.support.processes import in_group, run_ranks

NAN = math.nan
TASKS = ["multilabel", "multiclass"]


def problem(task: str, *, studies: int = 6, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(studies, 3, generator=generator, dtype=torch.float64).requires_grad_()
    if task == "multiclass":
        labels = torch.eye(3, dtype=torch.float64)[torch.randint(0, 3, (studies,), generator=generator)]
        labels[1] = NAN
    else:
        labels = (torch.rand(studies, 3, generator=generator) < 0.4).double()
        labels[0, 1] = labels[2] = NAN
    return logits, labels


def slow(logits: torch.Tensor, labels: torch.Tensor, task: str) -> torch.Tensor:
    terms = []
    for row, truth in zip(logits, labels, strict=True):
        if task == "multiclass":
            if not truth.isnan().any():
                terms.append(-torch.log(row.exp()[int(truth.argmax())] / row.exp().sum()))
            continue
        for value, target in zip(row, truth, strict=True):
            if not target.isnan():
                probability = 1 / (1 + torch.exp(-value))
                terms.append(-torch.log(probability if target else 1 - probability))
    return torch.stack(terms).mean()


def test_golden_values() -> None:
    # log(1 + e^-2) = 0.126928 and log(1 + e^-1) = 0.313262; the third label is not known.
    value = finding_loss(torch.tensor([[2.0, -1.0, 9.0]]), torch.tensor([[1.0, 0.0, NAN]]), "multilabel")
    assert float(value) == pytest.approx((0.126928 + 0.313262) / 2, abs=1e-5)
    # log(e^1 + e^2) - 2 = 0.313262
    value = finding_loss(torch.tensor([[1.0, 2.0]]), torch.tensor([[0.0, 1.0]]), "multiclass")
    assert float(value) == pytest.approx(0.313262, abs=1e-5)


@pytest.mark.parametrize("task", TASKS)
def test_value_and_gradient_are_those_of_the_slow_way(task: Any) -> None:
    logits, labels = problem(task)
    found, expected = FindingLoss(task)(logits, labels), slow(logits, labels, task)
    assert torch.allclose(found, expected, atol=1e-12)
    for one, other in zip(torch.autograd.grad(found, logits), torch.autograd.grad(expected, logits), strict=True):
        assert torch.allclose(one, other, atol=1e-12)
    torch.autograd.gradcheck(lambda values: FindingLoss(task)(values, labels), [logits])


@pytest.mark.parametrize("task", TASKS)
def test_the_order_of_studies_and_classes_makes_no_difference(task: Any) -> None:
    logits, labels = problem(task)
    order, classes = torch.randperm(6, generator=torch.Generator().manual_seed(1)), torch.tensor([2, 0, 1])
    other = finding_loss(logits[order][:, classes], labels[order][:, classes], task)
    assert torch.allclose(finding_loss(logits, labels, task), other, atol=1e-12)


@pytest.mark.parametrize("task", TASKS)
def test_what_is_not_known_changes_nothing_and_gets_no_gradient(task: Any) -> None:
    logits, labels = problem(task)
    unknown = labels.isnan()
    moved = torch.where(unknown, logits + 100, logits)
    assert torch.equal(finding_loss(moved, labels, task), finding_loss(logits, labels, task))
    gradient = torch.autograd.grad(finding_loss(logits, labels, task), logits)[0]
    assert not gradient[unknown].any()
    assert gradient[~unknown].all()


@pytest.mark.parametrize("task", TASKS)
def test_right_answers_lose_less_than_shuffled_ones(task: Any) -> None:
    labels = torch.eye(3)[torch.tensor([0, 1, 2, 0])]
    logits = 4 * labels - 2
    assert finding_loss(logits, labels, task) < 0.3 < finding_loss(logits.roll(1, 0), labels, task)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("scale", [0.0, 1e4, -1e4])
def test_extreme_logits_and_single_studies_are_finite(task: Any, scale: float) -> None:
    logits = torch.full((1, 3), scale).requires_grad_()
    value = finding_loss(logits, torch.tensor([[1.0, 0.0, 0.0]]), task)
    value.backward()
    assert math.isfinite(value.item())
    assert logits.grad is not None
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize("task", TASKS)
def test_nothing_known_is_0_with_gradient_0(task: Any) -> None:
    logits = torch.ones(2, 3, requires_grad=True)
    value = FindingLoss(task)(logits, torch.full((2, 3), NAN))
    value.backward()
    assert value.item() == 0
    assert logits.grad is not None
    assert not logits.grad.any()


@pytest.mark.parametrize("task", TASKS)
def test_half_precision_is_computed_in_float32(task: Any) -> None:
    logits, labels = problem(task)
    half = finding_loss(logits.bfloat16(), labels.bfloat16(), task)
    assert half.dtype == torch.float32
    assert half.item() == pytest.approx(finding_loss(logits.bfloat16().double(), labels, task).item(), abs=1e-5)


def test_export_gives_the_same() -> None:
    # Of one class in several, which rows are known decides a shape, and torch.export does not trace that.
    logits, labels = problem("multilabel")
    program = torch.export.export(FindingLoss("multilabel"), (logits.detach(), labels))
    assert torch.allclose(program.module()(logits.detach(), labels), finding_loss(logits, labels, "multilabel"))


def test_ill_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="task is 'regression', expected one of"):
        FindingLoss("regression")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"both be \(B, C\), got \(2, 3\), \(2, 2\)"):
        finding_loss(torch.zeros(2, 3), torch.zeros(2, 2), "multilabel")


@pytest.mark.dist
def test_two_ranks_with_unequal_knowledge_have_the_loss_and_gradient_of_one(tmp_path: Path) -> None:
    run_ranks(train_a_step, tmp_path)
    for task in TASKS:
        network, features, labels = setup(task)
        loss = FindingLoss(task)(network(features), labels)  # type: ignore[arg-type]
        loss.backward()
        for rank in (0, 1):
            found = torch.load(tmp_path / f"{task}{rank}.pt", weights_only=True)
            assert found["loss"].item() == pytest.approx(loss.item(), abs=1e-12)
            assert torch.allclose(found["gradient"], network.weight.grad, atol=1e-12)  # type: ignore[arg-type]


def setup(task: str) -> tuple[torch.nn.Linear, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    network = torch.nn.Linear(4, 3).double()
    return network, torch.randn(6, 4).double(), problem(task)[1]


def train_a_step(rank: int, folder: Path) -> None:
    with in_group(rank, folder):
        for task in TASKS:
            network, features, labels = setup(task)
            rows = slice(0, 2) if rank == 0 else slice(2, 6)
            wrapped = DistributedDataParallel(network)
            loss = FindingLoss(task)(wrapped(features[rows]), labels[rows])  # type: ignore[arg-type]
            loss.backward()
            torch.save({"loss": loss.detach(), "gradient": network.weight.grad}, folder / f"{task}{rank}.pt")
