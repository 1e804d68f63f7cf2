"""Transforms that load radiographs and their masks for the pipelines of both toolboxes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from mmcv.transforms import BaseTransform
from mmengine.registry import TRANSFORMS as ROOT_TRANSFORMS

from monai_place.data.radiograph import read_mask
from monai_place.registry import TRANSFORMS
from monai_place.transforms.reading import ImageReading
from monai_place.transforms.steps import PictureMove

__all__ = ["LoadRadiographFromFile", "LoadRadiographMask", "Reading", "image_reading"]

Reading: TypeAlias = ImageReading | Mapping[str, Any] | str | os.PathLike[str] | None
SMALLEST_SIDE = 1.0  # pixels of a box that a step has cut; as in RadiographDetDataset

LARGEST_LABEL = 255  # what the toolboxes ignore; maps of labels are uint8


def image_reading(reading: Reading) -> ImageReading:
    """Return how files are read.

    Args:
        reading: it, or the settings `reader` and `image_steps` of a bundle's JSON, as a dictionary or as the name of
            the file; None is the package's own reader.

    Raises:
        ValueError: neither setting is there, or a step is random.
        FileNotFoundError: there is no such file.
    """
    if isinstance(reading, ImageReading):
        return reading
    if isinstance(reading, Mapping):  # of MMEngine, whose dictionaries are of a kind of their own
        return ImageReading.from_config(json.loads(json.dumps(reading)))
    return ImageReading() if reading is None else ImageReading.from_file(reading)


@ROOT_TRANSFORMS.register_module()
@TRANSFORMS.register_module()
class LoadRadiographFromFile(BaseTransform):
    """Load a DICOM, NIfTI, PNG or JPEG radiograph as the toolboxes want a picture.

    Takes the place of `LoadImageFromFile`. Reads `img_path`; adds `img` (H, W, C) in 0..255 with identical channels,
    `img_shape` and `ori_shape`. Windows, inverted photometric interpretations and orientations are applied.

    Where a step of `reading` moves pixels, the boxes and masks under `instances` and `mask_boxes` move too, and
    `LoadRadiographMask` does the same with what it loads. The picture behind the steps is then the original one:
    results are in its pixels.

    Args:
        to_float32: keep all of a picture's depth, as float32; otherwise 16 bit pictures are rounded to uint8.
        channels: C, 3 or 1.
        reading: a team's own reader and steps, as in a bundle: the name of the JSON file with `reader` and
            `image_steps`, or a dictionary of these; see `image_reading`.

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

    def __init__(self, *, to_float32: bool = False, channels: int = 3, reading: Reading = None) -> None:
        if channels not in (1, 3):
            raise ValueError(f"channels must be 1 or 3, got {channels!r}")
        self.to_float32 = to_float32
        self.channels = channels
        self.reading = image_reading(reading)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load the picture under `img_path`.

        Raises:
            RadiographError: the file cannot be used; the message names it.
        """
        read = self.reading(results["img_path"])
        pixels = read.pixels.numpy() * np.float32(255)  # (H, W), 0..255
        picture = pixels if self.to_float32 else np.rint(pixels).astype(np.uint8)
        results["img"] = np.repeat(picture[..., None], self.channels, axis=2)  # (H, W) -> (H, W, C)
        results["img_shape"] = results["ori_shape"] = picture.shape
        if read.move is not None:
            _move_annotation(results, read.move)
        return results

    def __repr__(self) -> str:
        own = "" if self.reading.is_ours else f", reading={self.reading.describe()}"
        return f"{type(self).__name__}(to_float32={self.to_float32}, channels={self.channels}{own})"


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
        move: PictureMove | None = results.get("picture_move")
        expected = tuple(results["ori_shape"][:2]) if move is None else move.before
        if values.shape != expected:
            raise ValueError(f"mask {path.name!r} has {values.shape} pixels, its image {expected}")
        if move is not None:
            values = _moved_mask(values, move)
        if self.binary or results.get("mask_format") == "binary":
            return (values != 0).astype(np.uint8)
        label_map = results.get("label_map")
        if results.get("mask_format") == "index":
            return _mapped(values, label_map or {}, path.name)
        labels = values.copy()
        for value, label in (label_map or {}).items():
            labels[values == value] = label
        if labels.max() > LARGEST_LABEL:
            raise ValueError(f"mask {path.name!r} holds {labels.max()}, expected labels of at most {LARGEST_LABEL}")
        return labels.astype(np.uint8)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(binary={self.binary})"


def _move_annotation(results: dict[str, Any], move: PictureMove) -> None:
    """Let what the data set says of a picture follow its pixels."""
    results["picture_move"] = move
    if "height" in results:
        results["height"], results["width"] = move.after
    if results.get("mask_boxes"):
        rows = np.asarray(results["mask_boxes"], dtype=np.float64)  # (label, x0, y0, x1, y1)
        moved = _inside(move.boxes(rows[:, 1:]), move)
        results["mask_boxes"] = [(int(row[0]), *box) for row, box in zip(rows, moved, strict=True) if box is not None]
    if results.get("instances"):
        instances = list(results["instances"])
        moved = _inside(move.boxes(np.asarray([instance["bbox"] for instance in instances])), move)
        results["instances"] = [
            _moved_instance(instance, box, move)
            for instance, box in zip(instances, moved, strict=True)
            if box is not None
        ]


def _inside(boxes: npt.NDArray[Any], move: PictureMove) -> list[list[float] | None]:
    """Clip boxes (n, 4) to the picture; None for one of which nothing is left."""
    height, width = move.after
    clipped = np.clip(boxes, 0, [width, height, width, height])
    large = (clipped[:, 2:] - clipped[:, :2] >= SMALLEST_SIDE).all(axis=1)
    return [box if kept else None for box, kept in zip(clipped.tolist(), large, strict=True)]


def _moved_instance(instance: Mapping[str, Any], box: list[float], move: PictureMove) -> dict[str, Any]:
    moved = {**instance, "bbox": box}
    if isinstance(instance.get("mask"), Mapping):
        from pycocotools import mask as rle

        encoded = rle.encode(np.asfortranarray(_moved_mask(rle.decode(dict(instance["mask"])), move)))
        moved["mask"] = {"size": encoded["size"], "counts": encoded["counts"].decode("ascii")}
    return moved


def _moved_mask(mask: npt.NDArray[Any], move: PictureMove) -> npt.NDArray[Any]:
    moved: npt.NDArray[Any] = move.mask(torch.from_numpy(mask[None]))[0].numpy()
    return moved


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
