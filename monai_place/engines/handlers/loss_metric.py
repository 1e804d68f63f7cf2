"""The loss on the validation data, as a metric of MONAI's evaluator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from ignite.engine import Engine, Events
from ignite.metrics import Metric
from ignite.metrics.metric import reinit__is_reduced, sync_all_reduce
from monai.utils.enums import CommonKeys

from monai_place.engines.prepare import TermsLoss
from monai_place.engines.ranks import gather_bytes

__all__ = ["StudyLossMetric"]


class StudyLossMetric(Metric):
    """Mean of a loss over the validation batches, weighted by their studies; its other terms stand beside it.

    As the metric `val_loss` it gives `val_loss` and, for each further term, `val_loss_ita` and so on. A contrastive
    loss depends on the batch's size: compare values of equal batch sizes only. The evaluator needs `decollate=False`.

    Args:
        loss: of a prediction, to a dict with the key `loss`; a `TermsLoss` stands for the loss within.
        term: the term that the metric is.

    Raises:
        ValueError: the ranks have different numbers of batches, in which a loss that gathers across ranks would hang.
    """

    def __init__(self, loss: Callable[[Any], Mapping[str, torch.Tensor]], *, term: str = "loss") -> None:
        self.loss = loss.loss if isinstance(loss, TermsLoss) else loss
        self.term = term
        self._means: dict[str, float] = {}
        super().__init__(output_transform=_prediction_and_studies)

    @reinit__is_reduced
    def reset(self) -> None:
        """Forget all batches."""
        self._names: list[str] = []
        self._values = torch.zeros(0, dtype=torch.float64)
        self._weights = torch.zeros(1, dtype=torch.float64)

    @reinit__is_reduced
    def update(self, output: tuple[Any, int]) -> None:
        """Add a batch: what the network made of it, and how many studies it has."""
        prediction, studies = output
        with torch.no_grad():
            terms = self.loss(prediction)
        if self.term not in terms:
            raise KeyError(f"the loss has no term {self.term!r}; it has {sorted(terms)}")
        values = torch.stack([value.detach().double() for value in terms.values()]).cpu() * studies
        self._names = list(terms)
        self._values = values if not len(self._values) else self._values + values
        self._weights = self._weights + studies

    @sync_all_reduce("_values", "_weights")
    def compute(self) -> float:
        """Return the mean over all ranks."""
        if not float(self._weights):
            raise ValueError("there was no batch to compute the loss of")
        # Kept, because outside of this function the sums are this rank's own.
        self._means = dict(zip(self._names, (self._values / self._weights).tolist(), strict=True))
        return float(self._means[self.term])

    def completed(self, engine: Engine, name: str) -> None:
        """Put the metric and its other terms among the evaluator's metrics."""
        super().completed(engine, name)
        for term, value in self._means.items():
            if term != self.term:
                engine.state.metrics[f"{name}_{term}"] = value

    def attach(self, engine: Any, name: str, *args: Any, **kwargs: Any) -> None:
        """Attach to a MONAI evaluator, see ignite."""
        engine.add_event_handler(Events.STARTED, _check_equal_lengths)
        super().attach(engine, name, *args, **kwargs)


def _prediction_and_studies(output: Mapping[str, Any]) -> tuple[Any, int]:
    return output[CommonKeys.PRED], len(next(iter(output[CommonKeys.IMAGE].values())))


def _check_equal_lengths(engine: Any) -> None:
    lengths = [int(length) for length in gather_bytes(str(engine.state.epoch_length).encode())]
    if len(set(lengths)) > 1:
        raise ValueError(
            f"the ranks have {lengths} validation batches, and a loss that gathers across ranks would hang; make the "
            "validation loader with drop_last=True, or choose a batch_size that divides the studies"
        )
