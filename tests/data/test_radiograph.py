from __future__ import annotations

import io
import logging
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pydicom
import pytest
import torch
from monai.transforms import LoadImage, LoadImaged
from PIL import Image

from monai_place.data.radiograph import RadiographError, RadiographReader, read_mask, read_radiograph

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
Pixels = npt.NDArray[Any]

# LoadImage makes one of each reader it knows, and MONAI's reader for decoding on a GPU warns that it will not.
monai_warns = pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader")


def values(kind: str = "u1", shape: tuple[int, ...] = (7, 11)) -> Pixels:
    info = np.iinfo(kind)
    return np.random.default_rng(0).integers(info.min, info.max, shape, dtype=kind, endpoint=True)


def png_bytes(pixels: Pixels, depth: int, color_type: int) -> bytes:
    """A PNG written by hand, for the kinds that Pillow cannot write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    rows = b"".join(b"\0" + row.astype(f">u{depth // 8}").tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], depth, color_type, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_an_8_bit_png_is_divided_by_255_with_row_0_on_top(tmp_path: Path) -> None:
    pixels = values()
    Image.fromarray(pixels).save(tmp_path / "a.png")
    result, meta = read_radiograph(tmp_path / "a.png")
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, pixels.astype(np.float32) / 255)
    assert meta["pixel_spacing_mm"] is None
    assert tuple(meta["spatial_shape"]) == (7, 11)
    assert meta["original_channel_dim"] == "no_channel"
    np.testing.assert_array_equal(meta["affine"], np.eye(4))


def test_a_16_bit_png_keeps_its_16_bits(tmp_path: Path) -> None:
    pixels = np.arange(65536, dtype=np.uint16).reshape(128, 512)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    result, _ = read_radiograph(tmp_path / "a.png")
    assert len(np.unique(result)) == 65536
    np.testing.assert_array_equal(result, pixels.astype(np.float32) / 65535)


@pytest.mark.parametrize(("color_type", "channels"), [(4, 2), (2, 3), (6, 4)])
def test_a_16_bit_png_with_more_channels_keeps_its_16_bits(tmp_path: Path, color_type: int, channels: int) -> None:
    grey = values("u2")
    pixels = np.repeat(grey[..., None], channels, axis=2)
    if channels in (2, 4):
        pixels[..., -1] = 65535
    (tmp_path / "a.png").write_bytes(png_bytes(pixels, 16, color_type))
    np.testing.assert_array_equal(read_radiograph(tmp_path / "a.png")[0], grey.astype(np.float32) / 65535)


def test_a_1_bit_png_is_0_and_1(tmp_path: Path) -> None:
    pixels = values() > 127
    Image.fromarray(pixels).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_radiograph(tmp_path / "a.png")[0], pixels.astype(np.float32))


@pytest.mark.parametrize("mode", ["LA", "RGB", "RGBA", "P"])
def test_a_grey_png_in_another_mode_equals_the_grey_one(
    tmp_path: Path, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    pixels = values()
    image = Image.fromarray(pixels).convert(mode)
    if mode in ("LA", "RGBA"):
        image.putalpha(Image.fromarray(values()[::-1].copy()))  # transparency says nothing about density
    image.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_radiograph(tmp_path / "a.png")[0], pixels.astype(np.float32) / 255)
    assert not caplog.records


def test_a_jpeg_of_grey_in_color_channels_is_grey_without_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ramp = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (48, 1))
    for mode in ("L", "RGB"):
        Image.fromarray(ramp).convert(mode).save(tmp_path / f"{mode}.jpg", quality=95)
    grey, color = (read_radiograph(tmp_path / f"{mode}.jpg")[0] for mode in ("L", "RGB"))
    assert grey.shape == (48, 64)
    np.testing.assert_allclose(grey, ramp / 255, atol=3 / 255)
    np.testing.assert_allclose(color, grey, atol=2 / 255)
    assert not caplog.records


def test_a_color_picture_is_converted_by_luminance_and_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pixels = values(shape=(7, 11, 3))
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with caplog.at_level(logging.WARNING):
        result, _ = read_radiograph(tmp_path / "a.png")
    np.testing.assert_allclose(result, pixels @ np.array([0.299, 0.587, 0.114]) / 255, atol=1e-6)
    assert caplog.messages == ["a.png: a color picture, converted to grey by luminance"]


def test_a_cmyk_jpeg_is_read_as_color(tmp_path: Path) -> None:
    Image.new("CMYK", (11, 7), (0, 0, 0, 0)).save(tmp_path / "a.jpg")
    np.testing.assert_allclose(read_radiograph(tmp_path / "a.jpg")[0], np.ones((7, 11)), atol=2 / 255)


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, suffix: str, orientation: int) -> None:
    upright = np.zeros((16, 24), dtype=np.uint8)
    upright[:8, :8] = 255  # a bright corner, top left
    turns = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright),
        7: upright[::-1, ::-1].T,
        8: np.rot90(upright, -1),
    }
    image = Image.fromarray(np.ascontiguousarray(turns[orientation]))
    exif = Image.Exif()
    exif[274] = orientation
    image.save(tmp_path / f"a.{suffix}", exif=exif)
    np.testing.assert_allclose(read_radiograph(tmp_path / f"a.{suffix}")[0], upright / 255, atol=0.05)


def test_one_pixel_and_an_extreme_shape_are_pictures(tmp_path: Path) -> None:
    for shape in [(1, 1), (1, 5000), (3000, 2)]:
        Image.fromarray(np.full(shape, 51, dtype=np.uint8)).save(tmp_path / "a.png")
        result, _ = read_radiograph(tmp_path / "a.png")
        assert result.shape == shape
        np.testing.assert_allclose(result, 0.2)


def refused(path: Path, reason: str) -> None:
    with pytest.raises(RadiographError, match=reason) as error:
        read_radiograph(path)
    assert str(error.value).startswith(f"{path.name}: ")
    assert str(path.parent) not in str(error.value)


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values(shape=(60, 80))).save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        pytest.param(b"", "the file is empty", id="zero bytes"),
        pytest.param(b"Findings: none.\n" * 50, "not a DICOM, NIfTI, PNG or JPEG file", id="text"),
        pytest.param(encoded("TIFF"), "not a DICOM, NIfTI, PNG or JPEG file", id="TIFF"),
        pytest.param(encoded("EPS"), "not a DICOM, NIfTI, PNG or JPEG file", id="EPS"),
        pytest.param(encoded("PNG")[:-300], "the PNG file is truncated", id="truncated PNG"),
        pytest.param(encoded("PNG")[:20], "the PNG file is (damaged|truncated)", id="PNG header"),
        pytest.param(encoded("JPEG")[:-300], "the JPEG file is truncated", id="truncated JPEG"),
        pytest.param(encoded("JPEG")[:10], "the JPEG file is (damaged|truncated)", id="JPEG header"),
        pytest.param(png_bytes(values("u2"), 16, 4), "the PNG file is damaged", id="deep PNG too short"),
    ],
)
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a"])
def test_a_file_that_is_no_whole_picture_is_refused_whatever_its_name(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, reason)


def test_a_decompression_bomb_is_refused_from_its_header(tmp_path: Path) -> None:
    bomb = png_bytes(np.zeros((1, 1), dtype=np.uint8), 8, 0)
    for side, reason in [(9000, "9000 x 9000 pixels are more than"), (30000, "a decompression bomb")]:
        header = struct.pack(">4sIIBBBBB", b"IHDR", side, side, 8, 0, 0, 0, 0)
        path = tmp_path / "a.png"
        path.write_bytes(bomb[:12] + header + struct.pack(">I", zlib.crc32(header)) + bomb[33:])
        refused(path, reason)


def test_an_animated_png_is_refused(tmp_path: Path) -> None:
    frames = [Image.fromarray(values()), Image.fromarray(values()[::-1].copy())]
    frames[0].save(tmp_path / "a.png", save_all=True, append_images=frames[1:])
    refused(tmp_path / "a.png", "an animated picture")


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path: Path) -> None:
    refused(tmp_path / "gone.png", "the file does not exist")
    (tmp_path / "folder.png").mkdir()
    refused(tmp_path / "folder.png", "a folder, not a file")


def test_the_content_counts_and_not_the_suffix(tmp_path: Path) -> None:
    pixels = values()
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.dcm")
    np.testing.assert_array_equal(read_radiograph(tmp_path / "a.dcm")[0], pixels.astype(np.float32) / 255)


@monai_warns
@pytest.mark.parametrize("name", ["JPEG2000.dcm", "examples_overlay.dcm"])
def test_monai_loads_through_the_reader_by_its_dotted_name_with_rows_first(name: str) -> None:
    loader = LoadImaged("image", reader="monai_place.data.radiograph.RadiographReader", ensure_channel_first=True)
    image = loader({"image": SHIPPED / name})["image"]
    expected, meta = read_radiograph(SHIPPED / name)
    assert image.shape == (1, *expected.shape)
    assert image.dtype == torch.float32
    np.testing.assert_array_equal(image[0].numpy(), expected)
    np.testing.assert_array_equal(image.affine, meta["affine"])
    assert tuple(image.meta["pixel_spacing_mm"]) == meta["pixel_spacing_mm"]


@monai_warns
@pytest.mark.parametrize("name", ["SC_rgb_rle.dcm", "rtdose_rle.dcm", "examples_palette.dcm", "README.txt"])
def test_monai_passes_no_refused_file_on_to_another_reader(name: str) -> None:
    with pytest.raises(RadiographError):
        LoadImage(reader=RadiographReader())(SHIPPED / name)


def test_the_reader_knows_its_suffixes_and_takes_one_file() -> None:
    reader = RadiographReader()
    assert reader.verify_suffix(["a.DCM", "b.nii.gz", Path("c.jpeg"), "IM0001"])
    assert not reader.verify_suffix("a.tiff")
    with pytest.raises(RadiographError, match="expected one file, got 2"):
        reader.read(["a.png", "b.png"])


def test_unknown_spacing_is_nan_where_monai_batches_it(tmp_path: Path) -> None:
    Image.fromarray(values()).save(tmp_path / "a.png")
    _, meta = RadiographReader().get_data(tmp_path / "a.png")
    assert np.isnan(meta["pixel_spacing_mm"]).all()
    assert meta["pixel_spacing_mm"].shape == (2,)


@pytest.mark.parametrize("mode", ["L", "P", "I;16", "1"])
def test_a_mask_keeps_its_integers(tmp_path: Path, mode: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 2 if mode == "1" else 6, (7, 11))
    if mode == "I;16":
        image = Image.fromarray((pixels * 300).astype(np.uint16))
        pixels = pixels * 300
    else:
        image = Image.fromarray(pixels.astype(np.uint8) if mode != "1" else pixels.astype(bool))
    if mode == "P":
        image = Image.frombytes("P", image.size, image.tobytes())
        image.putpalette([200, 100, 50] * 256)
    image.save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png"), pixels)


def test_a_mask_with_channels_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (4, 3)).save(tmp_path / "m.png")
    with pytest.raises(RadiographError, match=r"m\.png: a mask has one channel, this file has 3"):
        read_mask(tmp_path / "m.png")
    Image.new("L", (4, 3)).save(tmp_path / "m.jpg")
    with pytest.raises(RadiographError, match=r"m\.jpg: a mask must be a PNG file, this is JPEG"):
        read_mask(tmp_path / "m.jpg")
