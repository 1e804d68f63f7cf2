"""The validation of a classification: loss and measures over all studies of all ranks, as a metric of MONAI."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from ignite.engine import Engine
from ignite.metrics import Metric
from ignite.metrics.metric import reinit__is_reduced
from monai.utils.enums import CommonKeys

from monai_place.engines.handlers.best_model import MetricMode
from monai_place.losses.gather import gather_across_ranks
from monai_place.losses.labels import finding_loss
from monai_place.metrics.classification import ClassificationTask, measure_classification
from monai_place.networks.image_classifier import class_probabilities

__all__ = ["FindingMetric", "selection_mode"]

MODES: dict[str, MetricMode] = {"val_loss": "min", "val_auroc": "max", "val_auprc": "max"}


def selection_mode(
    select: str, *, task: ClassificationTask = "multilabel", mode: MetricMode | None = None
) -> MetricMode:
    """Return in which direction a measure of `FindingMetric` gets better.

    Args:
        select: name of the measure, as the evaluator has it.
        task: see `FindingLoss`.
        mode: the direction; None is that of the measure.

    Raises:
        ValueError: there is no such measure.

    Example:
        >>> selection_mode("val_loss"), selection_mode("val_auroc")
        ('min', 'max')
    """
    known: dict[str, MetricMode] = MODES | ({"val_accuracy": "max"} if task == "multiclass" else {})
    if select not in known:
        raise ValueError(
            f"select is {select!r}, expected one of {sorted(known)} (task {task!r}); for a metric of your own, set "
            "selection to 'min' or 'max'"
        )
    return mode or known[select]


class FindingMetric(Metric):
    """The loss of `FindingLoss` over all validation studies at once; AUROC, AUPRC and accuracy stand beside it.

    Unlike a mean of batch losses it depends neither on the batch size nor on the number of ranks. As the metric
    `val_loss` it gives `val_loss`, `val_auroc`, `val_auprc` (macro) and, of `multiclass`, `val_accuracy`; what is not
    defined is NaN. The evaluator needs `decollate=False`.

    Args:
        task: see `FindingLoss`.
    """

    def __init__(self, task: ClassificationTask = "multilabel") -> None:
        self.task: ClassificationTask = task
        self._values: dict[str, float] = {}
        super().__init__(output_transform=lambda output: (output[CommonKeys.PRED], output[CommonKeys.LABEL]))

    @reinit__is_reduced
    def reset(self) -> None:
        """Forget all batches."""
        self._logits: list[torch.Tensor] = []
        self._labels: list[torch.Tensor] = []

    @reinit__is_reduced
    def update(self, output: tuple[torch.Tensor, torch.Tensor]) -> None:
        """Add logits (B, C) and labels (B, C) of a batch."""
        self._logits.append(output[0].detach().float())
        self._labels.append(output[1].detach().float())

    def compute(self) -> float:
        """Return the loss over all ranks."""
        if not self._logits:
            raise ValueError("there was no batch to compute the loss of")
        logits, labels = (gather_across_ranks(torch.cat(part)).cpu().double() for part in (self._logits, self._labels))
        loss = float(finding_loss(logits, labels, self.task))
        self._values = {"loss": loss}
        if torch.isfinite(logits).all():
            probabilities = class_probabilities(logits, self.task).numpy()
            found = measure_classification(probabilities, labels.numpy(), task=self.task, resamples=0)
            self._values |= {name: found.macro[name].value for name in ("auroc", "auprc")}
            if found.accuracy is not None:
                self._values["accuracy"] = found.accuracy.value
        return loss

    def completed(self, engine: Engine, name: str) -> None:
        """Put the metric and the measures among the evaluator's metrics."""
        super().completed(engine, name)
        stem = name.removesuffix("_loss")
        metrics: Mapping[str, float] = {f"{stem}_{key}": value for key, value in self._values.items() if key != "loss"}
        engine.state.metrics.update(metrics)
