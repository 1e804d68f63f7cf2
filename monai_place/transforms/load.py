"""From paths to tensors: radiographs and their masks."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform
from monai.utils import ensure_tuple

from monai_place.data.radiograph import RadiographReader, read_mask

__all__ = ["LoadRadiographd"]


class LoadRadiographd(MapTransform):
    """Replace the path of a radiograph by its pixels, and that of a mask by its integers.

    An image becomes a MetaTensor (1, H, W), float32 in [0, 1], row 0 on top; its `meta` has `affine`,
    `pixel_spacing_mm` (row, column; NaN where the file does not say), `spatial_shape` and `filename_or_obj`. A mask
    becomes a MetaTensor (1, H, W), float32 with its integers unscaled, and the `affine` of the first image.

    Unlike MONAI's `LoadImaged` there is one reader, so a refused file is an error and never shown by another reader.

    Args:
        keys: of the images.
        mask_keys: of masks of the same size; a record without, or with null, is left as it is.
        least_side: pixels of the shorter side that suffice, for whoever shrinks the image next and has no masks or
            boxes in pixels of the file: large JPEGs are then decoded at a half, a quarter or an eighth, several times
            faster. With twice the network's image size the result of `FitRadiographd` is that of the whole picture to
            within a level of 8 bits (50 decibels). `meta["file_shape"]` has the file's own size.
        allow_missing_keys: skip an image key that is missing.

    Raises:
        RadiographError: a file cannot be used.
        ValueError: a mask has another size than the first image, or masks are asked for together with `least_side`.

    Example:
        >>> import numpy, tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.fromarray(numpy.zeros((5, 7), dtype=numpy.uint8)).save(f"{folder}/a.png")
        ...     LoadRadiographd("image")({"image": f"{folder}/a.png"})["image"].shape
        torch.Size([1, 5, 7])
    """

    def __init__(
        self,
        keys: KeysCollection,
        mask_keys: KeysCollection = (),
        *,
        least_side: int | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.mask_keys: tuple[Hashable, ...] = ensure_tuple(mask_keys)
        if least_side is not None and self.mask_keys:
            raise ValueError(
                f"least_side={least_side} reads images smaller than their masks {self.mask_keys}; leave one of them out"
            )
        self.reader = RadiographReader(least_side)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Load what the paths under the keys name."""
        d = dict(data)
        first: MetaTensor | None = None
        for key in self.key_iterator(d):
            pixels, meta = self.reader.get_data(self.reader.read(d[key]))
            d[key] = MetaTensor(torch.from_numpy(pixels)[None], meta=meta)  # (H, W) -> (1, H, W)
            first = d[key] if first is None else first
        for key in self.mask_keys:
            if d.get(key) is not None:
                d[key] = self._load_mask(Path(d[key]), first)
        return d

    @staticmethod
    def _load_mask(path: Path, image: MetaTensor | None) -> MetaTensor:
        mask = torch.from_numpy(read_mask(path).astype(np.float32))[None]  # (H, W) -> (1, H, W)
        meta: dict[str, Any] = {"filename_or_obj": str(path)}
        if image is not None:
            if mask.shape != image.shape:
                raise ValueError(
                    f"mask {path.name!r} has {tuple(mask.shape[1:])} pixels, its image {tuple(image.shape[1:])}"
                )
            meta["affine"] = image.affine.clone()
        return MetaTensor(mask, meta=meta)
