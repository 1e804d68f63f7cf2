"""From what a caller hands over, a file or an array, to the network's input; a bad file does not stop the others."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from monai_place.data.radiograph import RadiographError, read_radiograph
from monai_place.inference.results import FailedImage
from monai_place.preprocess import PreprocessSpec
from monai_place.transforms.geometry import FitGeometry, fit_geometry
from monai_place.transforms.images import image_transforms
from monai_place.transforms.reading import ImageReading
from monai_place.transforms.steps import PictureMove

__all__ = [
    "ImageInput",
    "ImageQueue",
    "PreparedImage",
    "as_text",
    "failure_reason",
    "image_list",
    "load_pixels",
    "prepare_image",
    "source_names",
]

logger = logging.getLogger(__name__)

ImageInput: TypeAlias = str | os.PathLike[str] | npt.NDArray[Any] | torch.Tensor


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """An image as the network wants it.

    Args:
        pixels: (H, W) float32 in [0, 1], as read.
        tensor: (1, S, S) float32, fitted and normalized.
        geometry: how one lies on the other.
        move: where a team's own steps moved the pixels of the file, before all this; None where they did not.
    """

    pixels: torch.Tensor
    tensor: torch.Tensor
    geometry: FitGeometry
    move: PictureMove | None = None


def image_list(images: ImageInput | Sequence[ImageInput]) -> list[ImageInput]:
    """Return a list of images: one image becomes a list of one, an array (B, 1, H, W) one of B.

    Args:
        images: paths, arrays or tensors.
    """
    if isinstance(images, (str, os.PathLike)):
        return [images]
    if isinstance(images, (np.ndarray, torch.Tensor)):
        return list(images) if images.ndim == 4 else [images]
    return list(images)


def source_names(images: Sequence[ImageInput]) -> list[str]:
    """Name images: files by their path below the folder that they share, others by their place.

    Bytes of a path that are no UTF-8 are written as their hexadecimal numbers, so that any file can hold the name.

    Example:
        >>> source_names(["/data/a/1.png", "/data/b/1.png", np.zeros((2, 2))])
        ['a/1.png', 'b/1.png', 'image 2']
    """
    paths = {i: Path(image).absolute() for i, image in enumerate(images) if isinstance(image, (str, os.PathLike))}
    root = os.path.commonpath([path.parent for path in paths.values()]) if paths else ""
    return [as_text(paths[i].relative_to(root).as_posix()) if i in paths else f"image {i}" for i in range(len(images))]


def load_pixels(image: ImageInput) -> torch.Tensor:
    """Return the pixels (H, W), float32 in [0, 1].

    Args:
        image: a DICOM, NIfTI, PNG or JPEG file; or (H, W) or (1, H, W), floating point in [0, 1].

    Raises:
        RadiographError: the file cannot be used.
        TypeError: an array is not floating point.
        ValueError: an array has another shape, another range, or a value that is not finite.
    """
    if isinstance(image, (str, os.PathLike)):
        return torch.from_numpy(read_radiograph(image)[0])
    values = torch.as_tensor(image)
    if not values.is_floating_point():
        raise TypeError(f"an image must be floating point in [0, 1], got {values.dtype}; divide by its largest value")
    if values.ndim == 3 and values.shape[0] == 1:
        values = values[0]
    if values.ndim != 2 or not values.numel():
        raise ValueError(f"an image must be (H, W) or (1, H, W), got {tuple(values.shape)}; one channel, rows first")
    values = values.detach().cpu().float()
    low, high = float(values.min()), float(values.max())
    if not (low >= 0 and high <= 1):  # false for NaN, too
        raise ValueError(f"an image must lie in [0, 1] and be finite, got {low:g} to {high:g}")
    return values


def prepare_image(image: ImageInput, spec: PreprocessSpec, reading: ImageReading | None = None) -> PreparedImage:
    """Load, fit and normalize one image, by the transforms of training.

    Args:
        image: see `load_pixels`; an array is what a reader would give.
        spec: the preprocessing of the weights.
        reading: a team's own reader and steps; None takes ours.
    """
    move: PictureMove | None = None
    if reading is None or reading.is_ours:
        pixels = load_pixels(image)
    else:
        is_file = isinstance(image, (str, os.PathLike))
        read = reading(image) if is_file else reading.prepare(load_pixels(image))  # type: ignore[arg-type]
        pixels, move = read.pixels, read.move
    data: dict[Any, Any] = {"image": pixels[None]}
    for step in image_transforms(spec)[1:]:  # all but the loading
        data = step(data)
    geometry = fit_geometry(pixels.shape[0], pixels.shape[1], spec.image_size, spec.resize_rule)
    return PreparedImage(pixels, data["image"], geometry, move)


def failure_reason(name: str, error: BaseException) -> str:
    """Say why a file could not be used, without anything that a tag of it says.

    Args:
        name: of the file.
        error: what was raised, perhaps by MONAI, which wraps what a transform raises.

    Example:
        >>> failure_reason("a.dcm", KeyError("Doe^Jane"))
        'a.dcm: cannot be read (KeyError)'
    """
    while error.__cause__ is not None and not isinstance(error, RadiographError):
        error = error.__cause__
    # A decoder may fail in ways of its own; its message may hold what a tag says.
    reason = str(error) if isinstance(error, RadiographError) else f"{name}: cannot be read ({type(error).__name__})"
    return as_text(reason)


def as_text(name: str) -> str:
    r"""Return the name of a file as any file can hold it: bytes that are no UTF-8 as their hexadecimal numbers.

    Args:
        name: as the system gives it.

    Example:
        >>> as_text("bad\udcff.png")
        'bad\\xff.png'
    """
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


class ImageQueue:
    """Iterates over batches of a list of images, and gathers the files that could not be used in `failed`.

    Args:
        images: files, arrays or tensors.
        spec: the preprocessing of the weights.
        reading: see `prepare_image`.
        batch_size: images at a time.
        progress: called with (images done, images in all) after each batch, and at the end.

    Raises:
        ValueError: `batch_size` is below 1.
    """

    def __init__(
        self,
        images: ImageInput | Sequence[ImageInput],
        spec: PreprocessSpec,
        *,
        reading: ImageReading | None = None,
        batch_size: int = 16,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}, expected at least 1")
        self.images = image_list(images)
        self.names = source_names(self.images)
        self.spec = spec
        self.reading = reading
        self.moves: dict[int, PictureMove] = {}  # by place, where a step moved something
        self.geometries: dict[int, FitGeometry] = {}  # by place
        self.batch_size = batch_size
        self.progress = progress
        self.failed: list[FailedImage] = []

    def __iter__(self) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Yield the places of the images of a batch, and the batch (B, 1, S, S)."""
        self.failed.clear()
        self.moves.clear()
        self.geometries.clear()
        places: list[int] = []
        tensors: list[torch.Tensor] = []
        for place, image in enumerate(self.images):
            tensor = self._tensor(place, image)
            if tensor is not None:
                places.append(place)
                tensors.append(tensor)
            if tensors and (len(tensors) == self.batch_size or place == len(self.images) - 1):
                yield places, torch.stack(tensors)
                places, tensors = [], []
                self._report(place + 1)
        self._report(len(self.images))

    def _report(self, done: int) -> None:
        if self.progress is not None:
            self.progress(done, len(self.images))

    def _tensor(self, place: int, image: ImageInput) -> torch.Tensor | None:
        if not isinstance(image, (str, os.PathLike)):
            return self._prepare(place, image)  # a wrong array is the caller's mistake, not a bad file
        try:
            return self._prepare(place, image)
        except Exception as error:
            reason = failure_reason(Path(image).name, error)
        logger.warning("%s", reason)
        self.failed.append(FailedImage(place, self.names[place], reason))
        return None

    def _prepare(self, place: int, image: ImageInput) -> torch.Tensor:
        prepared = prepare_image(image, self.spec, self.reading)
        if prepared.move is not None:
            self.moves[place] = prepared.move
        self.geometries[place] = prepared.geometry
        return prepared.tensor
