"""What report generation returns: reports, their sentences, and where each sentence came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from monai_place.data.report_format import format_report
from monai_place.inference.results import FailedImage, GroundedSentence

__all__ = ["EvidenceChoice", "GeneratedReport", "GeneratedReports", "GeneratedSentence"]

EvidenceChoice = Literal["attention", "grounding"]


@dataclass(frozen=True, eq=False)
class GeneratedSentence:
    """A sentence that a model wrote. Not a medical device.

    Args:
        text: the sentence.
        section: `findings` or `impression`.
        evidence: (H, W) float32 on the pixels of the image file, NaN where the model did not see the image; None where
            it was not asked for. What it means: see `ReportWriter.generate`.
        score: of `grounding`, how well the image fits the sentence, in [-1, 1]; NaN of `attention`.
    """

    text: str
    section: str
    evidence: npt.NDArray[np.float32] | None = None
    score: float = float("nan")

    @property
    def peak(self) -> tuple[int, int] | None:
        """Row and column of the largest evidence; None where there is none."""
        if self.evidence is None or np.isnan(self.evidence).all():
            return None
        row, column = np.unravel_index(int(np.nanargmax(self.evidence)), self.evidence.shape)
        return int(row), int(column)


@dataclass(frozen=True, eq=False)
class GeneratedReport:
    """A draft that a model wrote of one image. Not a medical device.

    Args:
        index: the image's place in the call.
        source: the image's name.
        sentences: in order.
        sections: what the model writes.
    """

    index: int
    source: str
    sentences: tuple[GeneratedSentence, ...]
    sections: tuple[str, ...]

    @property
    def text(self) -> str:
        """The whole report; with two sections each has its heading."""
        parts: dict[str, list[str]] = {}
        for sentence in self.sentences:
            parts.setdefault(sentence.section, []).append(sentence.text)
        return format_report(parts, self.sections)

    def grounded(self) -> tuple[GroundedSentence, ...]:
        """Return the sentences that have evidence, for `write_overlays`."""
        return tuple(
            GroundedSentence(self.source, sentence.text, sentence.evidence, sentence.score)
            for sentence in self.sentences
            if sentence.evidence is not None
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, without the maps."""
        return {
            "source": self.source,
            "text": self.text,
            "sentences": [
                {
                    "text": sentence.text,
                    "section": sentence.section,
                    "peak": None if sentence.peak is None else list(sentence.peak),
                    "score": None if np.isnan(sentence.score) else sentence.score,
                }
                for sentence in self.sentences
            ],
        }


@dataclass(frozen=True, eq=False)
class GeneratedReports:
    """Drafts of a list of images. Not a medical device.

    Args:
        results: one for each image that could be read.
        failed: the other inputs.
    """

    results: tuple[GeneratedReport, ...]
    failed: Sequence[FailedImage] = ()
