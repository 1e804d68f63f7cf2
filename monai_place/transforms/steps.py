"""A team's own steps between the reading of a picture and its way onto the network's square.

A step is a MONAI dictionary transform that is certain and works on the image alone, (1, H, W) in [0, 1]. If it moves
pixels it says so as MONAI's spatial transforms do, by the image's `affine`; masks, boxes and maps follow from that, so
that no step needs to know of them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import Compose, MapTransform, RandomizableTrait
from monai.utils import ensure_tuple

from monai_place.data.radiograph import RadiographError
from monai_place.transforms.augment import turn_boxes, warp_image
from monai_place.transforms.tracking import check_image, check_unit_range, move_boxes, plain, spatial_size, untracked

__all__ = ["PictureMove", "RadiographStepsd", "picture_move"]

Matrix = npt.NDArray[np.float64]
SWAP = np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, 1]])  # (x, y) <-> (row, column)
HALF = np.array([[1.0, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])  # from an index to the center of its pixel


@dataclass(frozen=True, eq=False)
class PictureMove:
    """Where the pixels of a picture went.

    Args:
        matrix: (3, 3), from a point (x, y, 1) before to the point after, in pixels; pixel 0 covers [0, 1).
        before: (H, W) of the picture before.
        after: (H, W) of the picture after.
    """

    matrix: Matrix
    before: tuple[int, int]
    after: tuple[int, int]

    @property
    def is_none(self) -> bool:
        """Whether nothing moved."""
        return self.before == self.after and bool(np.allclose(self.matrix, np.eye(3), atol=1e-6))

    def mask(self, mask: torch.Tensor) -> torch.Tensor:
        """Take a mask (C, H, W) along, by nearest neighbor."""
        return warp_image(mask.float(), self.matrix, mode="nearest", size=self.after).to(mask.dtype)

    def boxes(self, boxes: npt.NDArray[Any]) -> Matrix:
        """Take boxes (n, 4) along; the result may reach out of the picture."""
        return turn_boxes(np.asarray(boxes, dtype=np.float32), self.matrix)

    def back(self, maps: torch.Tensor, *, fill: float = torch.nan) -> torch.Tensor:
        """Take maps (S, H, W) from the picture after to the pixels of the picture before.

        Args:
            maps: on the picture after.
            fill: where it shows nothing of the picture before.
        """
        inside = torch.ones_like(maps[:1])
        known = ~maps.isnan()
        back = np.linalg.inv(self.matrix)
        values, seen, shown = (
            warp_image(part, back, size=self.before) for part in (maps.nan_to_num(0.0), known.to(maps.dtype), inside)
        )
        # An edge pixel is partly outside: what is there counts, the outside does not.
        return torch.where((seen > 0.5) & (shown > 0.5), values / seen.clamp(min=1e-6), fill)


def picture_move(before: Any, after: Any) -> PictureMove:
    """Tell from the affines of a picture before and after some steps where its pixels went.

    Args:
        before: (1, H, W); what is not a MetaTensor has no affine, and nothing is said to have moved.
        after: (1, H, W).

    Raises:
        ValueError: the affine after is not one of a plane.
    """
    matrix = np.eye(3)
    if isinstance(before, MetaTensor) and isinstance(after, MetaTensor):
        first, last = _plane(before.affine), _plane(after.affine)
        if abs(np.linalg.det(last)) < 1e-12:
            raise ValueError("the affine is not one of a plane")
        matrix = HALF @ SWAP @ np.linalg.inv(last) @ first @ SWAP @ np.linalg.inv(HALF)
    return PictureMove(matrix, spatial_size(before), spatial_size(after))


class RadiographStepsd(MapTransform):
    """Run a team's own steps on an image, check what each gives, and let masks and boxes follow.

    Args:
        keys: of the image, one key.
        steps: dictionary transforms on that key, none of them random: they are part of what a picture is, in training,
            evaluation and inference alike. A random one belongs behind `FitRadiographd` in the training's own chain.
        mask_keys: of masks that the steps leave alone; they follow by the image's affine.
        boxes_key: of boxes that the steps leave alone.
        box_label_keys: of lists with one entry a box.

    Raises:
        ValueError: a step is random, or more than one key is given.
        TypeError: a step cannot be called.
        RadiographError: a step gives something else than (1, H, W), floating point in [0, 1]; it is named.

    Example:
        >>> from monai.transforms import SpatialCropd
        >>> step = SpatialCropd("image", roi_start=(0, 2), roi_end=(4, 6))
        >>> crop = RadiographStepsd("image", [step], boxes_key="boxes")
        >>> data = crop({"image": MetaTensor(torch.zeros(1, 4, 8)), "boxes": [[3, 1, 5, 2]]})
        >>> tuple(data["image"].shape), data["boxes"].tolist()
        ((1, 4, 4), [[1.0, 1.0, 3.0, 2.0]])
    """

    def __init__(
        self,
        keys: KeysCollection = "image",
        steps: Sequence[Callable[..., Any]] | Callable[..., Any] = (),
        *,
        mask_keys: KeysCollection = (),
        boxes_key: Hashable | None = None,
        box_label_keys: KeysCollection = (),
    ) -> None:
        super().__init__(keys)
        if len(self.keys) != 1:
            raise ValueError(f"one key is expected, got {list(self.keys)}")
        self.steps = _steps(steps)
        self.mask_keys: tuple[Hashable, ...] = ensure_tuple(mask_keys)
        self.boxes_key = boxes_key
        self.box_label_keys: tuple[Hashable, ...] = ensure_tuple(box_label_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Run the steps on a record."""
        d, (key,) = dict(data), self.keys
        if not self.steps:
            return d
        image = d[key] if isinstance(d[key], MetaTensor) else MetaTensor(plain(d[key]))
        d[key] = image
        for step in self.steps:
            d = step(d)
            self._check(step, d, image)
        move = picture_move(image, d[key])
        if not move.is_none:
            for mask_key in self.mask_keys:
                if d.get(mask_key) is not None:
                    d[mask_key] = untracked(d[mask_key], move.mask(plain(d[mask_key])))
                    if isinstance(d[mask_key], MetaTensor):
                        d[mask_key].affine = d[key].affine
            move_boxes(d, self.boxes_key, self.box_label_keys, move.boxes, move.after)
        return d

    def _check(self, step: Any, data: Any, image: MetaTensor) -> None:
        name = type(step).__name__
        file = Path(str(image.meta.get("filename_or_obj", "image"))).name
        if not isinstance(data, Mapping) or self.keys[0] not in data:
            raise RadiographError(f"{file}: {name} gave no record with {self.keys[0]!r}")
        try:
            check_image(data[self.keys[0]], self.keys[0])
            check_unit_range(plain(data[self.keys[0]]), self.keys[0])
        except (TypeError, ValueError) as error:
            raise RadiographError(f"{file}: after {name}: {error}") from None


def _steps(steps: Sequence[Callable[..., Any]] | Callable[..., Any]) -> list[Callable[..., Any]]:
    listed: list[Callable[..., Any]] = list(Compose(ensure_tuple(steps)).flatten().transforms)
    for step in listed:
        if not callable(step):
            raise TypeError(f"a step must be a transform, got {step!r:.60}")
        if isinstance(step, RandomizableTrait):
            raise ValueError(
                f"{type(step).__name__} is random, and these steps are for evaluation too; put it behind "
                "FitRadiographd in train#preprocessing"
            )
    return listed


def _plane(affine: Any) -> Matrix:
    """Return (3, 3), from an index (row, column) to the plane of the detector."""
    values = np.asarray(affine, dtype=np.float64)
    plane: Matrix = values[np.ix_([0, 1, -1], [0, 1, -1])]
    return plane
