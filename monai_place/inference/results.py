"""What inference returns: frozen dataclasses with named fields.

`source` names the input: a file by its path below the folder that all files of a call share, anything else by its
place in the call. Nothing in a result comes from the tags of a DICOM file.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

__all__ = ["Classification", "FailedImage", "FindingScores", "GroundedSentence", "ImageEmbeddings"]


@dataclass(frozen=True)
class FailedImage:
    """An input that could not be used.

    Args:
        index: its place in the call.
        source: its name.
        reason: why, for a person to read.
    """

    index: int
    source: str
    reason: str


@dataclass(frozen=True)
class ImageEmbeddings:
    """Global embeddings of the M inputs that could be read.

    Args:
        embeddings: (M, D) float32, unit norm.
        indices: place of each in the call.
        sources: name of each.
        failed: the other inputs.
    """

    embeddings: torch.Tensor
    indices: tuple[int, ...]
    sources: tuple[str, ...]
    failed: tuple[FailedImage, ...] = ()


@dataclass(frozen=True)
class FindingScores:
    """Zero-shot findings of one image. Not a medical device.

    Args:
        index: its place in the call.
        source: its name.
        probabilities: by finding, in [0, 1]; not calibrated.
        scores: by finding, before the sigmoid.
    """

    index: int
    source: str
    probabilities: dict[str, float]
    scores: dict[str, float]


@dataclass(frozen=True)
class Classification:
    """Zero-shot findings of a list of images. Not a medical device.

    Args:
        findings: names, in order.
        mode: how images and prompts were compared.
        results: one for each image that could be read.
        failed: the other inputs.
    """

    findings: tuple[str, ...]
    mode: str
    results: tuple[FindingScores, ...]
    failed: tuple[FailedImage, ...] = ()


@dataclass(frozen=True)
class GroundedSentence:
    """Where an image shows what a sentence says. Not a medical device.

    Args:
        source: name of the image.
        text: the sentence.
        evidence: (H, W) float32 on the pixels of the image file; larger where the image speaks for the sentence, NaN
            where the model did not see the image.
        score: how well the image fits the sentence, in [-1, 1].
    """

    source: str
    text: str
    evidence: npt.NDArray[np.float32]
    score: float

    @property
    def peak(self) -> tuple[int, int]:
        """Row and column of the largest evidence."""
        row, column = np.unravel_index(int(np.nanargmax(self.evidence)), self.evidence.shape)
        return int(row), int(column)
