"""From a file to the picture that goes onto the network's square: the reader, and a team's own steps.

Pretraining, evaluation, inference and the data sets of OpenMMLab take the same two settings, from the same JSON:

    {"reader": "ours.OurReader", "image_steps": [{"_target_": "ours.OurStepd", "keys": "image"}]}
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigParser
from monai.data import ImageReader, MetaTensor

from monai_place.data.reader import RadiographReader
from monai_place.transforms.load import find_reader, read_image
from monai_place.transforms.steps import PictureMove, RadiographStepsd, picture_move

__all__ = ["ImageReading", "ReadImage"]

logger = logging.getLogger(__name__)

SETTINGS = ("reader", "image_steps")


@dataclass(frozen=True, eq=False)
class ReadImage:
    """A picture as it is to be fitted.

    Args:
        pixels: (H, W) float32 in [0, 1], behind the steps.
        move: where the steps moved the pixels of the file; None where they are where they were.
    """

    pixels: torch.Tensor
    move: PictureMove | None = None


class ImageReading:
    """Reads a picture with a reader, and runs a team's own steps on it.

    Args:
        reader: a MONAI `ImageReader`, or the dotted name of one; None takes ours.
        steps: dictionary transforms on the key `image`; see `RadiographStepsd`.

    Raises:
        TypeError: `reader` is no reader.
        ValueError: a step is random.

    Example:
        >>> from monai.transforms import SpatialCropd
        >>> reading = ImageReading(steps=[SpatialCropd("image", roi_start=(0, 0), roi_end=(3, 5))])
        >>> reading.prepare(torch.rand(4, 8)).pixels.shape
        torch.Size([3, 5])
    """

    def __init__(
        self,
        reader: ImageReader | str | None = None,
        steps: Sequence[Callable[..., Any]] | Callable[..., Any] = (),
    ) -> None:
        self.reader = RadiographReader() if reader is None else find_reader(reader)
        self.steps = RadiographStepsd("image", steps)

    @classmethod
    def from_config(cls, values: Mapping[str, Any]) -> ImageReading:
        """Build from a bundle's settings `reader` and `image_steps`; others are left aside.

        Args:
            values: as in a bundle's JSON. It is a program: `_target_` calls what it names.

        Raises:
            ValueError: neither setting is there.
        """
        chosen = {key: values[key] for key in SETTINGS if key in values}
        if not chosen:
            raise ValueError(f"none of the settings {list(SETTINGS)} is there, only {sorted(map(str, values))}")
        parser = ConfigParser({"reader": None, "image_steps": [], **chosen})
        return cls(parser.get_parsed_content("reader"), parser.get_parsed_content("image_steps"))

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> ImageReading:
        """Build from the JSON file that overrides a bundle's config; see `from_config`.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: it is no JSON object, or holds neither setting.
        """
        path = Path(path)
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(values, dict):
                raise ValueError("expected a JSON object")
            return cls.from_config(values)
        except FileNotFoundError:
            raise FileNotFoundError(f"{path.name!r} does not exist") from None
        except ValueError as error:
            raise ValueError(f"{path.name}: {error}") from None

    @property
    def is_ours(self) -> bool:
        """Whether this is the package's own reader, without any step."""
        return type(self.reader) is RadiographReader and not self.steps.steps

    def describe(self) -> dict[str, Any]:
        """Return the names of the reader (None: ours) and the steps, for what is kept beside weights."""
        ours = type(self.reader) is RadiographReader
        return {
            "reader": None if ours else _name(self.reader),
            "image_steps": [_name(step) for step in self.steps.steps],
        }

    def warn_if_other_than(self, trained: Mapping[str, Any] | None) -> None:
        """Log a warning where pictures were made in another way when the weights were trained.

        Args:
            trained: what `describe` gave then; None is ours alone.
        """
        expected = trained or ImageReading().describe()
        if self.describe() != dict(expected):
            logger.warning(
                "the model was trained on pictures by %s, and gets them by %s: its results are not to be trusted",
                _say(expected),
                _say(self.describe()),
            )

    def read(self, path: str | os.PathLike[str]) -> MetaTensor:
        """Return the picture of a file as the reader gives it, (1, H, W); the steps are still to come."""
        return read_image(self.reader, path)

    def prepare(self, image: torch.Tensor) -> ReadImage:
        """Run the steps.

        Args:
            image: (1, H, W) from `read`, or (H, W) float32 in [0, 1].

        Raises:
            RadiographError: a step gives no picture.
        """
        first = image if image.ndim == 3 else image[None]
        if not self.steps.steps:
            return ReadImage(_pixels(first))
        tracked = first if isinstance(first, MetaTensor) else MetaTensor(first)
        last = self.steps({"image": tracked})["image"]
        move = picture_move(tracked, last)
        return ReadImage(_pixels(last), None if move.is_none else move)

    def __call__(self, path: str | os.PathLike[str]) -> ReadImage:
        """Read a file and run the steps.

        Raises:
            RadiographError: the file cannot be used, or a step gives no picture.
        """
        return self.prepare(self.read(path))


def _pixels(image: torch.Tensor) -> torch.Tensor:
    values = image.as_tensor() if isinstance(image, MetaTensor) else image
    return values[0].float().contiguous()


def _say(described: Mapping[str, Any]) -> str:
    return " and ".join([described.get("reader") or "our reader", *(described.get("image_steps") or ())])


def _name(thing: Any) -> str:
    return f"{type(thing).__module__}.{type(thing).__qualname__}"
