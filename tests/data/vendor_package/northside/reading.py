"""The dual-energy detectors write one DICOM object with three frames: standard, soft tissue, bone."""

from pathlib import Path

import numpy as np
from monai.data import ImageReader
from pydicom import dcmread
from pydicom.pixels import apply_modality_lut, apply_voi_lut, pixel_array

from monai_place.data import read_radiograph

FRAMES = 3


class ThreeFrameReader(ImageReader):
    """Reads one frame of those objects, and every other file as monai-place does.

    Args:
        frame: 0 is the standard picture, 1 soft tissue, 2 bone.
    """

    def __init__(self, frame=0):
        if not 0 <= frame < FRAMES:
            raise ValueError(f"frame must be 0, 1 or 2, got {frame}")
        self.frame = frame

    def verify_suffix(self, filename):
        return True

    def read(self, data, **kwargs):
        return Path(data)

    def get_data(self, img):
        if _frames(img) != FRAMES:
            return read_radiograph(img)
        try:
            dataset = dcmread(img)
            stored = pixel_array(dataset, index=self.frame)
            values = apply_voi_lut(apply_modality_lut(stored, dataset), dataset).astype(np.float64)
        except Exception as error:  # what it says may quote the header
            raise ValueError(f"{img.name}: the three frames are damaged ({type(error).__name__})") from None
        low, high = values.min(), values.max()
        unit = (values - low) / (high - low) if high > low else np.zeros_like(values)
        if dataset.PhotometricInterpretation == "MONOCHROME1":
            unit = 1 - unit
        return unit.astype(np.float32), {}


def _frames(path):
    try:
        return int(dcmread(path, stop_before_pixels=True, specific_tags=["NumberOfFrames"]).get("NumberOfFrames") or 1)
    except Exception:  # no DICOM; read_radiograph says what is wrong with it
        return 1
