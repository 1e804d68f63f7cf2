"""A radiograph of any shape on the square grid of the network, and back.

Pixel i covers the interval [i, i + 1): its center lies at i + 0.5. All maps between grids keep to that, so a point
stays on its place through any chain of sizes.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import InvertibleTransform, MapTransform
from monai.utils import TraceKeys, ensure_tuple

from monai_place.preprocess import ResizeRule
from monai_place.transforms.tracking import (
    check_image,
    check_unit_range,
    move_boxes,
    plain,
    pushed,
    spatial_size,
    untracked,
)

__all__ = ["FitGeometry", "FitRadiographd", "fit_geometry", "fit_image", "unfit_image"]


@dataclass(frozen=True)
class FitGeometry:
    """How a picture lies on the square: cut out, resize, pad.

    Args:
        height: of the picture.
        width: of the picture.
        cut: (top, left, height, width) of the part that is used.
        resized: (height, width) of that part on the square.
        pad: (top, left) of it on the square.
        image_size: side of the square.
    """

    height: int
    width: int
    cut: tuple[int, int, int, int]
    resized: tuple[int, int]
    pad: tuple[int, int]
    image_size: int

    @property
    def scale(self) -> tuple[float, float]:
        """Pixels of the square for one of the picture, (down, across)."""
        return self.resized[0] / self.cut[2], self.resized[1] / self.cut[3]

    def to_square(self, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Move points (..., 2) as (x, y) from the picture to the square."""
        (down, across), (top, left) = self.scale, self.cut[:2]
        scale, pad = np.array([across, down]), np.array(self.pad[::-1])
        moved: npt.NDArray[np.float64] = (np.asarray(points, dtype=np.float64) - (left, top)) * scale + pad
        return moved

    def to_picture(self, points: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Move points (..., 2) as (x, y) from the square to the picture."""
        (down, across), (top, left) = self.scale, self.cut[:2]
        scale, start = np.array([across, down]), np.array([left, top])
        moved: npt.NDArray[np.float64] = (np.asarray(points, dtype=np.float64) - self.pad[::-1]) / scale + start
        return moved

    def affine(self) -> npt.NDArray[np.float64]:
        """Return (3, 3), from an index (row, column) of the square to one of the picture."""
        column, row = self.to_picture((0.5, 0.5)) - 0.5  # where the center of pixel (0, 0) lies
        down, across = self.scale
        return np.array([[1 / down, 0, row], [0, 1 / across, column], [0, 0, 1]])


def fit_geometry(
    height: int, width: int, image_size: int, resize_rule: ResizeRule = "pad", *, whole: tuple[int, int] | None = None
) -> FitGeometry:
    """Work out how a picture lies on the square.

    Args:
        height: of the picture.
        width: of the picture.
        image_size: side of the square.
        resize_rule: `pad` fits the longer side and pads, `crop` cuts the central square out, `stretch` does neither.
        whole: (height, width) of the picture that this one is a reduced one of. It says how many pixels are padded, so
            that a picture lies on the same pixels of the square at whatever resolution it was read.

    Raises:
        ValueError: the rule is unknown.

    Example:
        >>> fit_geometry(100, 50, 20).resized, fit_geometry(100, 50, 20, "crop").cut
        ((20, 10), (25, 0, 50, 50))
    """
    if resize_rule not in get_args(ResizeRule):
        raise ValueError(f"resize_rule must be one of {get_args(ResizeRule)}, got {resize_rule!r}")
    cut, resized, pad = (0, 0, height, width), (image_size, image_size), (0, 0)
    if resize_rule == "crop":
        side = min(height, width)
        cut = ((height - side) // 2, (width - side) // 2, side, side)
    elif resize_rule == "pad":
        down, across = (height, width) if whole is None else whole
        longer = max(down, across)
        # A line of one pixel stays one pixel.
        resized = max(1, round(down * image_size / longer)), max(1, round(across * image_size / longer))
        pad = (image_size - resized[0]) // 2, (image_size - resized[1]) // 2
    return FitGeometry(height, width, cut, resized, pad, image_size)


def fit_image(image: torch.Tensor, geometry: FitGeometry, *, mode: str = "bilinear") -> torch.Tensor:
    """Put (C, H, W) onto the square (C, S, S), padded with zeros.

    Args:
        image: of the height and width that `geometry` was made for.
        geometry: from `fit_geometry`.
        mode: `bilinear`, with a filter against aliasing where the picture shrinks, or `nearest` for masks.
    """
    top, left, height, width = geometry.cut
    part = _resize(image[:, top : top + height, left : left + width], geometry.resized, mode)
    top, left = geometry.pad
    bottom, right = (geometry.image_size - pad - size for pad, size in zip(geometry.pad, geometry.resized, strict=True))
    return F.pad(part, (left, right, top, bottom)) if any((left, right, top, bottom)) else part.contiguous()


def unfit_image(
    image: torch.Tensor, geometry: FitGeometry, *, mode: str = "bilinear", fill: float = 0.0
) -> torch.Tensor:
    """Put (C, S, S) back onto the picture (C, H, W).

    Args:
        image: on the square.
        geometry: that it was put there with.
        mode: `bilinear` or `nearest`.
        fill: where the picture was cut away; NaN for a map that says nothing there.
    """
    top, left = geometry.pad
    part = image[:, top : top + geometry.resized[0], left : left + geometry.resized[1]]
    top, left, height, width = geometry.cut
    part = _resize(part, (height, width), mode)
    if (height, width) == (geometry.height, geometry.width):
        return part.contiguous()
    result = part.new_full((len(part), geometry.height, geometry.width), fill)
    result[:, top : top + height, left : left + width] = part
    return result


def _resize(image: torch.Tensor, size: tuple[int, int], mode: str) -> torch.Tensor:
    if tuple(image.shape[1:]) == size:
        return image
    values = image[None] if image.is_floating_point() else image[None].float()
    if "nearest" in mode:
        # Torch's plain "nearest" takes the pixel's corner for its center.
        return F.interpolate(values, size, mode="nearest-exact")[0].to(image.dtype)
    return F.interpolate(values, size, mode="bilinear", antialias=True)[0]


class FitRadiographd(MapTransform, InvertibleTransform):
    """Put radiographs on the square grid of the network, with their masks and boxes; invertible.

    Images are resampled bilinearly, with a filter against aliasing where they shrink; masks by nearest neighbor. The
    result is float32, and padding is zero, the darkest value before normalization. `affine` and `applied_operations`
    are kept up, so `monai.transforms.Invertd` takes a map back to the picture's grid; there it is zero where the
    picture was cut away (`unfit_image` has another fill).

    Args:
        keys: of images (1, H, W), floating point in [0, 1].
        image_size: side of the square.
        resize_rule: `pad`, `crop` or `stretch`; see `fit_geometry`.
        mask_keys: of masks (C, H, W); a record without, or with null, is left as it is.
        boxes_key: of boxes [[x0, y0, x1, y1], ...] in pixels of the first image; they become (n, 4) float32, are
            clipped, and dropped where nothing is left. The inverse moves what is left back.
        box_label_keys: of lists with one entry a box, which lose the entries of dropped boxes.
        allow_missing_keys: skip an image key that is missing.

    Raises:
        TypeError: an image is not floating point.
        ValueError: an image has another shape, or values outside [0, 1].

    Shape:
        - Input: (1, H, W)
        - Output: (1, image_size, image_size)

    Example:
        >>> fit = FitRadiographd("image", 32, mask_keys="mask")
        >>> data = fit({"image": torch.ones(1, 40, 20), "mask": torch.ones(1, 40, 20)})
        >>> data["image"].shape, int(data["mask"].sum())
        (torch.Size([1, 32, 32]), 512)
    """

    def __init__(
        self,
        keys: KeysCollection,
        image_size: int,
        *,
        resize_rule: ResizeRule = "pad",
        mask_keys: KeysCollection = (),
        boxes_key: Hashable | None = None,
        box_label_keys: KeysCollection = (),
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        if image_size < 1:
            raise ValueError(f"image_size must be at least 1 pixel, got {image_size}")
        fit_geometry(1, 1, 1, resize_rule)  # refuses an unknown rule here and not in a worker
        self.image_size = image_size
        self.resize_rule: ResizeRule = resize_rule
        self.mask_keys: tuple[Hashable, ...] = ensure_tuple(mask_keys)
        self.boxes_key = boxes_key
        self.box_label_keys: tuple[Hashable, ...] = ensure_tuple(box_label_keys)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Put what lies under the keys onto the square."""
        d = dict(data)
        first: FitGeometry | None = None
        for key, mode in self._present(d):
            if mode == "bilinear":
                check_image(d[key], key)
            whole = _whole_size(d[key])
            if whole is not None and d.get(self.boxes_key):
                raise ValueError(
                    f"{self.boxes_key!r} are in pixels of the file, and {key!r} was read smaller: leave least_side out"
                )
            geometry = fit_geometry(*spatial_size(d[key]), self.image_size, self.resize_rule, whole=whole)
            first = geometry if first is None else first
            fitted = fit_image(plain(d[key]).float(), geometry, mode=mode)
            if mode == "bilinear":
                check_unit_range(fitted, key)
            extra = {"geometry": asdict(geometry), "mode": mode}
            d[key] = pushed(self, d[key], fitted, affine=geometry.affine(), extra=extra)
        if first is not None:
            move_boxes(d, self.boxes_key, self.box_label_keys, _by_corners(first.to_square), (self.image_size,) * 2)
        return d

    def inverse(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Put what lies under the keys back onto the grid of its picture."""
        d = dict(data)
        first: FitGeometry | None = None
        for key, _ in self._present(d):
            extra = self.pop_transform(d[key])[TraceKeys.EXTRA_INFO]
            geometry = _from_trace(extra["geometry"])
            first = geometry if first is None else first
            back = unfit_image(plain(d[key]), geometry, mode=extra["mode"])
            d[key] = untracked(d[key], back, np.linalg.inv(geometry.affine()))
        if first is not None:
            size = (first.height, first.width)
            move_boxes(d, self.boxes_key, self.box_label_keys, _by_corners(first.to_picture), size)
        return d

    def _present(self, data: dict[Hashable, Any]) -> list[tuple[Hashable, str]]:
        images = [(key, "bilinear") for key in self.key_iterator(data)]
        return images + [(key, "nearest") for key in self.mask_keys if data.get(key) is not None]


def _whole_size(image: Any) -> tuple[int, int] | None:
    """Return the size in the file of an image that was read smaller and not changed since."""
    meta = image.meta if isinstance(image, MetaTensor) else {}
    if "file_shape" not in meta or tuple(meta["spatial_shape"]) != spatial_size(image):
        return None
    height, width = map(int, meta["file_shape"])
    return None if (height, width) == spatial_size(image) else (height, width)


def _by_corners(move: Any) -> Any:
    """Make a map of boxes (n, 4) from one of points."""
    return lambda boxes: move(boxes.reshape(-1, 2, 2)).reshape(-1, 4)


def _from_trace(values: dict[str, Any]) -> FitGeometry:
    """Rebuild a geometry from the trace, which a data loader may have made of tensors and lists."""
    numbers: dict[str, Any] = {}
    for key, value in values.items():
        number = np.asarray(value).astype(int).tolist()
        numbers[key] = tuple(number) if isinstance(number, list) else number
    return FitGeometry(**numbers)
