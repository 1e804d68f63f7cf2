"""The validation loss of reports: that of all at once, however they are shared out."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ignite.engine import Engine

from monai_place.engines import TermsLoss
from monai_place.engines.handlers.report_metric import ReportLossMetric
from monai_place.losses import ReportTokenLoss
from tests.support.processes import in_group, run_ranks


def outputs(*places: int) -> SimpleNamespace:
    """Return what a network makes of some of seven reports; the last has nothing to learn."""
    generator = torch.Generator().manual_seed(0)
    begins = torch.tensor([2, 3, 5, 1, 4, 2, 8])
    whole = {
        "logits": torch.randn(7, 8, 11, generator=generator),
        "input_ids": torch.randint(0, 11, (7, 8), generator=generator),
        "target_mask": torch.arange(8) >= begins[:, None],
    }
    return SimpleNamespace(**{name: value[list(places)] for name, value in whole.items()})


def measure(*batches: Any) -> dict[str, float]:
    engine = Engine(lambda _engine, batch: {"pred": batch})
    ReportLossMetric(TermsLoss(ReportTokenLoss())).attach(engine, "val_loss")
    engine.run(batches)
    return dict(engine.state.metrics)


def expected() -> Any:
    terms = ReportTokenLoss()(outputs(*range(6)))
    values = {"val_loss": float(terms["loss"]), "val_loss_token_accuracy": float(terms["token_accuracy"])}
    return pytest.approx(values, rel=1e-5)


def test_batches_and_reports_without_a_token_do_not_matter() -> None:
    assert measure(outputs(*range(7))) == expected()
    assert measure(outputs(0, 1, 2, 3), outputs(4), outputs(5), outputs(6)) == expected()


def test_nothing_to_learn_is_an_error() -> None:
    with pytest.raises(ValueError, match="no report with a token to learn"):
        measure(outputs(6))


def _share(rank: int, folder: Path) -> None:
    # Three batches and one: a loss that gathers would wait for ever.
    parts = [(outputs(0, 1), outputs(2), outputs(6)), (outputs(3, 4, 5),)][rank]
    with in_group(rank, folder):
        assert measure(*parts) == expected()


@pytest.mark.dist
def test_ranks_of_different_numbers_of_batches_have_the_loss_of_one(tmp_path: Path) -> None:
    run_ranks(_share, tmp_path)
