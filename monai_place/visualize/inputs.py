"""What the figures and the run report are made of: plain arrays, numbers and texts in frozen dataclasses.

Letters: B studies, C findings (classes), H W pixels. Images are (H, W) floats in [0, 1], row 0 at the top.
Wherever an estimate is asked for, a plain number, (value, low, high), a mapping with these keys, or None will do.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from monai_place.visualize.estimates import as_estimate

__all__ = [
    "Diagnostic",
    "GroundingExample",
    "RetrievalExample",
    "RetrievedItem",
    "RocScores",
    "RunReport",
    "check_heat",
    "check_mask",
    "check_shown_image",
]

Array = npt.NDArray[Any]
_OVERSHOOT = 1e-3  # what interpolation may add to a picture in [0, 1]


def check_shown_image(image: Array, *, name: str = "image") -> npt.NDArray[np.float32]:
    """Return `image` as float32 in [0, 1], or say what is wrong with it.

    Args:
        image: the picture, (H, W) floats in [0, 1].
        name: what to call it in an error.

    Raises:
        ValueError: if it is not two-dimensional, not of floats, or leaves [0, 1].
    """
    picture = np.asarray(image)
    if picture.ndim != 2 or picture.size == 0:
        raise ValueError(f"{name} must have the shape (H, W), got {picture.shape}")
    if not np.issubdtype(picture.dtype, np.floating):
        raise ValueError(f"{name} must hold floats in [0, 1], got {picture.dtype}")
    low, high = float(picture.min()), float(picture.max())
    if math.isnan(low) or low < -_OVERSHOOT or high > 1 + _OVERSHOOT:
        raise ValueError(f"{name} must hold floats in [0, 1], got values from {low:g} to {high:g}")
    return np.clip(picture, 0, 1).astype(np.float32)


def check_heat(heat: Array, *, shape: tuple[int, ...], name: str = "heat") -> npt.NDArray[np.float64]:
    """Return `heat` as float64, or say what is wrong with it. NaN means no answer and is kept.

    Args:
        heat: the map, (H, W).
        shape: shape of the image that it belongs to.
        name: what to call it in an error.

    Raises:
        ValueError: if it is of another shape than its image, or holds infinities.
    """
    values = np.asarray(heat, dtype=np.float64)
    if values.shape != shape:
        raise ValueError(f"{name} must have the shape of its image {shape}, got {values.shape}")
    if np.isinf(values).any():
        raise ValueError(f"{name} must be finite, or NaN where there is no answer; got infinities")
    return values


def check_mask(mask: Array, *, shape: tuple[int, ...], name: str = "mask") -> npt.NDArray[np.bool_]:
    """Return `mask` as booleans, or say what is wrong with it.

    Args:
        mask: the true region, (H, W); anything above zero is inside.
        shape: shape of the image that it belongs to.
        name: what to call it in an error.

    Raises:
        ValueError: if it is of another shape than its image.
    """
    region = np.asarray(mask)
    if region.shape != shape:
        raise ValueError(f"{name} must have the shape of its image {shape}, got {region.shape}")
    return region > 0


@dataclass(frozen=True, eq=False)
class RocScores:
    """Scores and labels of a test split, for curves and for the table of findings.

    Args:
        scores: one (B, C) array a way of scoring, by its name, such as "global" and "local"; higher means present.
        labels: (B, C) of 0, 1 and NaN (not known).
        classes: C names of findings.
        auroc: for each way of scoring, C estimates; computed here, without intervals, where left out.
        macro: for each way of scoring, the estimate of the mean over findings.

    Raises:
        ValueError: if shapes do not fit each other or a label is none of 0, 1, NaN.
    """

    scores: Mapping[str, Array]
    labels: Array
    classes: Sequence[str]
    auroc: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    macro: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        labels = np.asarray(self.labels, dtype=np.float64)
        if labels.ndim != 2 or labels.shape[1] != len(self.classes):
            raise ValueError(f"labels must have the shape (B, C) with C = {len(self.classes)}, got {labels.shape}")
        wrong = set(np.unique(labels[~np.isnan(labels)])) - {0.0, 1.0}
        if wrong:
            raise ValueError(f"labels must be 0, 1 or NaN, got {sorted(wrong)[:5]}")
        if not self.scores:
            raise ValueError("scores must hold at least one way of scoring, got none")
        for name, values in self.scores.items():
            if np.shape(values) != labels.shape:
                raise ValueError(
                    f"scores[{name!r}] must have the shape of labels {labels.shape}, got {np.shape(values)}"
                )
        for name, estimates in self.auroc.items():
            if len(estimates) != len(self.classes):
                raise ValueError(f"auroc[{name!r}] must hold {len(self.classes)} estimates, got {len(estimates)}")


@dataclass(frozen=True, eq=False)
class RetrievedItem:
    """One answer to a query: a report's text or an image, its score, and whether it is a right one."""

    score: float
    right: bool
    text: str | None = None
    image: Array | None = None


@dataclass(frozen=True, eq=False)
class RetrievalExample:
    """One query with its best answers, best first: an image that looks for reports, or a text that looks for images.

    Args:
        items: the answers, usually five.
        query_image: (H, W) in [0, 1]; this or `query_text`.
        query_text: a sentence or report.
        right_rank: rank of the first right answer among all candidates, from 1; None where it is not known.
        candidates: how many candidates there were; None where it is not known.

    Raises:
        ValueError: if both or neither of the queries are given.
    """

    items: Sequence[RetrievedItem]
    query_image: Array | None = None
    query_text: str | None = None
    right_rank: int | None = None
    candidates: int | None = None

    def __post_init__(self) -> None:
        if (self.query_image is None) == (self.query_text is None):
            raise ValueError("a retrieval example needs query_image or query_text, and not both")


@dataclass(frozen=True, eq=False)
class GroundingExample:
    """One sentence with the place in the image where the model sees it.

    Args:
        image: (H, W) in [0, 1].
        sentence: the sentence that was grounded.
        heat: the model's map, (H, W), NaN where it has no answer (outside its crop).
        mask: the true region, (H, W); None where it is not known.
        prior: the map of the text-only location prior, (H, W), to compare with.
        scores: named numbers or words of this example, such as {"pointing game": "hit", "mIoU": 0.31}.

    Raises:
        ValueError: if a map or the mask is of another shape than the image.
    """

    image: Array
    sentence: str
    heat: Array
    mask: Array | None = None
    prior: Array | None = None
    scores: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = check_shown_image(self.image).shape
        check_heat(self.heat, shape=shape)
        if self.prior is not None:
            check_heat(self.prior, shape=shape, name="prior")
        if self.mask is not None:
            check_mask(self.mask, shape=shape)


@dataclass(frozen=True)
class Diagnostic:
    """A few numbers of one kind side by side, and what they say.

    Args:
        name: what was measured.
        values: label -> estimate; the first is the model's, the others are what it is compared with.
        unit: of all values, in words: "nats of PCMA loss".
        maximum: value at the right end of the bars; the largest value where it is None.
        reading: what the numbers say, in a sentence.
        passed: True or False where there is a bar to clear, None where there is none.
    """

    name: str
    values: Mapping[str, Any]
    unit: str = ""
    maximum: float | None = None
    reading: str = ""
    passed: bool | None = None

    def __post_init__(self) -> None:
        for value in self.values.values():
            as_estimate(value)


@dataclass(frozen=True, eq=False)
class RunReport:
    """Everything on the page of a run. Every part but the title may be left out, and is then not on the page.

    Args:
        title: head of the page.
        subtitle: one line under it.
        metrics: headline numbers: name -> estimate.
        history: rows of the training log, in order: {"iteration": 10, "loss": .., "ita": .., "lr": ..}, and rows of
            validation, {"iteration": 100, "val/auroc_global": ..}, or what `engines.read_history` returns. Terms may
            be missing in any row.
        roc: scores and labels of the test split.
        linear_probe: network -> share of the training labels (0 to 1) -> estimate. First the pretrained network, then
            what it is compared with.
        classification: how it was classified -> measure -> estimate, such as a linear probe's macro AUROC and F1.
        diagnostics: checks of the method; `monai_place.visualize.diagnostics` words the usual ones.
        retrieval_examples: queries with their best answers.
        grounding_examples: sentences with their maps.
        drafts: of `DraftExample`: images with their reports and what a model wrote.
        draft_scores: a `DraftScores`, the numbers above them.
        downstream: of `DownstreamTask`: what the pretrained network was trained for.
        settings: how the run was made: preset, steps, batch, seed, time; may be nested.
        versions: package -> version.
        notes: what a reader must know to take the numbers for what they are.
        data_note: what the data is, in a few words, beside the line that says that this is no medical device.
    """

    title: str
    subtitle: str = ""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    history: Sequence[Mapping[str, Any]] = ()
    roc: RocScores | None = None
    linear_probe: Mapping[str, Mapping[Any, Any]] = field(default_factory=dict)
    classification: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    diagnostics: Sequence[Diagnostic] = ()
    retrieval_examples: Sequence[RetrievalExample] = ()
    grounding_examples: Sequence[GroundingExample] = ()
    drafts: Sequence[Any] = ()
    draft_scores: Any = None
    downstream: Sequence[Any] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    data_note: str = ""
