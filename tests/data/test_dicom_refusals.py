"""DICOM files that are refused, each with its reason; the others are in `test_dicom`."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from pydicom.pixels import get_decoder
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, JPEGLSLossless

from monai_place.data.radiograph import RadiographError, read_radiograph
from tests.data.test_dicom import SHIPPED, dicom, read, save, stored_pixels


def refused(path: Path, reason: str) -> None:
    with pytest.raises(RadiographError, match=reason) as error:
        read_radiograph(path)
    assert str(error.value).startswith(f"{path.name}: ")
    for secret in ("Planted", "PLANTED", str(path.parent)):
        assert secret not in str(error.value)


def test_a_multi_frame_object_is_refused(tmp_path: Path) -> None:
    pixels = stored_pixels()
    dataset = dicom(pixels, NumberOfFrames=2, PixelData=pixels.tobytes() * 2)
    refused(save(dataset, tmp_path), "multi-frame")
    refused(SHIPPED / "examples_ybr_color.dcm", "multi-frame")


@pytest.mark.parametrize("name", ["SC_rgb_rle.dcm", "examples_palette.dcm", "SC_ybr_full_422_uncompressed.dcm"])
def test_a_color_object_is_refused(name: str) -> None:
    refused(SHIPPED / name, "a color object")


@pytest.mark.parametrize("name", ["test-SR.dcm", "reportsi.dcm", "rtplan.dcm", "waveform_ecg.dcm"])
def test_an_object_that_is_no_image_is_refused(name: str) -> None:
    refused(SHIPPED / name, "not an image object")


@pytest.mark.parametrize(
    ("sop_class", "kind"),
    [
        pytest.param("1.2.840.10008.5.1.4.1.1.66.4", "a segmentation", id="segmentation"),
        pytest.param("1.2.840.10008.5.1.4.1.1.66.7", "a segmentation", id="label map"),
        pytest.param("1.2.840.10008.5.1.4.1.1.481.2", "a dose distribution", id="dose"),
        pytest.param("1.2.840.10008.5.1.4.1.1.30", "a parametric map", id="parametric map"),
    ],
)
def test_pixels_that_are_no_picture_of_a_patient_are_refused(tmp_path: Path, sop_class: str, kind: str) -> None:
    refused(save(dicom(stored_pixels(), SOPClassUID=sop_class), tmp_path), f"{kind}, not a radiograph")


def test_a_missing_decoder_is_named_with_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = dicom(stored_pixels())
    dataset.compress(JPEGLSLossless, generate_instance_uid=False)
    path = save(dataset, tmp_path)
    monkeypatch.setattr(type(get_decoder(JPEGLSLossless)), "is_available", property(lambda _: False))
    refused(path, r"no decoder for its compression is installed; install pylibjpeg\[all\] and pyjpegls")


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", "1.2.840.10008.1.2.5"])
def test_stored_bits_at_the_high_end_are_refused_and_a_wrong_high_bit_alone_is_not(tmp_path: Path, syntax: str) -> None:
    pixels = stored_pixels()
    high = dicom(pixels << 4, HighBit=15)
    sloppy, right, signed = dicom(pixels, HighBit=15), dicom(pixels), dicom(stored_pixels(signed=True), HighBit=15)
    if syntax != ExplicitVRLittleEndian:
        for dataset in (high, sloppy, right, signed):
            dataset.compress(syntax)
    refused(save(high, tmp_path), "High Bit does not fit Bits Stored")
    np.testing.assert_array_equal(read(sloppy, tmp_path), read(right, tmp_path))
    assert read(signed, tmp_path).max() == 1


def test_truncated_pixel_data_are_refused(tmp_path: Path) -> None:
    refused(SHIPPED / "MR_truncated.dcm", "damaged or truncated")
    whole = save(dicom(stored_pixels()), tmp_path).read_bytes()
    for cut in (3, 100, 250, len(whole) - 140):
        path = tmp_path / "cut.dcm"
        path.write_bytes(whole[:-cut])
        refused(path, "truncated|damaged|no pixel data")


@pytest.mark.parametrize("name", ["MR_small_jp2klossless.dcm", "MR_small_RLE.dcm", "MR_small_jpeg_ls_lossless.dcm"])
def test_truncated_compressed_pixel_data_are_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "cut.dcm"
    path.write_bytes((SHIPPED / name).read_bytes()[:-1500])
    refused(path, "truncated|damaged")


def test_a_header_that_promises_too_many_pixels_is_refused_before_decoding(tmp_path: Path) -> None:
    refused(save(dicom(stored_pixels(), Rows=30000, Columns=30000), tmp_path), "30000 x 30000 pixels are more than")


def test_a_deflated_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = dicom(stored_pixels())
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    path = save(dataset, tmp_path)
    expected = read_radiograph(path)[0]
    assert expected.shape == (9, 14)
    monkeypatch.setattr("monai_place.data.dicom.MAX_INFLATED_BYTES", 1 << 24)
    deflater = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = deflater.compress(bytes(1 << 25)) + deflater.flush()
    head = path.read_bytes()
    start = 144 + int.from_bytes(head[140:144], "little")
    path.write_bytes(head[:start] + bomb)
    refused(path, "decompression bomb")
