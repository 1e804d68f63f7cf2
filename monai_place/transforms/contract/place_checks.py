"""Whether what belongs to a place of the picture stays with it: the affine, masks, boxes, the way back."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform

from monai_place.transforms.contract.report import CheckFailedError, NotApplicableError
from monai_place.transforms.contract.sample import BOXES, IMAGE, MASK, SIZES, Point, Sample, dot_center, same
from monai_place.transforms.contract.subject import Subject
from monai_place.transforms.steps import PictureMove, picture_move

__all__ = ["check_affine", "check_boxes", "check_inverse", "check_masks"]

NEAR = 1.5  # pixels
SEEDS = (0, 1, 2, 3)
CROP = "crop with monai.transforms.SpatialCrop, resample with monai.transforms.Affine or Zoom: they keep the affine"


def check_affine(subject: Subject) -> str:
    """A transform that moves pixels says so by the affine, from which masks, boxes and maps follow."""
    moves = False
    for trial in _trials(subject):
        moves = moves or not trial.move.is_none
        if trial.dot is None:
            continue
        (u, v), (x, y) = trial.expected, trial.dot
        if math.hypot(u - x, v - y) > NEAR * trial.scale:
            raise CheckFailedError(
                f"moves the dot of a {trial.name} picture to ({x:.1f}, {y:.1f}), by the affine it lies at "
                f"({u:.1f}, {v:.1f})",
                CROP,
            )
    return "pixels move, and the affine says where: masks, boxes and maps follow" if moves else "no pixel moves"


def check_masks(subject: Subject) -> str:
    """A mask that it changes lies where the image shows what it marks."""
    trials = _trials(subject)
    if all(same(trial.before[MASK], trial.after.get(MASK)) for trial in trials):
        raise NotApplicableError(_left_alone("masks", trials))
    for trial in trials:
        mask = np.asarray(trial.after[MASK])
        if mask.shape != tuple(trial.after[IMAGE].shape):
            raise CheckFailedError(f"gives a mask {mask.shape} for an image {tuple(trial.after[IMAGE].shape)}")
        if not set(np.unique(mask)) <= {0, 2}:
            raise CheckFailedError(
                f"mixes the integers of a mask: {np.unique(mask).tolist()[:4]} of 0 and 2",
                "resample masks with mode='nearest'",
            )
        if trial.dot is not None and not _holds(mask[0] == 2, trial.dot):
            raise CheckFailedError(
                f"the dot of a {trial.name} picture lies at ({trial.dot[0]:.1f}, {trial.dot[1]:.1f}), outside of its "
                "mask",
                "give the mask's key to the same transform, with the same random numbers",
            )
    return "masks move with the image, their integers unmixed"


def check_boxes(subject: Subject) -> str:
    """A box that it changes lies where the image shows what it marks."""
    trials = _trials(subject)
    if all(np.array_equal(_boxes(trial.before), _boxes(trial.after)) for trial in trials):
        raise NotApplicableError(_left_alone("boxes", trials))
    for trial in trials:
        if trial.dot is None:
            continue
        x, y = trial.dot
        boxes = _boxes(trial.after)
        if not any(box[0] <= x <= box[2] and box[1] <= y <= box[3] for box in boxes):
            raise CheckFailedError(
                f"the dot of a {trial.name} picture lies at ({x:.1f}, {y:.1f}), outside of its box "
                f"{boxes.round(1).tolist()}",
                "boxes are [x0, y0, x1, y1]: x counts columns, y rows, in pixels of the image behind the transform",
            )
    return "boxes move with the image"


def check_inverse(subject: Subject) -> str:
    """What claims to be invertible brings the picture's geometry back."""
    transform = subject.make()
    if not isinstance(transform, InvertibleTransform):
        raise NotApplicableError("claims no inverse")
    if subject.sample is not None:
        raise NotApplicableError("there is no way back to a file")
    for size in SIZES.values():
        backs = []
        for dot in (True, False):
            sample = Sample(size, dot=dot)
            back: dict[Any, Any] = dict(transform.inverse(subject.run(sample, transform=transform)))
            backs.append(back[IMAGE])
        shape = tuple(backs[0].shape)
        if shape != (1, *size):
            raise CheckFailedError(f"the inverse gives {shape} for (1, {size[0]}, {size[1]})")
        if isinstance(backs[0], MetaTensor) and not np.allclose(np.asarray(backs[0].affine), np.eye(4), atol=1e-4):
            raise CheckFailedError("the inverse leaves another affine than the picture had", CROP)
        found, (row, column) = dot_center(*backs), Sample(size).center
        if found is not None and math.hypot(found[0] - column - 0.5, found[1] - row - 0.5) > NEAR:
            raise CheckFailedError(
                f"the inverse brings the dot to ({found[0]:.1f}, {found[1]:.1f}) in place of ({column}.5, {row}.5)"
            )
    return "the inverse brings shape, affine and the dot back"


class _Trial:
    """A record before and behind a transform, and where the dot went."""

    def __init__(self, subject: Subject, name: str, seed: int) -> None:
        if subject.sample is not None:
            raise NotApplicableError("nothing is planted in the sample file")
        self.name = name
        sample = Sample(SIZES[name])
        self.before = subject.record(sample)
        self.after = subject.run(sample, seed=seed)
        image = self.after.get(IMAGE)
        if not isinstance(image, torch.Tensor) or image.ndim != 3:
            raise NotApplicableError("gives no image (1, H, W)")
        self.move: PictureMove = picture_move(self.before[IMAGE], image)
        without = subject.run(Sample(sample.size, dot=False), seed=seed)[IMAGE]
        same_shape = tuple(without.shape) == tuple(image.shape)
        self.dot: Point | None = dot_center(image, without) if same_shape else None
        row, column = sample.center
        x, y, _ = self.move.matrix @ [column + 0.5, row + 0.5, 1.0]
        self.expected: Point = (float(x), float(y))
        self.scale = max(1.0, math.sqrt(abs(np.linalg.det(self.move.matrix[:2, :2]))))


def _trials(subject: Subject) -> list[_Trial]:
    """Try both shapes, and several seeds of what is random."""
    seeds = SEEDS if subject.is_random else SEEDS[:1]
    return [_Trial(subject, name, seed) for name in SIZES for seed in seeds]


def _left_alone(what: str, trials: list[_Trial]) -> str:
    moves = any(not trial.move.is_none for trial in trials)
    return f"leaves {what} alone; they follow by the affine" if moves else f"neither pixels nor {what} move"


def _boxes(record: Mapping[Hashable, Any]) -> npt.NDArray[np.float64]:
    return np.asarray(record.get(BOXES, ()), dtype=np.float64).reshape(-1, 4)


def _holds(inside: Any, point: Point) -> bool:
    column, row = (math.floor(value) for value in point)
    rows, columns = inside.shape
    return 0 <= row < rows and 0 <= column < columns and bool(inside[row, column])
