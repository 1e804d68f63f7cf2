"""The package of a vendor, outside ours, and an archive as its detectors write it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom

from monai_place.data.phantom import write_phantom

__all__ = ["BORDER", "PACKAGE", "SETTINGS", "write_archive"]

PACKAGE = Path(__file__).resolve().parents[1] / "data" / "vendor_package"
BORDER = 6  # pixels that the collimator leaves dark
SETTINGS: dict[str, Any] = {
    "reader": "northside.ThreeFrameReader",
    "image_steps": [
        {"_target_": "northside.CollimationCropd", "keys": "image"},
        {"_target_": "northside.Clahed", "keys": "image"},
    ],
}


def write_archive(folder: Path, **options: Any) -> Path:
    """Write a phantom whose images are DICOM objects of three frames with a dark border; return its datalist."""
    datalist = write_phantom(folder, size=64, image_format="dicom", **options)
    for path in folder.rglob("*.dcm"):
        dataset = pydicom.dcmread(path)
        stored = dataset.pixel_array.copy()
        dark = stored.max() if dataset.PhotometricInterpretation == "MONOCHROME1" else stored.min()
        for edge in (np.s_[:BORDER], np.s_[-BORDER:], np.s_[:, :BORDER], np.s_[:, -BORDER:]):
            stored[edge] = dark
        dataset.NumberOfFrames = 3
        dataset.PixelData = np.stack([stored, stored // 2, stored // 4]).astype(stored.dtype).tobytes()
        dataset.save_as(path)
    return datalist
