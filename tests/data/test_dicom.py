from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
from pydicom import Dataset, FileMetaDataset
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.sequence import Sequence
from pydicom.uid import (
    DigitalXRayImageStorageForPresentation,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
    generate_uid,
)

from monai_place.data.radiograph import read_radiograph

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
Pixels = npt.NDArray[Any]


def stored_pixels(bits: int = 12, *, signed: bool = False, shape: tuple[int, int] = (9, 14)) -> Pixels:
    """Random values that fill the whole range, both ends included; taller than wide it is not."""
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    kind = "i" if signed else "u"
    values = np.random.default_rng(bits).integers(low, high + 1, shape)
    values[0, 0], values[-1, -1] = low, high
    return values.astype(f"<{kind}{1 if bits <= 8 else 2}")


def dicom(pixels: Pixels, bits: int = 12, **elements: Any) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.SOPClassUID = DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID
    dataset.PatientName = "Planted^Name"
    dataset.PatientID = "PLANTED-ID"
    dataset.Rows, dataset.Columns = pixels.shape[:2]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated = pixels.dtype.itemsize * 8
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
    data = pixels.tobytes()
    dataset.PixelData = data + b"\0" * (len(data) % 2)
    dataset["PixelData"].VR = "OW"
    for key, value in elements.items():
        setattr(dataset, key, value)
    return dataset


def lut(entries: Pixels, first: int, bits: int) -> Sequence:
    item = Dataset()
    item.add_new("LUTDescriptor", "SS" if first < 0 else "US", [len(entries) % 65536, first, bits])
    item.add_new("LUTData", "OW", entries.astype("<u2").tobytes())
    return Sequence([item])


def save(dataset: Dataset, folder: Path, name: str = "study.dcm", **options: Any) -> Path:
    path = folder / name
    dataset.save_as(path, **{"enforce_file_format": True, **options})
    return path


def read(dataset: Dataset, folder: Path) -> Pixels:
    return read_radiograph(save(dataset, folder))[0]


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 15, 16])
@pytest.mark.parametrize("signed", [False, True])
def test_pixels_of_every_depth_equal_pydicom_scaled_in_its_order_of_axes(
    tmp_path: Path, bits: int, signed: bool
) -> None:
    pixels = stored_pixels(bits, signed=signed)
    path = save(dicom(pixels, bits), tmp_path)
    reference = pydicom.dcmread(path).pixel_array.astype(np.float64)
    expected = (reference - reference.min()) / (reference.max() - reference.min())
    result, _ = read_radiograph(path)
    assert result.dtype == np.float32
    assert result.shape == (9, 14)
    np.testing.assert_array_equal(result, expected.astype(np.float32))


SHIPPED_GREY = [
    "CT_small.dcm",
    "JPEG2000.dcm",
    "JPEGLSNearLossless_08.dcm",
    "JPEGLSNearLossless_16.dcm",
    "JPGExtended.dcm",
    "J2K_pixelrep_mismatch.dcm",
    "MR_small.dcm",
    "MR_small_RLE.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_implicit.dcm",
    "MR_small_jp2klossless.dcm",
    "MR_small_jpeg_ls_lossless.dcm",
    "examples_overlay.dcm",
    "image_dfl.dcm",
]


@pytest.mark.parametrize("name", SHIPPED_GREY)
def test_a_file_shipped_with_pydicom_equals_its_pixel_array_after_modality_and_window(name: str) -> None:
    with warnings.catch_warnings():  # some of these files break the standard on purpose
        warnings.simplefilter("ignore")
        dataset = pydicom.dcmread(SHIPPED / name)
        values = apply_modality_lut(dataset.pixel_array, dataset)
        expected = apply_voi_lut(values, dataset).astype(np.float64)
        ends = apply_voi_lut(np.array([-1e9, 1e9]), dataset) if "WindowCenter" in dataset else expected
    expected = (expected - ends.min()) / (ends.max() - ends.min())
    result, meta = read_radiograph(SHIPPED / name)
    assert tuple(meta["spatial_shape"]) == (dataset.Rows, dataset.Columns)
    np.testing.assert_allclose(result, expected, atol=1e-6)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("bits", [8, 12, 16])
@pytest.mark.parametrize("shape", [None, "INVERSE"])
def test_monochrome1_equals_its_monochrome2_twin_pixel_for_pixel(
    tmp_path: Path, bits: int, signed: bool, shape: str | None
) -> None:
    pixels = stored_pixels(bits, signed=signed)
    twin = ~pixels if signed else ((1 << bits) - 1 - pixels.astype(np.int64)).astype(pixels.dtype)
    polarity = {"PhotometricInterpretation": "MONOCHROME1"} | ({"PresentationLUTShape": shape} if shape else {})
    first = read(dicom(pixels, bits, **polarity), tmp_path)
    np.testing.assert_array_equal(first, read(dicom(twin, bits), tmp_path))
    assert first[0, 0] == 1.0  # the smallest stored value is white


def test_monochrome1_with_a_window_equals_its_twin_with_the_mirrored_window(tmp_path: Path) -> None:
    pixels = stored_pixels(12)
    first = dicom(pixels, PhotometricInterpretation="MONOCHROME1", WindowCenter=1000, WindowWidth=701)
    # C.11.2.1.2.1 takes (center - 0.5) as the middle; under x -> 4095 - x that is 4095 - 1000 + 1.
    second = dicom(4095 - pixels, WindowCenter=3096, WindowWidth=701)
    np.testing.assert_allclose(read(first, tmp_path), read(second, tmp_path), atol=1e-6)


def test_presentation_lut_shape_inverse_inverts_monochrome2(tmp_path: Path) -> None:
    pixels = stored_pixels(12)
    plain = read(dicom(pixels), tmp_path)
    inverse = read(dicom(pixels, PresentationLUTShape="INVERSE"), tmp_path)
    np.testing.assert_allclose(inverse, 1 - plain, atol=1e-6)
    np.testing.assert_array_equal(read(dicom(pixels, PresentationLUTShape="IDENTITY"), tmp_path), plain)


def test_monochrome1_with_identity_is_shown_as_monochrome1_and_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pixels = stored_pixels(12)
    alone = read(dicom(pixels, PhotometricInterpretation="MONOCHROME1"), tmp_path)
    assert not caplog.records
    both = dicom(pixels, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="IDENTITY")
    np.testing.assert_array_equal(read(both, tmp_path), alone)
    assert "MONOCHROME1 with Presentation LUT Shape IDENTITY" in caplog.text


def test_rescale_comes_before_the_window(tmp_path: Path) -> None:
    pixels = stored_pixels(12)
    dataset = dicom(pixels, RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=500.5, WindowWidth=1001)
    expected = np.clip((2.0 * pixels - 1000) / 1000, 0, 1)
    np.testing.assert_allclose(read(dataset, tmp_path), expected, atol=1e-6)


def test_a_negative_rescale_slope_turns_the_picture_once(tmp_path: Path) -> None:
    pixels = stored_pixels(12)
    dataset = dicom(pixels, RescaleSlope=-1, RescaleIntercept=4095, WindowCenter=2048, WindowWidth=4096)
    np.testing.assert_allclose(read(dataset, tmp_path), (4095.0 - pixels) / 4095, atol=1e-6)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        pytest.param(None, lambda x: np.clip((x - 999.5) / 400 + 0.5, 0, 1), id="linear by default"),
        pytest.param("LINEAR", lambda x: np.clip((x - 999.5) / 400 + 0.5, 0, 1), id="linear"),
        pytest.param("LINEAR_EXACT", lambda x: np.clip((x - 1000) / 401 + 0.5, 0, 1), id="exact"),
        pytest.param("SIGMOID", lambda x: 1 / (1 + np.exp(-4 * (x - 1000) / 401)), id="sigmoid"),
    ],
)
def test_the_first_window_is_applied_by_its_function(tmp_path: Path, function: str | None, expected: Any) -> None:
    pixels = stored_pixels(12)
    pixels[0, :4] = 799, 1000, 1001, 1200
    elements = {"VOILUTFunction": function} if function else {}
    dataset = dicom(pixels, WindowCenter=[1000, 2], WindowWidth=[401, 2], **elements)
    np.testing.assert_allclose(read(dataset, tmp_path), expected(pixels.astype(np.float64)), atol=1e-6)


@pytest.mark.parametrize("center_width", [(100, 0), (100, -5), (None, None)])
def test_an_invalid_window_falls_back_to_minimum_and_maximum(tmp_path: Path, center_width: Any) -> None:
    pixels = stored_pixels(12)
    dataset = dicom(pixels, WindowCenter=center_width[0], WindowWidth=center_width[1])
    np.testing.assert_allclose(read(dataset, tmp_path), pixels / 4095, atol=1e-6)


def test_a_modality_lut_maps_the_stored_values(tmp_path: Path) -> None:
    pixels = stored_pixels(8).astype("<u2")
    entries = np.sqrt(np.arange(200) / 199) * 4095
    dataset = dicom(pixels, 8, ModalityLUTSequence=lut(entries, 20, 16))
    expected = entries.astype(np.uint16)[np.clip(pixels.astype(int) - 20, 0, 199)] / 4095
    np.testing.assert_allclose(read(dataset, tmp_path), expected, atol=1e-6)


@pytest.mark.parametrize("bits", [8, 12, 16])
def test_a_voi_lut_wins_over_the_window_and_spans_its_own_depth(tmp_path: Path, bits: int) -> None:
    pixels = stored_pixels(12)
    entries = (np.linspace(0, 1, 4096) ** 2 * ((1 << bits) - 1)).astype(np.uint16)
    dataset = dicom(pixels, VOILUTSequence=lut(entries, 0, bits), WindowCenter=10, WindowWidth=10)
    np.testing.assert_allclose(read(dataset, tmp_path), entries[pixels] / ((1 << bits) - 1), atol=1e-6)


def test_a_voi_lut_with_packed_bytes_is_read_as_bytes(tmp_path: Path) -> None:
    pixels = stored_pixels(8)
    entries = np.arange(255, -1, -1, dtype=np.uint8)
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [256, 0, 8])
    item.add_new("LUTData", "OW", entries.tobytes())
    np.testing.assert_allclose(
        read(dicom(pixels, 8, VOILUTSequence=Sequence([item])), tmp_path), (255 - pixels) / 255, atol=1e-6
    )


@pytest.mark.parametrize("first", [-512, 65536 - 512])  # as SS, and as US by writers that do not mind
def test_a_voi_lut_on_signed_pixels_starts_below_zero(tmp_path: Path, first: int) -> None:
    pixels = stored_pixels(10, signed=True)
    entries = np.arange(1024) * 4
    dataset = dicom(pixels, 10, VOILUTSequence=lut(entries, first, 12))
    np.testing.assert_allclose(read(dataset, tmp_path), (pixels.astype(int) + 512) * 4 / 4095, atol=1e-6)


def test_padding_takes_no_part_in_minimum_and_maximum(tmp_path: Path) -> None:
    pixels = stored_pixels(12, signed=True).astype(np.int16)
    pixels[1] = -30000
    dataset = dicom(pixels, 16)
    dataset.add_new("PixelPaddingValue", "SS", -30000)
    result = read(dataset, tmp_path)
    np.testing.assert_allclose(result[2:], (pixels[2:] + 2048) / 4095, atol=1e-6)
    assert not result[1].any()


def test_a_constant_picture_is_zero_in_both_polarities(tmp_path: Path) -> None:
    pixels = np.full((4, 6), 700, dtype=np.uint16)
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        assert not read(dicom(pixels, PhotometricInterpretation=photometric), tmp_path).any()


@pytest.mark.parametrize("syntax", [JPEG2000Lossless, JPEGLSLossless, RLELossless])
def test_a_compressed_file_equals_the_plain_one(tmp_path: Path, syntax: str) -> None:
    dataset = dicom(stored_pixels(12, shape=(70, 90)))  # JPEG 2000 takes nothing smaller than its levels
    plain = read(dataset, tmp_path)
    dataset.compress(syntax, generate_instance_uid=False)
    assert dataset.file_meta.TransferSyntaxUID == syntax
    np.testing.assert_array_equal(read(dataset, tmp_path), plain)


@pytest.mark.parametrize(
    ("elements", "spacing"),
    [
        pytest.param({"PixelSpacing": [0.3, 0.2], "ImagerPixelSpacing": [1, 1]}, (0.3, 0.2), id="pixel"),
        pytest.param({"ImagerPixelSpacing": [0.143, 0.139]}, (0.143, 0.139), id="imager"),
        pytest.param({"NominalScannedPixelSpacing": [0.1, 0.2]}, (0.1, 0.2), id="film"),
        pytest.param({"PixelSpacing": [0, 0], "ImagerPixelSpacing": [0.4, 0.5]}, (0.4, 0.5), id="zero"),
        pytest.param({}, None, id="none"),
    ],
)
def test_pixel_spacing_is_kept_as_row_and_column(tmp_path: Path, elements: Any, spacing: Any) -> None:
    _, meta = read_radiograph(save(dicom(stored_pixels(), **elements), tmp_path))
    assert meta["pixel_spacing_mm"] == spacing
    np.testing.assert_array_equal(meta["affine"], np.diag([*(spacing or (1, 1)), 1, 1]))


@pytest.mark.parametrize("implicit", [False, True])
def test_a_file_without_preamble_and_meta_information_and_suffix_is_read(tmp_path: Path, implicit: bool) -> None:
    dataset = dicom(stored_pixels())
    expected = read(dataset, tmp_path)
    del dataset.file_meta
    path = save(dataset, tmp_path, "bare", enforce_file_format=False, implicit_vr=implicit, little_endian=True)
    assert path.read_bytes()[128:132] != b"DICM"
    np.testing.assert_array_equal(read_radiograph(path)[0], expected)


def test_one_frame_that_is_counted_is_read(tmp_path: Path) -> None:
    assert read(dicom(stored_pixels(), NumberOfFrames=1), tmp_path).shape == (9, 14)


def test_one_pixel_is_a_picture(tmp_path: Path) -> None:
    assert read(dicom(np.array([[700]], dtype=np.uint16)), tmp_path).tolist() == [[0.0]]


def test_nothing_that_identifies_the_patient_reaches_log_or_metadata(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = dicom(stored_pixels(), StudyDate="19990101", AccessionNumber="PLANTED-ACC", WindowCenter=1, WindowWidth=0)
    dataset.private_block(0x0011, "PLANTED CREATOR", create=True).add_new(0x01, "LO", "PLANTED-PRIVATE")
    with caplog.at_level(logging.DEBUG):
        _, meta = read_radiograph(save(dataset, tmp_path))
    assert "its window is not valid" in caplog.text
    for text in (caplog.text, str(meta)):
        assert "Planted" not in text.replace(str(tmp_path), "")
        assert "PLANTED" not in text
        assert "19990101" not in text
