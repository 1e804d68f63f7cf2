"""MONAI's interface to our reading of radiographs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from monai.data import ImageReader

from monai_place.data.radiograph import RadiographError, read_radiograph

__all__ = ["RadiographReader"]

SUFFIXES = (".dcm", ".dicom", ".nii", ".nii.gz", ".png", ".jpg", ".jpeg")


class RadiographReader(ImageReader):
    """MONAI's interface to `read_radiograph`, for `LoadImaged(reader="monai_place.data.radiograph.RadiographReader")`.

    `read` only notes the path and `get_data` decodes: MONAI passes a file that a reader's `read` fails on to its other
    readers, which would show a refused file (a color object, an inverted one) as if nothing were wrong.

    In the metadata an unknown `pixel_spacing_mm` is (NaN, NaN), because MONAI cannot batch None.

    Args:
        least_side: pixels of the shorter side that suffice; see `read_radiograph`.
    """

    def __init__(self, least_side: int | None = None) -> None:
        super().__init__()
        self.least_side = least_side

    def verify_suffix(self, filename: Sequence[str | os.PathLike[str]] | str | os.PathLike[str]) -> bool:
        """Tell whether the name looks like a radiograph's; a name without suffix may be DICOM."""
        names = [filename] if isinstance(filename, (str, os.PathLike)) else filename
        return all(str(name).lower().endswith(SUFFIXES) or not Path(name).suffix for name in names)

    def read(self, data: Sequence[str | os.PathLike[str]] | str | os.PathLike[str], **kwargs: Any) -> Path:
        """Note the path of one file.

        Raises:
            RadiographError: there are several files: a study's views are records of their own.
        """
        paths = [data] if isinstance(data, (str, os.PathLike)) else list(data)
        if len(paths) != 1:
            raise RadiographError(f"expected one file, got {len(paths)}")
        return Path(paths[0])

    def get_data(self, img: Path) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        """Decode the file; see `read_radiograph`."""
        pixels, meta = read_radiograph(img, least_side=self.least_side)
        meta["pixel_spacing_mm"] = np.array(meta["pixel_spacing_mm"] or (np.nan, np.nan))
        return pixels, meta
