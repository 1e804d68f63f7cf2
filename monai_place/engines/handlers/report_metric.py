"""The validation of a report generator: the loss over all reports of all ranks, as a metric of MONAI."""

from __future__ import annotations

from typing import Any

import torch
from ignite.engine import Engine
from ignite.metrics import Metric
from ignite.metrics.metric import reinit__is_reduced, sync_all_reduce
from monai.utils.enums import CommonKeys

from monai_place.engines.prepare import TermsLoss
from monai_place.losses.report import ReportTokenLoss

__all__ = ["ReportLossMetric"]


class ReportLossMetric(Metric):
    """The loss of `ReportTokenLoss` over all validation reports at once, and the share of tokens that were foretold.

    It depends neither on the batch size nor on how many processes share the reports, nor on whether each has as many;
    reports without a token to learn take no part. As the metric `val_loss` it gives `val_loss` and
    `val_loss_token_accuracy`. The evaluator needs `decollate=False`, and on several ranks the network itself, out of
    DistributedDataParallel, which waits for the others at each batch.

    Args:
        loss: of the training; a `TermsLoss` stands for the loss within.
    """

    def __init__(self, loss: ReportTokenLoss | TermsLoss) -> None:
        self.loss: Any = loss.loss if isinstance(loss, TermsLoss) else loss
        self._accuracy = float("nan")
        super().__init__(output_transform=lambda output: output[CommonKeys.PRED])

    @reinit__is_reduced
    def reset(self) -> None:
        """Forget all batches."""
        self._sums = torch.zeros(3, dtype=torch.float64)

    @reinit__is_reduced
    def update(self, output: Any) -> None:
        """Add what the network made of a batch."""
        with torch.no_grad():
            self._sums = self._sums + self.loss.of_reports(output).double().sum(dim=0).cpu()

    @sync_all_reduce("_sums")
    def compute(self) -> float:
        """Return the loss over all ranks."""
        loss, hits, reports = self._sums.tolist()
        if not reports:
            raise ValueError("there was no report with a token to learn to compute the loss of")
        # Kept, because outside of this function the sums are this rank's own.
        self._accuracy = hits / reports
        return float(loss / reports)

    def completed(self, engine: Engine, name: str) -> None:
        """Put the metric and the share of tokens among the evaluator's metrics."""
        super().completed(engine, name)
        engine.state.metrics[f"{name}_token_accuracy"] = self._accuracy
