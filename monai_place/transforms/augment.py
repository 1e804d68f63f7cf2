"""Random pose: image, masks and boxes in one step.

There is no horizontal flip here, and none is offered. Laterality is sacred in a chest radiograph: a flip moves the
heart to the right, which is a disease of its own (dextrocardia), and a report that says "left pleural effusion" is
false of the flipped image; a model that is trained on such pairs learns that left and right are the same word. Small
rotation, scale and shift are what positioning at the detector varies.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.transforms import InvertibleTransform, MapTransform, RandomizableTransform
from monai.utils import TraceKeys, ensure_tuple

from monai_place.transforms.replay import ReplayableTransform
from monai_place.transforms.tracking import check_image, move_boxes, plain, pushed, spatial_size, untracked

__all__ = [
    "RadiographAffined",
    "RadiographPose",
    "RandRadiographAffined",
    "index_affine",
    "pose_matrix",
    "turn_boxes",
    "warp_image",
]

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


def warp_image(
    image: torch.Tensor, matrix: Matrix, *, mode: str = "bilinear", size: tuple[int, int] | None = None
) -> torch.Tensor:
    """Move (C, H, W) by a matrix from `pose_matrix`; what comes from outside is zero.

    Args:
        image: floating point.
        matrix: from points before to points after.
        mode: `bilinear` or `nearest`.
        size: (H, W) of the result; None keeps that of the image.
    """
    height, width = image.shape[1:] if size is None else size
    # From the interval [-1, 1] that grid_sample counts in to pixels after, to pixels before, and back.
    theta = _unit(*image.shape[1:]) @ np.linalg.inv(matrix) @ np.linalg.inv(_unit(height, width))
    grid = F.affine_grid(torch.from_numpy(theta[None, :2]).to(image), [1, 1, height, width], align_corners=False)
    return F.grid_sample(image[None], grid, mode=mode, padding_mode="zeros", align_corners=False)[0]


def _unit(height: int, width: int) -> Matrix:
    return np.array([[2 / width, 0, -1], [0, 2 / height, -1], [0, 0, 1]])


def index_affine(matrix: Matrix) -> Matrix:
    """Return (3, 3) from an index (row, column) after to one before, MONAI's direction, of a matrix of points.

    Args:
        matrix: (3, 3) from points (x, y) before to points after; the center of pixel 0 lies at 0.5.
    """
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    affine: Matrix = SWAP @ np.linalg.inv(half) @ np.linalg.inv(matrix) @ half @ SWAP
    return affine


class RadiographAffined(MapTransform, InvertibleTransform):
    """Move a record by a given pose, images, masks and boxes in step: `RandRadiographAffined` without chance.

    A box becomes the upright rectangle around its turned self, clipped; it is dropped, with its labels, where nothing
    of it is left. What comes into view from outside is zero, so put this after `FitRadiographd` and before
    `NormalizeRadiographd`.

    Args:
        keys: of images (1, H, W) of one size, floating point.
        pose: where to; a dictionary of its fields will do. None leaves the record as it is.
        mask_keys: of masks of that size; a record without, or with null, is left as it is.
        boxes_key: of boxes [[x0, y0, x1, y1], ...] in pixels.
        box_label_keys: of lists with one entry a box.
        allow_missing_keys: skip an image key that is missing.

    Raises:
        ValueError: images or masks of one record differ in size, or an image has another shape.
        TypeError: an image is not floating point.

    Example:
        >>> move = RadiographAffined("image", RadiographPose(shift_x=0.25))
        >>> move({"image": torch.tensor([[[1.0, 0.0, 0.0, 0.0]]])})["image"].round(decimals=4)
        tensor([[[0., 1., 0., 0.]]])
    """

    def __init__(
        self,
        keys: KeysCollection,
        pose: RadiographPose | Mapping[str, float] | None = None,
        mask_keys: KeysCollection = (),
        *,
        boxes_key: Hashable | None = None,
        box_label_keys: KeysCollection = (),
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        self.pose = RadiographPose(**pose) if isinstance(pose, Mapping) else pose
        self.mask_keys: tuple[Hashable, ...] = ensure_tuple(mask_keys)
        self.boxes_key = boxes_key
        self.box_label_keys: tuple[Hashable, ...] = ensure_tuple(box_label_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Move what lies under the keys by the pose."""
        return self._move(data, self.pose)

    def _move(self, data: Mapping[Hashable, Any], pose: RadiographPose | None) -> dict[Hashable, Any]:
        d = dict(data)
        present = self._present(d)
        sizes = {spatial_size(d[key]) for key, _ in present}
        if len(sizes) > 1:
            raise ValueError(f"images and masks of a record must have one size, got {sorted(sizes)}")
        if not sizes:
            return d
        (size,) = sizes
        # Not moved is noted too: the inverse of a chain asks each transform for its note.
        matrix = pose_matrix(pose, *size) if pose is not None else np.eye(3)
        affine = index_affine(matrix) if pose is not None else None
        for key, mode in present:
            values = plain(d[key]).float()
            moved = warp_image(values, matrix, mode=mode) if pose is not None else values
            d[key] = pushed(self, d[key], moved, affine=affine, extra={"matrix": matrix.tolist(), "mode": mode})
        if pose is not None:
            move_boxes(d, self.boxes_key, self.box_label_keys, lambda boxes: turn_boxes(boxes, matrix), size)
        return d

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Move images and masks back; boxes stay, since an upright rectangle around a turned one does not turn back."""
        d = dict(data)
        for key in [*self.key_iterator(d), *(key for key in self.mask_keys if d.get(key) is not None)]:
            trace = self.pop_transform(d[key])
            if trace[TraceKeys.DO_TRANSFORM]:
                back = np.linalg.inv(np.asarray(trace[TraceKeys.EXTRA_INFO]["matrix"], dtype=np.float64))
                mode = "nearest" if "nearest" in trace[TraceKeys.EXTRA_INFO]["mode"] else "bilinear"
                moved = warp_image(plain(d[key]).float(), back, mode=mode)
                d[key] = untracked(d[key], moved, index_affine(back))
        return d

    def _present(self, data: dict[Hashable, Any]) -> list[tuple[Hashable, str]]:
        images = [(key, "bilinear") for key in self.key_iterator(data)]
        for key, _ in images:
            check_image(data[key], key)
        return images + [(key, "nearest") for key in self.mask_keys if data.get(key) is not None]


class RandRadiographAffined(RandomizableTransform, RadiographAffined, ReplayableTransform):
    """Random rotation, scale and shift of a record, by `RadiographAffined`; invertible.

    Never flips: see the module's text.

    Args:
        keys: of images (1, H, W) of one size, floating point.
        mask_keys: of masks of that size; a record without, or with null, is left as it is.
        prob: chance that a record is moved.
        rotation_degrees: largest angle to either side.
        scale: largest change of size to either side: 0.1 draws from 0.9 to 1.1.
        shift: largest shift to either side in parts of the image's side.
        boxes_key: of boxes [[x0, y0, x1, y1], ...] in pixels.
        box_label_keys: of lists with one entry a box.
        allow_missing_keys: skip an image key that is missing.
        log_key: see `ReplayableTransform`.

    Raises:
        ValueError: images or masks of one record differ in size, or an image has another shape.
        TypeError: an image is not floating point.

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
        log_key: Hashable | None = None,
    ) -> None:
        RadiographAffined.__init__(
            self,
            keys,
            RadiographPose(),
            mask_keys,
            boxes_key=boxes_key,
            box_label_keys=box_label_keys,
            allow_missing_keys=allow_missing_keys,
        )
        RandomizableTransform.__init__(self, prob)
        if rotation_degrees < 0 or shift < 0 or not 0 <= scale < 1:
            raise ValueError(
                "rotation_degrees and shift must be at least 0 and scale in [0, 1), "
                f"got {rotation_degrees}, {shift} and {scale}"
            )
        self.rotation_degrees = rotation_degrees
        self.scale = scale
        self.shift = shift
        self.log_key = log_key
        self.pose: RadiographPose = RadiographPose()

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
        self.randomize()
        return self.logged(self._move(data, self.pose if self._do_transform else None))

    def parameters(self) -> dict[str, Any] | None:
        """Return the pose that was drawn last."""
        return asdict(self.pose) if self._do_transform else None

    def replay(self, data: Mapping[Hashable, Any], parameters: Mapping[str, Any] | None) -> dict[Hashable, Any]:
        """Move a record by a pose that was drawn before."""
        self._do_transform = parameters is not None
        if parameters is not None:
            self.pose = RadiographPose(**parameters)
        return self.logged(self._move(data, self.pose if self._do_transform else None))


def turn_boxes(boxes: npt.NDArray[np.float32], matrix: Matrix) -> npt.NDArray[np.float64]:
    """Return the upright rectangles around moved boxes (n, 4)."""
    corners = boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]].astype(np.float64)  # (n, 4, 2)
    moved = corners @ matrix[:2, :2].T + matrix[:2, 2]
    return np.concatenate([moved.min(axis=1), moved.max(axis=1)], axis=1)
