"""Files of an archive of one's own: DICOM radiographs and structured reports with what their headers say of people."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset, FileMetaDataset
from pydicom.config import disable_value_validation
from pydicom.sequence import Sequence
from pydicom.uid import BasicTextSRStorage, ComputedRadiographyImageStorage, ExplicitVRLittleEndian, generate_uid

from monai_place.data.pixels import silent_decoders

__all__ = ["text_item", "write_radiograph", "write_report"]


def write_radiograph(path: Path, *, size: int = 24, seed: int = 0, **tags: Any) -> Path:
    """Write a 12 bit radiograph; `tags` are elements by keyword, None takes one out.

    Args:
        path: its folder is made.
        size: of its side in pixels.
        seed: of its pixels.
        tags: elements of the header.
    """
    dataset = _new(ComputedRadiographyImageStorage, {"Modality": "CR", "ViewPosition": "PA", **tags})
    dataset.Rows = dataset.Columns = size
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelSpacing = [0.2, 0.3]
    dataset.PixelData = np.random.default_rng(seed).integers(0, 4096, (size, size), dtype=np.uint16).tobytes()
    return _save(dataset, path)


def write_report(path: Path, items: list[Dataset], **tags: Any) -> Path:
    """Write a Basic Text SR with these content items."""
    dataset = _new(BasicTextSRStorage, {"Modality": "SR", "ContentDate": "20200101", "ContentTime": "120000", **tags})
    dataset.ValueType, dataset.ContinuityOfContent = "CONTAINER", "SEPARATE"
    dataset.ContentSequence = Sequence(items)
    return _save(dataset, path)


def text_item(
    name: str, text: str = "", *, items: list[Dataset] | None = None, relationship: str = "CONTAINS"
) -> Dataset:
    """Return a TEXT item with a name, or a container of `items`."""
    item, code = Dataset(), Dataset()
    code.CodeValue, code.CodingSchemeDesignator, code.CodeMeaning = "1", "99TEST", name
    item.RelationshipType, item.ConceptNameCodeSequence = relationship, Sequence([code])
    if items is None:
        item.ValueType, item.TextValue = "TEXT", text
    else:
        item.ValueType, item.ContentSequence = "CONTAINER", Sequence(items)
    return item


def _new(sop_class: str, tags: dict[str, Any]) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = sop_class
    dataset.SOPInstanceUID, dataset.StudyInstanceUID = generate_uid(), generate_uid()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    with silent_decoders(), disable_value_validation():  # archives hold values that the standard does not allow
        for keyword, value in tags.items():
            if value is not None:
                setattr(dataset, keyword, value)
            elif keyword in dataset:
                del dataset[keyword]
        dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.get("SOPInstanceUID") or generate_uid()
    return dataset


def _save(dataset: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with silent_decoders(), disable_value_validation():
        dataset.save_as(path, enforce_file_format=True)
    return path
