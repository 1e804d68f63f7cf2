"""Small trees in the layouts of public data sets: pictures as they come, and what a prepared datalist holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from monai_place.data.datalist import SPLITS, read_datalist


def write_dicom(path: Path, height: int = 16, width: int = 16) -> None:
    """Write an 8 bit DICOM radiograph with a planted name."""
    from pydicom import Dataset, FileMetaDataset
    from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian, generate_uid

    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = generate_uid()
    dataset.PatientName, dataset.PatientID = "Planted^Name", "PLANTED-ID"
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = height, width, 1
    dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 0
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelData = np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8).tobytes()
    dataset["PixelData"].VR = "OB"
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=True)


def write_picture(path: Path, height: int = 16, width: int = 16) -> None:
    """Write a grey PNG or JPEG, by the suffix of the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width), dtype=np.uint8)).save(path)


def records_by_id(path: Path) -> dict[str, dict[str, Any]]:
    """Return all records of a datalist."""
    return {record["id"]: record for _, _, record in read_datalist(path).records()}


def ids_by_split(path: Path) -> dict[str, list[str]]:
    """Return the ids of each split of a datalist, in its order."""
    splits = read_datalist(path).splits
    return {split: [record["id"] for record in splits[split]] for split in SPLITS}


def read_mask_of(path: Path, record: dict[str, Any]) -> Any:
    """Return the pixels of a record's mask."""
    with Image.open(path.parent / record["mask"]) as image:
        return np.asarray(image).copy()
