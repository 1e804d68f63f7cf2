"""The best report generator so far as a whole folder, ready to write reports."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from monai_place.data.report_format import ReportFormat
from monai_place.data.tokens import ReportTokenizer
from monai_place.engines.handlers.best_model import MetricMode
from monai_place.engines.handlers.model_folder import BestModelFolderHandler
from monai_place.networks.decoders import decoder_settings
from monai_place.preprocess import PreprocessSpec
from monai_place.weights.generator_folder import save_generator_folder

__all__ = ["BestGeneratorFolderHandler"]


class BestGeneratorFolderHandler(BestModelFolderHandler):
    """As `BestModelFolderHandler`, but what is saved is the folder of a report generator.

    Args:
        folder: of the generator.
        network: a `ReportGenerator`; out of DistributedDataParallel and torch.compile.
        preprocess: that of the encoder.
        tokenizer: of the decoder.
        place_tokenizer: of PLACE's report encoder.
        report_format: of what is written.
        classes: findings of the data set, may be empty.
        extra: plain JSON values to keep beside.
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
        place_tokenizer: ReportTokenizer,
        report_format: ReportFormat,
        classes: Sequence[str] = (),
        extra: Mapping[str, Any] | None = None,
        metric: str | None = None,
        mode: MetricMode = "min",
    ) -> None:
        super().__init__(
            folder,
            network,
            preprocess=preprocess,
            tokenizer=tokenizer,
            classes=classes,
            extra=extra,
            metric=metric,
            mode=mode,
        )
        self.place_tokenizer = place_tokenizer
        self.report_format = report_format

    def write(self, model: Any, extra: Mapping[str, Any]) -> None:
        """Write the folder of a network out of its wrappers."""
        save_generator_folder(
            self.path.parent,
            model,
            decoder=decoder_settings(model.decoder),
            preprocess=self.preprocess,
            tokenizer=self.tokenizer,
            place_tokenizer=self.place_tokenizer,
            report_format=self.report_format.to_dict(),
            classes=self.classes,
            extra=extra,
        )
