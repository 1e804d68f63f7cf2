"""The best model so far as a whole model folder, ready for inference and for OpenMMLab."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from monai_place.data.tokens import ReportTokenizer
from monai_place.engines.handlers.best_model import BestModelHandler, MetricMode
from monai_place.engines.ranks import run_on_first_rank, unwrap_network
from monai_place.preprocess import PreprocessSpec
from monai_place.weights import save_model_folder

__all__ = ["BestModelFolderHandler"]


class BestModelFolderHandler(BestModelHandler):
    """As `BestModelHandler`, but what is saved is a model folder: weights, backbone, tokenizer, description.

    Args:
        folder: of the model, such as the bundle's `models`.
        network: whose weights; out of DistributedDataParallel and torch.compile.
        preprocess: how a radiograph becomes its input.
        tokenizer: its tokenizer.
        classes: findings of the data set, may be empty.
        extra: plain JSON values to keep beside, such as the loss's temperatures.
        metric: name in the evaluator's metrics; by default its key metric.
        mode: `max` or `min`.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        network: nn.Module,
        *,
        preprocess: PreprocessSpec,
        tokenizer: ReportTokenizer,
        classes: Sequence[str] = (),
        extra: Mapping[str, Any] | None = None,
        metric: str | None = None,
        mode: MetricMode = "max",
    ) -> None:
        super().__init__(Path(folder) / "model.pt", network, metric=metric, mode=mode)
        self.preprocess = preprocess
        self.tokenizer = tokenizer
        self.classes = list(classes)
        self.extra = dict(extra or {})

    def save(self, value: float, epoch: int) -> None:
        """Write the folder, on the first rank."""
        extra = {**self.extra, "best": {"metric": self.metric, "value": value, "epoch": epoch}}
        run_on_first_rank(lambda: self.write(unwrap_network(self.network), extra))

    def write(self, model: Any, extra: Mapping[str, Any]) -> None:
        """Write the folder of a network out of its wrappers."""
        save_model_folder(
            self.path.parent,
            model,
            preprocess=self.preprocess,
            tokenizer=self.tokenizer,
            classes=self.classes,
            extra=extra,
        )
