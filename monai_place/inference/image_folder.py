"""The images of a folder as a MONAI data set in which a bad file has its place and does not stop the others."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from monai.data import Dataset

from monai_place.data.image_files import images_below
from monai_place.data.paths import PathGuard
from monai_place.data.radiograph import RadiographError
from monai_place.inference.images import as_text, failure_reason

__all__ = ["ImageFolderDataset", "image_records", "require_images"]

logger = logging.getLogger(__name__)


def image_records(folder: str | os.PathLike[str]) -> list[dict[str, str]]:
    """List the images anywhere below a folder, in order of name, as `{"image": path, "source": name}`.

    Args:
        folder: where to look, as `monai_place.data.image_files.images_below` does. One that does not exist is logged,
            and has no images.
    """
    root = Path(folder)
    if not root.is_dir():
        logger.warning("%r is no folder; there are no images in it", root.name)
    return [{"image": str(path), "source": path.relative_to(root).as_posix()} for path in images_below(root)]


def require_images(dataset: ImageFolderDataset) -> None:
    """Raise where there is nothing to do.

    Args:
        dataset: of the run.

    Raises:
        FileNotFoundError: it holds no image.
    """
    if not len(dataset):
        raise FileNotFoundError(f"dataset_dir {Path(dataset.root).name!r} holds no DICOM, NIfTI, PNG or JPEG file")


class ImageFolderDataset(Dataset):
    """Prepares the images of `image_records`; one that cannot be prepared becomes an image of zeros with its reason.

    An item holds `image` (1, S, S), `source` (bytes that are no UTF-8 as their hexadecimal numbers), and `error`: None,
    or why there is no image, without a tag's value. A link that leads out of the folder is not followed.

    Args:
        data: from `image_records`.
        transform: from the path at `image` to the network's input.
        image_size: S.
        root: the folder.

    Example:
        >>> dataset = ImageFolderDataset([], transform=None, image_size=8, root=".")
        >>> len(dataset)
        0
    """

    def __init__(
        self,
        data: Sequence[Mapping[str, Any]],
        transform: Callable[[Any], Any] | None,
        *,
        image_size: int,
        root: str | os.PathLike[str],
    ) -> None:
        super().__init__(data=data, transform=transform)
        self.image_size = image_size
        self.root = root
        self._guard = PathGuard(root)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return one image."""
        record = self.data[index]
        image, name = torch.zeros(1, self.image_size, self.image_size), as_text(record["source"])
        item = {"image": image, "source": name, "error": None}
        try:
            try:
                path = self._guard.resolve(record["source"])
            except ValueError as error:
                raise RadiographError(str(error)) from None
            prepared = self.transform({**record, "image": path})
            return {**item, "image": prepared["image"]}
        except Exception as error:
            reason = failure_reason(record["source"], error)
            logger.warning("%s", reason)
            return {**item, "error": reason}
