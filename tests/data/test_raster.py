from __future__ import annotations

import logging
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from monai_place.data.radiograph import RadiographError, read_mask, read_radiograph
from monai_place.data.raster import read_index_mask, read_raster

Pixels = npt.NDArray[Any]


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


def test_a_deep_png_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    # Two channels are announced, one is there.
    (tmp_path / "a.png").write_bytes(png_bytes(values("u2"), 16, 4))
    refused(tmp_path / "a.png", "the PNG file is damaged")


def test_the_kind_that_was_found_is_the_only_one_that_is_tried(tmp_path: Path) -> None:
    Image.fromarray(values()).save(tmp_path / "a.png")
    assert read_raster(tmp_path / "a.png", "PNG").spacing_mm is None
    with pytest.raises(RadiographError, match=r"a\.png: the JPEG file is damaged"):
        read_raster(tmp_path / "a.png", "JPEG")


def test_the_integers_of_a_mask_stay_integers(tmp_path: Path) -> None:
    pixels = values("u2")
    Image.fromarray(pixels).save(tmp_path / "m.png")
    mask = read_index_mask(tmp_path / "m.png")
    assert mask.dtype == np.int32
    np.testing.assert_array_equal(mask, pixels)


def test_a_mask_with_color_channels_is_refused_by_name(tmp_path: Path) -> None:
    Image.new("RGB", (4, 3)).save(tmp_path / "m.png")
    with pytest.raises(RadiographError, match=r"m\.png: a mask has one channel, this file has 3") as error:
        read_index_mask(tmp_path / "m.png")
    assert str(tmp_path) not in str(error.value)
