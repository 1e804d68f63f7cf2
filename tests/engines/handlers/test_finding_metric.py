from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from ignite.engine import Engine
from monai.utils.enums import CommonKeys
from sklearn.metrics import average_precision_score, roc_auc_score

from monai_place.engines.handlers.finding_metric import FindingMetric, selection_mode
from monai_place.losses.labels import finding_loss
from tests.support.processes import in_group, run_ranks


def problem(task: str) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(11, 3, generator=generator)
    labels = (logits + torch.randn(11, 3, generator=generator) > 0.3).float()
    labels[2, 1] = math.nan
    if task == "multiclass":
        labels = torch.eye(3)[torch.randint(0, 3, (11,), generator=generator)]
    return logits, labels


def validate(task: Any, batch_size: int, rows: slice = slice(None)) -> dict[str, float]:
    logits, labels = (part[rows] for part in problem(task))
    batches = list(zip(logits.split(batch_size), labels.split(batch_size), strict=True))
    engine = Engine(lambda _, batch: {CommonKeys.PRED: batch[0], CommonKeys.LABEL: batch[1]})
    FindingMetric(task).attach(engine, "val_loss")
    return dict(engine.run(batches).metrics)


@pytest.mark.parametrize("batch_size", [1, 4, 11])
def test_the_loss_is_that_of_all_studies_whatever_the_batch(batch_size: int) -> None:
    logits, labels = problem("multilabel")
    found = validate("multilabel", batch_size)
    assert found["val_loss"] == pytest.approx(float(finding_loss(logits, labels, "multilabel")), abs=1e-6)
    known = ~labels.isnan()
    areas = [
        [score(labels[known[:, c], c], logits[known[:, c], c]) for c in range(3)]
        for score in (roc_auc_score, average_precision_score)
    ]
    assert found["val_auroc"] == pytest.approx(sum(areas[0]) / 3)
    assert found["val_auprc"] == pytest.approx(sum(areas[1]) / 3)
    assert "val_accuracy" not in found


def test_of_several_classes_there_is_an_accuracy() -> None:
    logits, labels = problem("multiclass")
    found = validate("multiclass", 4)
    assert found["val_accuracy"] == pytest.approx(float((logits.argmax(1) == labels.argmax(1)).float().mean()))


@pytest.mark.dist
def test_two_ranks_with_unequal_shares_have_the_numbers_of_one(tmp_path: Path) -> None:
    run_ranks(validate_share, tmp_path)
    for rank in (0, 1):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert found == pytest.approx(validate("multilabel", 4), abs=1e-12)


def validate_share(rank: int, folder: Path) -> None:
    with in_group(rank, folder):
        torch.save(validate("multilabel", 2, slice(0, 3) if rank == 0 else slice(3, None)), folder / f"{rank}.pt")


def test_logits_that_are_not_finite_have_a_loss_that_is_not_and_no_more() -> None:
    engine = Engine(lambda _, batch: {CommonKeys.PRED: batch, CommonKeys.LABEL: torch.ones(1, 2)})
    FindingMetric().attach(engine, "val_loss")
    found = engine.run([torch.full((1, 2), math.nan)]).metrics
    assert math.isnan(found["val_loss"])
    assert "val_auroc" not in found


def test_without_a_batch_there_is_no_loss() -> None:
    metric = FindingMetric()
    metric.reset()
    with pytest.raises(ValueError, match="no batch"):
        metric.compute()


@pytest.mark.parametrize(
    ("select", "given", "expected"),
    [
        pytest.param("val_loss", None, "min", id="loss"),
        pytest.param("val_auroc", None, "max", id="auroc"),
        pytest.param("val_accuracy", None, "max", id="accuracy"),
        pytest.param("val_auroc", "min", "min", id="given"),
    ],
)
def test_the_direction_is_that_of_the_measure_unless_it_is_given(select: str, given: Any, expected: str) -> None:
    assert selection_mode(select, task="multiclass", mode=given) == expected


def test_every_measure_that_can_be_selected_is_computed() -> None:
    for task in ("multilabel", "multiclass"):
        for name in validate(task, 4):
            assert selection_mode(name, task=task) in ("min", "max")


@pytest.mark.parametrize("select", ["val_aurocc", "val_accuracy"])
def test_a_measure_that_is_not_there_is_refused(select: str) -> None:
    with pytest.raises(
        ValueError, match=rf"select is '{select}', expected one of \['val_auprc', 'val_auroc', 'val_loss'\]"
    ):
        selection_mode(select)
