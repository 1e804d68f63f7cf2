"""Bytes of the phantom's files: PNG, DICOM and NIfTI; each a function of its arguments alone.

Axes, for whoever reads these files:

- **PNG**: rows first, row 0 at the top; 8 bit, or 16 bit over the full range.
- **DICOM**: `pixel_array` is (rows, columns), row 0 at the top. The window covers the stored range exactly, so that
  modality and VOI steps are the identity on [0, 1]; MONOCHROME1 files hold `maximum - value`.
- **NIfTI**: the array is (W, H, 1). Voxel axis 0 runs along the columns of the picture to image-right, which is the
  patient's left; axis 1 runs down its rows. With NIfTI's RAS+ axes the affine's columns are therefore
  axis 0 -> (-sx, 0, 0), axis 1 -> (0, 0, -sz), axis 2 -> (0, 1, 0); `array[:, :, 0].T` is the picture. Its
  integers run over the full range of uint8 or uint16, and the header scales nothing.
"""

from __future__ import annotations

import gzip
import io
import uuid
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from monai_place.data.phantom.grid import FloatMap, stream

if TYPE_CHECKING:
    from pydicom.uid import UID

    from monai_place.data.phantom.study import PhantomStudy

__all__ = ["SUFFIXES", "ImageFormat", "dicom_layout", "encode_image", "encode_mask", "quantize_map"]

ImageFormat: TypeAlias = Literal["png", "dicom", "nifti"]
SUFFIXES: dict[str, str] = {"png": ".png", "dicom": ".dcm", "nifti": ".nii.gz"}
_PNG_LEVEL = 1  # noise does not compress: higher levels cost time and save nothing
_MONOCHROME1_SHARE = 0.3
_BITS_STORED = (8, 12, 12, 16)
_COMPUTED_RADIOGRAPHY = "1.2.840.10008.5.1.4.1.1.1"
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_DNS, "phantom.monai-place")


def quantize_map(image: FloatMap, bits: int) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """Gray values in [0, 1] as integers from 0 to 2**bits - 1."""
    scaled = np.rint(image.astype(np.float64) * (2**bits - 1))
    return scaled.astype(np.uint8 if bits <= 8 else np.uint16)


def encode_mask(mask: npt.NDArray[Any]) -> bytes:
    """PNG of an index mask (uint8), or of a boolean mask as 0 and 255."""
    return _png(mask.astype(np.uint8) * 255 if mask.dtype == np.bool_ else mask, level=6)


def encode_image(study: PhantomStudy, image_format: ImageFormat, *, bits: int = 8) -> bytes:
    """The study's picture as the bytes of a file.

    Args:
        study: what to write.
        image_format: "png", "dicom" or "nifti".
        bits: 8 or 16; DICOM files choose their own (`dicom_layout`).
    """
    if image_format == "dicom":
        return _dicom(study)
    if image_format == "nifti":
        return _nifti(study, bits)
    return _png(quantize_map(study.image, bits), level=_PNG_LEVEL)


def dicom_layout(seed: int, index: int) -> tuple[bool, int]:
    """Whether a study's DICOM file is MONOCHROME1, and its bits stored."""
    rng = stream(seed, index, "file")
    return bool(rng.random() < _MONOCHROME1_SHARE), int(rng.choice(_BITS_STORED))


def _png(pixels: npt.NDArray[Any], *, level: int) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=level)
    return buffer.getvalue()


def _nifti(study: PhantomStudy, bits: int) -> bytes:
    import nibabel as nib

    row_mm, column_mm = study.pixel_spacing_mm
    affine = np.array([[-column_mm, 0, 0, 0], [0, 0, 1, 0], [0, -row_mm, 0, 0], [0, 0, 0, 1]], dtype=np.float64)
    voxels = quantize_map(study.image, bits).T[:, :, None]  # (H, W) -> (W, H, 1)
    image = nib.Nifti1Image(voxels, affine, header=nib.Nifti1Header(endianness="<"), dtype=voxels.dtype)
    image.header.set_xyzt_units("mm")
    return gzip.compress(image.to_bytes(), compresslevel=1, mtime=0)


def _dicom(study: PhantomStudy) -> bytes:
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import UID, ExplicitVRLittleEndian

    monochrome1, bits = dicom_layout(study.seed, study.index)
    top = 2**bits - 1
    pixels = quantize_map(study.image, bits)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(_COMPUTED_RADIOGRAPHY)
    meta.MediaStorageSOPInstanceUID = _uid(study, "instance")
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data = Dataset()
    data.file_meta = meta
    data.SOPClassUID, data.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    data.StudyInstanceUID, data.SeriesInstanceUID = _uid(study, "study"), _uid(study, "series")
    # Type 2 attributes must be there and may be empty; the identifiers are invented.
    data.PatientName, data.PatientID = f"PHANTOM^{study.patient_id}", study.patient_id
    data.PatientBirthDate = data.PatientSex = data.StudyDate = data.StudyTime = ""
    data.ReferringPhysicianName = data.AccessionNumber = ""
    data.StudyID, data.SeriesNumber, data.InstanceNumber = study.study_id, 1, 1
    data.Manufacturer, data.Modality = "monai-place phantom", "CR"
    data.BodyPartExamined, data.ViewPosition, data.PatientOrientation = "CHEST", "PA", ["L", "F"]
    data.Rows, data.Columns = pixels.shape
    data.SamplesPerPixel, data.PixelRepresentation = 1, 0
    data.BitsAllocated, data.BitsStored, data.HighBit = (8 if bits <= 8 else 16), bits, bits - 1
    data.PhotometricInterpretation = "MONOCHROME1" if monochrome1 else "MONOCHROME2"
    data.PixelSpacing = [f"{spacing:.6f}" for spacing in study.pixel_spacing_mm]
    data.ImagerPixelSpacing = data.PixelSpacing
    # PS3.3 C.11.2.1.2: with these, the linear function takes 0..top to 0..1 exactly.
    data.WindowCenter, data.WindowWidth = f"{(top + 1) / 2:.1f}", str(top + 1)
    data.RescaleIntercept, data.RescaleSlope, data.RescaleType = "0", "1", "US"
    data.PixelData = _padded((top - pixels if monochrome1 else pixels).astype(f"<u{data.BitsAllocated // 8}").tobytes())
    data["PixelData"].VR = "OB" if bits <= 8 else "OW"
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def _padded(data: bytes) -> bytes:
    """DICOM values have even length."""
    return data + b"\0" * (len(data) % 2)


def _uid(study: PhantomStudy, what: str) -> UID:
    from pydicom.uid import UID

    name = f"{study.seed}/{study.index}/{study.image.shape[0]}/{what}"
    return UID(f"2.25.{uuid.uuid5(_NAMESPACE, name).int}")
