"""From paths to tensors: radiographs and their masks."""

from __future__ import annotations

import importlib
import os
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from monai.config import KeysCollection
from monai.data import ImageReader, MetaTensor
from monai.transforms import MapTransform
from monai.utils import ensure_tuple

from monai_place.data.radiograph import RadiographError, read_mask
from monai_place.data.reader import RadiographReader

__all__ = ["LoadRadiographd", "find_reader", "read_image"]


def find_reader(reader: ImageReader | str) -> ImageReader:
    """Return a reader of images.

    Args:
        reader: it, or the dotted name of its class, which takes no argument then.

    Raises:
        TypeError: it is no `monai.data.ImageReader`.
        ImportError: there is no such name.

    Example:
        >>> type(find_reader("monai_place.data.radiograph.RadiographReader")).__name__
        'RadiographReader'
    """
    made = reader
    if isinstance(reader, str):
        module, _, name = reader.rpartition(".")
        found = getattr(importlib.import_module(module), name, None) if module else None
        if found is None:
            raise ImportError(
                f"there is no reader {reader!r}; expected the dotted name of a class, such as 'ours.Reader'"
            )
        made = found() if isinstance(found, type) else found
    if not isinstance(made, ImageReader):
        raise TypeError(f"reader must be a monai.data.ImageReader, got {type(made).__name__}")
    return made


def read_image(reader: ImageReader, path: str | os.PathLike[str]) -> MetaTensor:
    """Read one image, and hold what the reader gives to the contract: (H, W), float32 in [0, 1].

    Args:
        reader: any; what it leaves out of the metadata is added.
        path: of the file.

    Returns:
        (1, H, W) float32.

    Raises:
        RadiographError: the reader refuses the file, or gives something else.
    """
    pixels, meta = reader.get_data(reader.read(path))
    if not isinstance(reader, RadiographReader):
        pixels, meta = _checked(reader, pixels, meta, Path(path))
    return MetaTensor(torch.from_numpy(pixels)[None], meta=meta)  # (H, W) -> (1, H, W)


def _checked(reader: ImageReader, pixels: Any, meta: Any, path: Path) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
    values = pixels.numpy() if isinstance(pixels, torch.Tensor) else np.asarray(pixels)
    found = f"{values.dtype} of shape {values.shape}"
    if values.ndim != 2 or values.dtype != np.float32:
        fault = found
    elif not values.size or not (values.min() >= 0 and values.max() <= 1):  # false for NaN, too
        fault = f"values from {values.min():g} to {values.max():g}" if values.size else found
    else:
        given = {"affine": np.eye(4), "pixel_spacing_mm": np.full(2, np.nan)} | dict(meta)
        return np.ascontiguousarray(values), given | {
            "spatial_shape": np.array(values.shape),
            "filename_or_obj": str(path),
        }
    raise RadiographError(f"{path.name}: {type(reader).__name__} gave {fault}, expected (H, W) float32 in [0, 1]")


class LoadRadiographd(MapTransform):
    """Replace the path of a radiograph by its pixels, and that of a mask by its integers.

    An image becomes a MetaTensor (1, H, W), float32 in [0, 1], row 0 on top; its `meta` has `affine`,
    `pixel_spacing_mm` (row, column; NaN where the file does not say), `spatial_shape` and `filename_or_obj`. A mask
    becomes a MetaTensor (1, H, W), float32 with its integers unscaled, and the `affine` of the first image.

    Unlike MONAI's `LoadImaged` there is one reader, so a refused file is an error and never shown by another reader.

    Args:
        keys: of the images.
        mask_keys: of masks of the same size; a record without, or with null, is left as it is.
        reader: of the images, in the place of ours: a MONAI `ImageReader`, or the dotted name of one. What it gives is
            held to the contract of `monai_place.data.radiograph`. Masks are read as always.
        least_side: pixels of the shorter side that suffice, for whoever shrinks the image next and has no masks or
            boxes in pixels of the file: large JPEGs are then decoded at a half, a quarter or an eighth, several times
            faster. `PreprocessSpec.least_side` suffices for training. `meta["file_shape"]` has the file's own size.
        allow_missing_keys: skip an image key that is missing.

    Raises:
        RadiographError: a file cannot be used.
        ValueError: a mask has another size than the first image, or masks or a reader are asked for together with
            `least_side`.
        TypeError: `reader` is no reader.

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
        reader: ImageReader | str | None = None,
        least_side: int | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.mask_keys: tuple[Hashable, ...] = ensure_tuple(mask_keys)
        if least_side is not None and self.mask_keys:
            raise ValueError(
                f"least_side={least_side} reads images smaller than their masks {self.mask_keys}; leave one of them out"
            )
        if least_side is not None and reader is not None:
            raise ValueError(f"least_side={least_side} is for the package's own reader; leave it out beside {reader!r}")
        self.reader = RadiographReader(least_side) if reader is None else find_reader(reader)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Load what the paths under the keys name."""
        d = dict(data)
        first: MetaTensor | None = None
        for key in self.key_iterator(d):
            d[key] = read_image(self.reader, d[key])
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
