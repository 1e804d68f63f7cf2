"""Dictionary transform for report generation: the sequence to learn."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.transforms import Transform

from monai_place.data.report_format import ReportFormat
from monai_place.data.tokens import ReportTokenizer

__all__ = ["ReportTargetd"]


class ReportTargetd(Transform):
    """Write `input_ids` (T,) int64 of prompt and report, and `target_start`, the number of tokens of the prompt.

    Args:
        tokenizer: of the decoder.
        report_format: which part of the report is written.

    Example:
        >>> tokenizer = ReportTokenizer.train(["No effusion."] * 2, vocab_size=64)
        >>> done = ReportTargetd(tokenizer, ReportFormat(("findings",)))({"report": "No effusion."})
        >>> len(done["input_ids"]), int(done["target_start"])
        (6, 2)
    """

    def __init__(self, tokenizer: ReportTokenizer, report_format: ReportFormat) -> None:
        super().__init__()
        self.tokenizer = tokenizer
        self.report_format = report_format

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the record with the keys added."""
        encoded = self.report_format.encode(self.tokenizer, {str(key): value for key, value in data.items()})
        return {
            **data,
            "input_ids": torch.from_numpy(encoded.input_ids),
            "target_start": torch.tensor(encoded.target_start),
        }
