"""Random pose: image, masks and boxes in one step.

There is no horizontal flip here, and none is offered. Laterality is sacred in a chest radiograph: a flip moves the
heart to the right, which is a disease of its own (dextrocardia), and a report that says "left pleural effusion" is
false of the flipped image; a model that is trained on such pairs learns that left and right are the same word. Small
rotation, scale and shift are what positioning at the detector varies.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.transforms import InvertibleTransform, MapTransform, RandomizableTransform
from monai.utils import TraceKeys, ensure_tuple

from monai_place.transforms.tracking import move_boxes, plain, pushed, spatial_size, untracked

__all__ = ["RadiographPose", "RandRadiographAffined", "pose_matrix", "warp_image"]

Matrix = npt.NDArray[np.floating]
SWAP = np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, 1]])  # (x, y) <-> (row, column)


@dataclass(frozen=True)
class RadiographPose:
    """A pose of the picture on its own grid.

    Args:
        rotation_degrees: turns the picture clockwise as it is seen.
        scale: above 1 enlarges it.
        shift_x: moves it to the right, in parts of its width.
        shift_y: moves it down, in parts of its height.
    """

    rotation_degrees: float = 0.0
    scale: float = 1.0
    shift_x: float = 0.0
    shift_y: float = 0.0


def pose_matrix(pose: RadiographPose, height: int, width: int) -> Matrix:
    """Return (3, 3), from a point (x, y, 1) of the picture to where the pose moves it, in pixels about the center.

    Example:
        >>> pose_matrix(RadiographPose(shift_x=0.5), 10, 20) @ [3, 4, 1]
        array([13.,  4.,  1.])
    """
    angle = math.radians(pose.rotation_degrees)
    cos, sin = pose.scale * math.cos(angle), pose.scale * math.sin(angle)
    x, y = width / 2, height / 2
    # y runs down, so a positive angle turns clockwise.
    return np.array(
        [
            [cos, -sin, x - cos * x + sin * y + pose.shift_x * width],
            [sin, cos, y - sin * x - cos * y + pose.shift_y * height],
            [0, 0, 1],
        ]
    )


def warp_image(image: torch.Tensor, matrix: Matrix, *, mode: str = "bilinear") -> torch.Tensor:
    """Move (C, H, W) by a matrix from `pose_matrix`; what comes from outside is zero.

    Args:
        image: floating point.
        matrix: from points before to points after.
        mode: `bilinear` or `nearest`.
    """
    height, width = image.shape[1:]
    # From pixels to the interval [-1, 1] that grid_sample counts in, and back.
    unit = np.array([[2 / width, 0, -1], [0, 2 / height, -1], [0, 0, 1]])
    theta = unit @ np.linalg.inv(matrix) @ np.linalg.inv(unit)
    grid = F.affine_grid(torch.from_numpy(theta[None, :2]).to(image), [1, 1, height, width], align_corners=False)
    return F.grid_sample(image[None], grid, mode=mode, padding_mode="zeros", align_corners=False)[0]


def _index_affine(matrix: Matrix) -> Matrix:
    """Return (3, 3), from an index (row, column) after to one before: MONAI's direction, and pixel centers at +0.5."""
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    affine: Matrix = SWAP @ np.linalg.inv(half) @ np.linalg.inv(matrix) @ half @ SWAP
    return affine


class RandRadiographAffined(RandomizableTransform, MapTransform, InvertibleTransform):
    """Random rotation, scale and shift of a record: images, masks and boxes move in step; invertible.

    Never flips: see the module's text. A box becomes the upright rectangle around its turned self, clipped; it is
    dropped, with its labels, where nothing of it is left. What comes into view from outside is zero, so put this after
    `FitRadiographd` and before `NormalizeRadiographd`.

    Args:
        keys: of images (C, H, W) of one size.
        mask_keys: of masks of that size; a record without, or with null, is left as it is.
        prob: chance that a record is moved.
        rotation_degrees: largest angle to either side.
        scale: largest change of size to either side: 0.1 draws from 0.9 to 1.1.
        shift: largest shift to either side in parts of the image's side.
        boxes_key: of boxes [[x0, y0, x1, y1], ...] in pixels.
        box_label_keys: of lists with one entry a box.
        allow_missing_keys: skip an image key that is missing.

    Raises:
        ValueError: images or masks of one record differ in size.

    Example:
        >>> move = RandRadiographAffined("image", prob=1.0).set_random_state(seed=0)
        >>> move({"image": torch.ones(1, 16, 16)})["image"].shape
        torch.Size([1, 16, 16])
    """

    def __init__(
        self,
        keys: KeysCollection,
        mask_keys: KeysCollection = (),
        *,
        prob: float = 0.8,
        rotation_degrees: float = 8.0,
        scale: float = 0.1,
        shift: float = 0.05,
        boxes_key: Hashable | None = None,
        box_label_keys: KeysCollection = (),
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        RandomizableTransform.__init__(self, prob)
        if rotation_degrees < 0 or shift < 0 or not 0 <= scale < 1:
            raise ValueError(
                "rotation_degrees and shift must be at least 0 and scale in [0, 1), "
                f"got {rotation_degrees}, {shift} and {scale}"
            )
        self.rotation_degrees = rotation_degrees
        self.scale = scale
        self.shift = shift
        self.mask_keys: tuple[Hashable, ...] = ensure_tuple(mask_keys)
        self.boxes_key = boxes_key
        self.box_label_keys: tuple[Hashable, ...] = ensure_tuple(box_label_keys)
        self.pose = RadiographPose()

    def randomize(self, data: Any = None) -> None:
        """Draw the pose of the next record into `self.pose`."""
        super().randomize(data)
        if self._do_transform:
            self.pose = RadiographPose(
                rotation_degrees=self.R.uniform(-self.rotation_degrees, self.rotation_degrees),
                scale=self.R.uniform(1 - self.scale, 1 + self.scale),
                shift_x=self.R.uniform(-self.shift, self.shift),
                shift_y=self.R.uniform(-self.shift, self.shift),
            )

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Move what lies under the keys by a random pose."""
        d = dict(data)
        self.randomize()
        present = self._present(d)
        sizes = {spatial_size(d[key]) for key, _ in present}
        if len(sizes) > 1:
            raise ValueError(f"images and masks of a record must have one size, got {sorted(sizes)}")
        if not sizes:
            return d
        (size,) = sizes
        # Not moved is noted too: the inverse of a chain asks each transform for its note.
        matrix = pose_matrix(self.pose, *size) if self._do_transform else np.eye(3)
        affine = _index_affine(matrix) if self._do_transform else None
        for key, mode in present:
            values = plain(d[key]).float()
            moved = warp_image(values, matrix, mode=mode) if self._do_transform else values
            d[key] = pushed(self, d[key], moved, affine=affine, extra={"matrix": matrix.tolist(), "mode": mode})
        if self._do_transform:
            move_boxes(d, self.boxes_key, self.box_label_keys, lambda boxes: _turn_boxes(boxes, matrix), size)
        return d

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Move images and masks back; boxes stay, since an upright rectangle around a turned one does not turn back."""
        d = dict(data)
        for key, _ in self._present(d):
            trace = self.pop_transform(d[key])
            if trace[TraceKeys.DO_TRANSFORM]:
                back = np.linalg.inv(np.asarray(trace[TraceKeys.EXTRA_INFO]["matrix"], dtype=np.float64))
                mode = "nearest" if "nearest" in trace[TraceKeys.EXTRA_INFO]["mode"] else "bilinear"
                moved = warp_image(plain(d[key]).float(), back, mode=mode)
                d[key] = untracked(d[key], moved, _index_affine(back))
        return d

    def _present(self, data: dict[Hashable, Any]) -> list[tuple[Hashable, str]]:
        images = [(key, "bilinear") for key in self.key_iterator(data)]
        return images + [(key, "nearest") for key in self.mask_keys if data.get(key) is not None]


def _turn_boxes(boxes: npt.NDArray[np.float32], matrix: Matrix) -> npt.NDArray[np.float64]:
    """Return the upright rectangles around moved boxes (n, 4)."""
    corners = boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]].astype(np.float64)  # (n, 4, 2)
    moved = corners @ matrix[:2, :2].T + matrix[:2, 2]
    return np.concatenate([moved.min(axis=1), moved.max(axis=1)], axis=1)
