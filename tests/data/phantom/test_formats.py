from __future__ import annotations

import io
from pathlib import Path

import nibabel as nib
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.pixels import apply_voi_lut

from monai_place.data.phantom import PhantomStudy, dicom_layout, encode_image, encode_mask, quantize_map
from monai_place.data.phantom.formats import ImageFormat
from monai_place.data.radiograph import read_radiograph


def layouts(studies: list[PhantomStudy]) -> dict[tuple[bool, int], PhantomStudy]:
    """Return one study for each kind of DICOM file: (MONOCHROME1?, bits stored)."""
    return {dicom_layout(study.seed, study.index): study for study in studies}


def test_some_dicom_files_are_inverted_and_some_have_12_bits(studies: list[PhantomStudy]) -> None:
    assert set(layouts(studies)) == {(inverted, bits) for inverted in (False, True) for bits in (8, 12, 16)}


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("bits", [8, 12, 16])
def test_a_dicom_file_holds_the_picture_by_pydicom_alone(
    studies: list[PhantomStudy], bits: int, *, inverted: bool
) -> None:
    study = layouts(studies)[inverted, bits]
    data = pydicom.dcmread(io.BytesIO(encode_image(study, "dicom")))
    assert data.PhotometricInterpretation == ("MONOCHROME1" if inverted else "MONOCHROME2")
    assert data.BitsStored == bits
    stored = data.pixel_array.astype(np.int64)
    values = (2**bits - 1) - stored if inverted else stored
    np.testing.assert_array_equal(values, quantize_map(study.image, bits))


def test_the_window_of_a_dicom_file_is_the_identity(studies: list[PhantomStudy]) -> None:
    study = layouts(studies)[False, 12]
    data = pydicom.dcmread(io.BytesIO(encode_image(study, "dicom")))
    shown = apply_voi_lut(data.pixel_array, data)
    np.testing.assert_allclose(shown, data.pixel_array, atol=1e-6)


def test_a_dicom_file_says_where_its_pixels_lie_and_names_nobody(studies: list[PhantomStudy]) -> None:
    study = studies[0]
    data = pydicom.dcmread(io.BytesIO(encode_image(study, "dicom")))
    assert [float(value) for value in data.PixelSpacing] == pytest.approx(list(study.pixel_spacing_mm))
    assert str(data.PatientName) == f"PHANTOM^{study.patient_id}"
    assert data.PatientBirthDate == data.StudyDate == ""
    assert data.PatientOrientation == ["L", "F"]
    assert data.file_meta.MediaStorageSOPInstanceUID == data.SOPInstanceUID


def test_dicom_uids_are_valid_unique_and_stay_the_same(studies: list[PhantomStudy]) -> None:
    datasets = [pydicom.dcmread(io.BytesIO(encode_image(study, "dicom"))) for study in studies[:12]]
    uids = [uid for data in datasets for uid in (data.SOPInstanceUID, data.StudyInstanceUID, data.SeriesInstanceUID)]
    assert len(set(uids)) == 36
    assert all(uid.is_valid for uid in uids)
    assert encode_image(studies[0], "dicom") == encode_image(studies[0], "dicom")


@pytest.mark.parametrize(("bits", "dtype"), [(8, np.uint8), (16, np.uint16)])
def test_a_png_file_holds_the_picture(studies: list[PhantomStudy], bits: int, dtype: type) -> None:
    pixels = np.asarray(Image.open(io.BytesIO(encode_image(studies[1], "png", bits=bits))))
    assert pixels.dtype == dtype
    np.testing.assert_array_equal(pixels, quantize_map(studies[1].image, bits))


@pytest.mark.parametrize("bits", [8, 16])
def test_a_nifti_file_runs_to_the_patients_left_and_down(
    studies: list[PhantomStudy], tmp_path: Path, bits: int
) -> None:
    path = tmp_path / "study.nii.gz"
    path.write_bytes(encode_image(studies[1], "nifti", bits=bits))
    image = nib.load(path)
    assert image.shape == (96, 96, 1)
    assert nib.aff2axcodes(image.affine) == ("L", "I", "A")
    np.testing.assert_allclose(image.header.get_zooms()[:2], studies[1].pixel_spacing_mm, rtol=1e-6)
    np.testing.assert_array_equal(np.asarray(image.dataobj)[:, :, 0].T, quantize_map(studies[1].image, bits))


@pytest.mark.parametrize(
    ("image_format", "suffix", "bits"),
    [
        pytest.param("png", ".png", 8, id="png"),
        pytest.param("png", ".png", 16, id="png16"),
        pytest.param("dicom", ".dcm", 8, id="dicom"),
        pytest.param("nifti", ".nii.gz", 8, id="nifti"),
        pytest.param("nifti", ".nii.gz", 16, id="nifti16"),
    ],
)
def test_the_projects_reader_gives_the_picture_back(
    studies: list[PhantomStudy], tmp_path: Path, image_format: ImageFormat, suffix: str, bits: int
) -> None:
    for study in studies[:8]:
        path = tmp_path / f"{study.study_id}{suffix}"
        path.write_bytes(encode_image(study, image_format, bits=bits))
        array, _ = read_radiograph(path)
        depth = dicom_layout(study.seed, study.index)[1] if image_format == "dicom" else bits
        np.testing.assert_allclose(array, quantize_map(study.image, depth) / (2**depth - 1), atol=1e-6)


def test_masks_are_written_as_indices_and_as_black_and_white() -> None:
    index = np.array([[0, 7], [3, 1]], dtype=np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encode_mask(index)))), index)
    white = np.asarray(Image.open(io.BytesIO(encode_mask(index > 2))))
    np.testing.assert_array_equal(white, [[0, 255], [255, 0]])


def test_quantizing_keeps_black_and_white_and_rounds() -> None:
    values = np.array([0, 0.5, 1, 0.999], dtype=np.float32)
    np.testing.assert_array_equal(quantize_map(values, 12), [0, 2048, 4095, 4091])
