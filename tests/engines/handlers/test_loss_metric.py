"""The validation loss and its terms, against a plain loop; alone and among ranks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from monai.engines import SupervisedEvaluator

from monai_place.engines import StudyDataset, StudyLossMetric, TermsLoss, prepare_study_batch, study_loader
from tests.support.processes import in_group, run_ranks
from tests.support.training import MakeStudy, TinyLoss, TinyNetwork, records


def network() -> TinyNetwork:
    torch.manual_seed(0)
    return TinyNetwork()


def evaluate(metric: StudyLossMetric, *, studies: int = 10, batch_size: int = 4, **arguments: Any) -> dict[str, float]:
    evaluator = SupervisedEvaluator(
        device=torch.device("cpu"),
        val_data_loader=study_loader(StudyDataset(records(studies), [MakeStudy()]), batch_size, **arguments),
        network=network(),
        prepare_batch=prepare_study_batch,
        key_val_metric={"val_loss": metric},
        decollate=False,
    )
    evaluator.run()
    return dict(evaluator.state.metrics)


def test_it_is_the_mean_over_studies_of_the_batches_losses() -> None:
    sums = {"loss": 0.0, "ita": 0.0, "size": 0.0}
    for batch in study_loader(StudyDataset(records(10), [MakeStudy()]), 4):
        with torch.no_grad():
            terms = TinyLoss()(network().eval()(batch))
        for name, value in terms.items():
            sums[name] += float(value) * len(batch["id"])  # batches of 4, 4 and 2
    found = evaluate(StudyLossMetric(TinyLoss()))
    assert found == pytest.approx(
        {"val_loss": sums["loss"] / 10, "val_loss_ita": sums["ita"] / 10, "val_loss_size": sums["size"] / 10}
    )


def test_another_term_can_be_the_metric() -> None:
    whole = evaluate(StudyLossMetric(TinyLoss()))
    term = evaluate(StudyLossMetric(TermsLoss(TinyLoss()), term="ita"))
    assert term["val_loss"] == whole["val_loss_ita"]
    assert term["val_loss_loss"] == whole["val_loss"]
    with pytest.raises(KeyError, match=r"no term 'pcma'; it has \['ita', 'loss', 'size'\]"):
        evaluate(StudyLossMetric(TinyLoss(), term="pcma"))


def test_a_second_run_begins_anew() -> None:
    metric = StudyLossMetric(TinyLoss())
    assert evaluate(metric) == evaluate(metric)


def test_without_a_batch_there_is_no_number() -> None:
    with pytest.raises(ValueError, match="no batch"):
        StudyLossMetric(TinyLoss()).compute()


@pytest.mark.dist
def test_ranks_report_one_number_and_refuse_to_hang(tmp_path: Path) -> None:
    run_ranks(evaluate_among_ranks, tmp_path)


def evaluate_among_ranks(rank: int, folder: Path) -> None:
    alone = evaluate(StudyLossMetric(TinyLoss()), studies=8, batch_size=4)
    with in_group(rank, folder):
        # The loss gathers across ranks: the global batches are those of one process.
        shared = evaluate(StudyLossMetric(TinyLoss()), studies=8, batch_size=2)
        assert shared == pytest.approx(alone)
        with pytest.raises(ValueError, match=r"the ranks have \[3, 2\] validation batches"):
            evaluate(StudyLossMetric(TinyLoss()), studies=9, batch_size=2)
