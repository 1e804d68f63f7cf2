"""Dictionary transforms for report generation: the sequence to learn, and features of a frozen encoder."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform, Transform

from monai_place.data.report_format import ReportFormat
from monai_place.data.tokens import ReportTokenizer
from monai_place.networks import PLACEModel

__all__ = ["EncodeRadiographd", "ReportTargetd"]


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


class EncodeRadiographd(MapTransform):
    """Replace an image by `patch_tokens` (N, E) and `observations` (K, D) of a frozen encoder.

    It draws nothing at random, so that `StudyDataset` computes it once a study and keeps it: an epoch then costs the
    decoder alone. A study takes 4 * (N * E + K * D) bytes: 57 kB of `place_tiny`, 630 kB of `place_base`. It has to
    stand before any random transform, and is wrong where the encoder is trained.

    Args:
        keys: of the image (1, H, W).
        place: the encoder; put into evaluation mode.

    Raises:
        ValueError: more than one key is given.
    """

    def __init__(self, keys: KeysCollection, place: PLACEModel) -> None:
        super().__init__(keys)
        if len(self.keys) != 1:
            raise ValueError(f"one key is expected, got {list(self.keys)}")
        self.place = place.eval()

    @torch.no_grad()
    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return the record with the image replaced."""
        image = torch.as_tensor(data[self.keys[0]])[None]
        features = self.place.encode_image(image.to(self.place.log_temperature.device))
        kept = {key: value for key, value in data.items() if key != self.keys[0]}
        # Of a batch of one, and copied: a view would keep all tokens of the last block alive.
        tokens = {"patch_tokens": features.patch_tokens, "observations": features.observations}
        return {**kept, **{key: value[0].float().cpu().clone() for key, value in tokens.items()}}
