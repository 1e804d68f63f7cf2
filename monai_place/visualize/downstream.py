"""Downstream training on the page of a run: one network against another, seed by seed, and pictures of predictions."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from monai_place.visualize.estimates import format_number
from monai_place.visualize.inputs import check_shown_image
from monai_place.visualize.pictures import embed_image, outline_path

__all__ = ["DownstreamExample", "DownstreamTask", "build_downstream"]

Array = npt.NDArray[Any]
MOST_EXAMPLES = 4  # a task
_PICTURE = 200  # longer side in pixels


@dataclass(frozen=True, eq=False)
class DownstreamExample:
    """One picture of the test split with its truth and what each network predicts.

    Args:
        image: (H, W) in [0, 1].
        truth: regions of the truth: masks (H, W), or boxes (4,) of x0, y0, x1, y1 in pixels.
        predictions: network -> regions, likewise.

    Raises:
        ValueError: an image or a region is of another shape.
    """

    image: Array
    truth: Sequence[Array]
    predictions: Mapping[str, Sequence[Array]]

    def __post_init__(self) -> None:
        shape = check_shown_image(self.image).shape
        for region in [*self.truth, *(region for regions in self.predictions.values() for region in regions)]:
            if np.shape(region) not in (shape, (4,)):
                raise ValueError(f"a region is a mask {shape} or a box (4,), got the shape {np.shape(region)}")


@dataclass(frozen=True, eq=False)
class DownstreamTask:
    """A task that several networks were trained for with the same budget.

    Args:
        name: such as "Segmentation of findings".
        metric: what the scores are, in words: "Dice, mean over pictures and findings".
        scores: network -> one number per seed; first the pretrained network, then what it is compared with.
        setting: how they were trained, in a sentence.
        examples: pictures with predictions of the first seed.

    Raises:
        ValueError: there is no score.
    """

    name: str
    metric: str
    scores: Mapping[str, Sequence[float]]
    setting: str = ""
    examples: Sequence[DownstreamExample] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        if not self.scores or not all(self.scores.values()):
            raise ValueError(f"scores of {self.name!r} must hold at least one number per network, got {self.scores}")


def build_downstream(tasks: Sequence[DownstreamTask]) -> list[dict[str, Any]]:
    """Turn tasks into what the template shows."""
    return [
        {
            "name": task.name,
            "metric": task.metric,
            "setting": task.setting,
            "rows": [_row(name, numbers) for name, numbers in task.scores.items()],
            "examples": [_example(example) for example in task.examples[:MOST_EXAMPLES]],
        }
        for task in tasks
    ]


def _row(name: str, numbers: Sequence[float]) -> dict[str, Any]:
    spread = format_number(statistics.stdev(numbers), digits=3) if len(numbers) > 1 else ""
    return {
        "name": name,
        "mean": format_number(statistics.mean(numbers), digits=3),
        "spread": spread,
        "seeds": [format_number(number, digits=3) for number in numbers],
    }


def _example(example: DownstreamExample) -> dict[str, Any]:
    height, width = np.shape(example.image)
    return {
        "width": width,
        "height": height,
        "image": embed_image(example.image, largest=_PICTURE),
        "views": [
            {"name": name, "outline": "".join(_outline(region) for region in regions), "truth": number == 0}
            for number, (name, regions) in enumerate([("truth", example.truth), *example.predictions.items()])
        ],
    }


def _outline(region: Array) -> str:
    if np.shape(region) == (4,):
        x0, y0, x1, y1 = (round(float(value), 1) for value in region)
        return f"M{x0:g} {y0:g}L{x1:g} {y0:g}L{x1:g} {y1:g}L{x0:g} {y1:g}Z"
    return outline_path(region)
