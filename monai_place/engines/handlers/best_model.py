"""The best weights so far, by a validation metric."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from ignite.engine import Events
from torch import nn

from monai_place.engines.checkpoint import save_training_state
from monai_place.engines.ranks import run_on_first_rank, unwrap_network
from monai_place.engines.steps import all_finite

__all__ = ["BestModelHandler", "FiniteMetricComparison", "MetricMode"]

MetricMode = Literal["max", "min"]

logger = logging.getLogger(__name__)


class FiniteMetricComparison:
    """MONAI's `metric_cmp_fn` with a direction, for which NaN is worse than anything.

    With MONAI's default, a first value of NaN stays the best for ever.

    Args:
        mode: `max` or `min`.

    Raises:
        ValueError: the mode is another one.

    Example:
        >>> better = FiniteMetricComparison("min")
        >>> better(0.5, 0.7), better(float("nan"), 0.7), better(0.5, float("nan"))
        (True, False, True)
    """

    def __init__(self, mode: MetricMode = "max") -> None:
        if mode not in get_args(MetricMode):
            raise ValueError(f"mode must be one of {get_args(MetricMode)}, got {mode!r}")
        self.mode = mode

    def __call__(self, current: float, best: float) -> bool:
        """Return whether `current` is better than `best`."""
        if not math.isfinite(current):
            return False
        if not math.isfinite(best):
            return True
        return current > best if self.mode == "max" else current < best


class BestModelHandler:
    """Saves the network's weights whenever a validation's metric is better than all before.

    The file is a plain state dict, loadable with `weights_only=True`, whole or absent. A metric or weights that are not
    finite are never the best. Give the handler to `ExactCheckpointHandler` as a part, so that a resumed run knows what
    it has to beat.

    Args:
        path: the file, such as `models/model.pt`.
        network: whose weights; out of DistributedDataParallel and torch.compile.
        metric: name in the evaluator's metrics; by default its key metric.
        mode: `max` or `min`.

    Raises:
        ValueError: the mode is unknown.
    """

    def __init__(
        self, path: str | os.PathLike[str], network: nn.Module, *, metric: str | None = None, mode: MetricMode = "max"
    ) -> None:
        self.path = Path(path)
        self.network = network
        self.metric = metric
        self.is_better = FiniteMetricComparison(mode)
        self.value = math.nan
        self.epoch = -1

    def attach(self, engine: Any) -> None:
        """Attach to a MONAI evaluator."""
        # The last event of its run: all metrics are there, whoever computes them.
        engine.add_event_handler(Events.COMPLETED, self._validated)

    def state_dict(self) -> dict[str, Any]:
        """Return the best value and its epoch."""
        return {"value": self.value, "epoch": self.epoch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take up the best value and its epoch."""
        self.value, self.epoch = float(state["value"]), int(state["epoch"])

    def save(self, value: float, epoch: int) -> None:
        """Write the weights, on the first rank; `value` is the metric of `epoch`."""
        weights = unwrap_network(self.network).state_dict()
        run_on_first_rank(lambda: save_training_state(self.path, weights))

    def _validated(self, engine: Any) -> None:
        if engine.should_terminate:  # cut short: its numbers are of a part of the data
            return
        name = self.metric or engine.state.key_metric_name
        if name not in engine.state.metrics:
            raise ValueError(f"the evaluator has no metric {name!r}; it has {sorted(engine.state.metrics)}")
        value = float(engine.state.metrics[name])
        if not self.is_better(value, self.value):
            return
        if not all_finite(unwrap_network(self.network).parameters()):
            logger.warning("%s is %g, but the weights are not finite; they are not saved", name, value)
            return
        self.save(value, engine.state.epoch)
        self.value, self.epoch = value, engine.state.epoch
        logger.info("best %s so far: %g in epoch %d, saved as %s", name, value, self.epoch, self.path.name)
