"""What the inferencers of both toolboxes need: DICOM and NIfTI among their files, folders of them, and arrays."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from mmcv.transforms import BaseTransform
from mmengine.dataset import Compose
from mmengine.registry import TRANSFORMS as ROOT_TRANSFORMS

from monai_place.data.image_files import image_files
from monai_place.mm.loading import LoadRadiographFromFile
from monai_place.mm.visualization import boxes_at_the_edge

__all__ = ["LoadRadiographInput", "RadiographInputs"]

LOADER = LoadRadiographFromFile.__name__
ANNOTATIONS = ("LoadAnnotations", "LoadRadiographMask")


class LoadRadiographInput(BaseTransform):
    """Take what an inferencer is given, a file or the pixels, as `LoadRadiographFromFile` leaves a picture.

    Args:
        loader: how files are read, of how many channels a picture is and of which type.
    """

    def __init__(self, loader: LoadRadiographFromFile) -> None:
        self.loader = loader

    def transform(self, results: Any) -> dict[str, Any]:
        """Return `img` (H, W, C), `img_shape`, `ori_shape`, and of a file `img_path`.

        Args:
            results: the name of a file; pixels (H, W), (H, W, 1) or (H, W, 3) in 0..255; or a dictionary with either
                under `img_path` or `img`.

        Raises:
            RadiographError: the file cannot be used; the message names it.
            ValueError: the pixels have another shape, or not C channels.
            TypeError: it is none of these.
        """
        given = dict(results) if isinstance(results, Mapping) else {}
        source = given.get("img", given.get("img_path")) if given else results
        if isinstance(source, (str, os.PathLike)):
            return self.loader.transform({**given, "img_path": os.fspath(source)})
        if not isinstance(source, np.ndarray):
            raise TypeError(f"an input must be the name of a file or an array, got {type(source).__name__}")
        picture = self._channels(source)
        picture = picture.astype(np.float32) if self.loader.to_float32 else picture
        size = picture.shape[:2]
        return {**given, "img": picture, "img_path": None, "img_shape": size, "ori_shape": size}

    def _channels(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        picture = pixels[..., None] if pixels.ndim == 2 else pixels
        if picture.ndim != 3 or picture.shape[2] not in (1, self.loader.channels):
            raise ValueError(f"pixels must be (H, W), (H, W, 1) or (H, W, {self.loader.channels}), got {pixels.shape}")
        return np.repeat(picture, self.loader.channels // picture.shape[2], axis=2)  # (H, W, 1) -> (H, W, C)


class RadiographInputs:
    """The part of an inferencer that lists and reads its inputs; stands before the toolbox's class.

    A folder stands for the images below it, known as `monai_place.data.image_files` says, in order of name.
    """

    _load: LoadRadiographInput

    def _inputs_to_list(self, inputs: Any) -> list[Any]:
        found: list[Any] = []
        for entry in inputs if isinstance(inputs, (list, tuple)) else [inputs]:
            is_path = isinstance(entry, (str, os.PathLike))
            found += [str(path) for path in image_files([Path(entry)])] if is_path else [entry]
        return found

    def _init_pipeline(self, cfg: Any) -> Compose:
        steps = [step for step in cfg.test_dataloader.dataset.pipeline if _name(step) not in ANNOTATIONS]
        place = next((place for place, step in enumerate(steps) if _name(step) == LOADER), None)
        if place is None:
            names = [_name(step) for step in steps]
            raise ValueError(
                f"the test pipeline must read by {LOADER}, got {names}; what reads by LoadImageFromFile is for the "
                "toolbox's own inferencer"
            )
        self._load = LoadRadiographInput(ROOT_TRANSFORMS.build(steps[place]))
        return Compose([self._load, *steps[:place], *steps[place + 1 :]])

    def _init_visualizer(self, cfg: Any) -> Any:
        if "visualizer" in cfg:  # the backends of a training want a folder; an inferencer draws into `out_dir`
            cfg.visualizer.pop("vis_backends", None)
        return super()._init_visualizer(cfg)  # type: ignore[misc]

    def _pictures(self, inputs: Sequence[Any]) -> Iterator[npt.NDArray[np.uint8]]:
        """Yield what was read, one at a time, to be drawn on: (H, W, 3) uint8; MMEngine draws on what is there."""
        for entry in inputs:
            picture = np.rint(self._load.transform(entry)["img"]).clip(0, 255).astype(np.uint8)
            yield np.repeat(picture, 3 // picture.shape[2], axis=2)

    def visualize(self, inputs: Sequence[Any], preds: Sequence[Any], **options: Any) -> Any:
        """Draw predictions on what was read; files are numbered in the order of the inputs, not named after them."""
        with boxes_at_the_edge():
            return super().visualize(self._pictures(inputs), preds, **options)  # type: ignore[misc]


def _name(step: Any) -> str:
    kind = step["type"]
    return kind.__name__ if isinstance(kind, type) else str(kind).rpartition(".")[2]
