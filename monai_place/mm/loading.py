"""Transforms that load radiographs and their masks for the pipelines of both toolboxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS as ROOT_TRANSFORMS

from monai_place.data.radiograph import read_mask, read_radiograph
from monai_place.registry import TRANSFORMS

__all__ = ["LoadRadiographFromFile", "LoadRadiographMask"]

LARGEST_LABEL = 254  # 255 is what the toolboxes ignore


@ROOT_TRANSFORMS.register_module()
@TRANSFORMS.register_module()
class LoadRadiographFromFile(BaseTransform):
    """Load a DICOM, NIfTI, PNG or JPEG radiograph as the toolboxes want a picture.

    Takes the place of `LoadImageFromFile`. Reads `img_path`; adds `img` (H, W, C) in 0..255 with identical channels,
    `img_shape` and `ori_shape`. Windows, inverted photometric interpretations and orientations are applied.

    Args:
        to_float32: keep all of a picture's depth, as float32; otherwise 16 bit pictures are rounded to uint8.
        channels: C, 3 or 1.

    Raises:
        ValueError: `channels` is neither.

    Example:
        >>> import tempfile
        >>> from PIL import Image
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Image.fromarray(np.zeros((5, 7), dtype=np.uint8)).save(f"{folder}/a.png")
        ...     LoadRadiographFromFile()({"img_path": f"{folder}/a.png"})["img"].shape
        (5, 7, 3)
    """

    def __init__(self, *, to_float32: bool = False, channels: int = 3) -> None:
        if channels not in (1, 3):
            raise ValueError(f"channels must be 1 or 3, got {channels!r}")
        self.to_float32 = to_float32
        self.channels = channels

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load the picture under `img_path`.

        Raises:
            RadiographError: the file cannot be used; the message names it.
        """
        pixels = read_radiograph(results["img_path"])[0] * np.float32(255)  # (H, W), 0..255
        picture = pixels if self.to_float32 else np.rint(pixels).astype(np.uint8)
        results["img"] = np.repeat(picture[..., None], self.channels, axis=2)  # (H, W) -> (H, W, C)
        results["img_shape"] = results["ori_shape"] = picture.shape
        return results

    def __repr__(self) -> str:
        return f"{type(self).__name__}(to_float32={self.to_float32}, channels={self.channels})"


@ROOT_TRANSFORMS.register_module()
@TRANSFORMS.register_module()
class LoadRadiographMask(BaseTransform):
    """Load the mask of a radiograph, or fill it from boxes: `gt_seg_map` (H, W) uint8.

    Takes the place of MMSegmentation's `LoadAnnotations`. What is loaded is what the dataset says: of a
    `RadiographSegDataset` the file under `seg_map_path`, its values checked and mapped to labels, or `mask_boxes`,
    filled, a later box over an earlier one; of a plain `BaseSegDataset` the file and its `label_map`. A picture that
    comes without annotation, as in inference, passes as it is.

    Needs `ori_shape`: it comes after the loading of the picture.

    Args:
        binary: every value above 0 is 1, for masks of 0 and 255 in plain folders.
    """

    def __init__(self, *, binary: bool = False) -> None:
        self.binary = binary

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add `gt_seg_map`.

        Raises:
            RadiographError: the mask's file cannot be used.
            ValueError: the mask has another size than the picture, or a value that no class has.
        """
        if results.get("mask_boxes") is not None:
            labels = _filled(results["mask_boxes"], results["ori_shape"])
        elif results.get("seg_map_path") is not None:
            labels = self._read(Path(results["seg_map_path"]), results)
        else:
            return results
        results["gt_seg_map"] = labels
        results.setdefault("seg_fields", []).append("gt_seg_map")
        return results

    def _read(self, path: Path, results: Mapping[str, Any]) -> npt.NDArray[np.uint8]:
        if results.get("reduce_zero_label"):
            raise ValueError("reduce_zero_label is not for this transform: use MMSegmentation's LoadAnnotations")
        values = read_mask(path)
        if values.shape != tuple(results["ori_shape"][:2]):
            raise ValueError(f"mask {path.name!r} has {values.shape} pixels, its image {results['ori_shape'][:2]}")
        if self.binary or results.get("mask_format") == "binary":
            return (values != 0).astype(np.uint8)
        label_map = results.get("label_map")
        if results.get("mask_format") == "index":
            return _mapped(values, label_map or {}, path.name)
        labels = values.copy()
        for value, label in (label_map or {}).items():
            labels[values == value] = label
        return labels.astype(np.uint8)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(binary={self.binary})"


def _mapped(values: npt.NDArray[np.int32], label_map: Mapping[int, int], name: str) -> npt.NDArray[np.uint8]:
    """Look each value of a mask up; a value without a label is an error, not something to ignore."""
    table = np.full(max(label_map) + 1, -1)
    table[list(label_map)] = list(label_map.values())
    labels = np.where(values < len(table), table[np.minimum(values, len(table) - 1)], -1)
    if (labels < 0).any():
        hint = "; mask_format='binary' is for masks of 0 and 255" if values.max() == 255 else ""
        raise ValueError(f"mask {name!r} holds {values[labels < 0].max()}, expected one of {sorted(label_map)}{hint}")
    return labels.astype(np.uint8)


def _filled(boxes: Sequence[Sequence[float]], shape: Sequence[int]) -> npt.NDArray[np.uint8]:
    """Draw (label, x0, y0, x1, y1): a pixel is inside where its center is."""
    labels = np.zeros(tuple(shape[:2]), dtype=np.uint8)
    for label, *box in boxes:
        x0, y0, x1, y1 = (max(0, int(np.ceil(edge - 0.5))) for edge in box)
        labels[y0:y1, x0:x1] = int(label)
    return labels
