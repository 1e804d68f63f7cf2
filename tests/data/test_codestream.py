from __future__ import annotations

from pathlib import Path

import pydicom
import pytest
from pydicom.encaps import encapsulate, generate_frames

from monai_place.data.codestream import check_codestream
from monai_place.data.radiograph import RadiographError, read_radiograph

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"
COMPRESSED = ["MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "JPGExtended.dcm"]


def first_frame(name: str) -> bytes:
    return next(generate_frames(pydicom.dcmread(SHIPPED / name).PixelData, number_of_frames=1))


def refused(path: Path, reason: str) -> None:
    with pytest.raises(RadiographError, match=reason) as error:
        read_radiograph(path)
    assert str(error.value).startswith(f"{path.name}: ")
    assert str(path.parent) not in str(error.value)


@pytest.mark.parametrize("name", ["MR_small_jp2klossless.dcm", "MR_small_jpeg_ls_lossless.dcm", "JPGExtended.dcm"])
def test_a_compressed_frame_that_lost_its_end_is_refused(tmp_path: Path, name: str) -> None:
    dataset = pydicom.dcmread(SHIPPED / name)
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    dataset.PixelData = encapsulate([frame[: len(frame) // 2]])
    path = tmp_path / "cut.dcm"
    dataset.save_as(path)
    refused(path, "the compressed frame is truncated")


@pytest.mark.parametrize(
    ("name", "marker", "at"),
    [
        pytest.param("MR_small_jp2klossless.dcm", b"\xff\x4f\xff\x51", 8, id="JPEG 2000"),
        pytest.param("MR_small_jpeg_ls_lossless.dcm", b"\xff\xf7", 5, id="JPEG-LS"),
        pytest.param("JPGExtended.dcm", b"\xff\xc1", 5, id="JPEG"),
    ],
)
def test_a_compressed_frame_that_claims_too_many_pixels_is_refused(
    tmp_path: Path, name: str, marker: bytes, at: int
) -> None:
    data = bytearray((SHIPPED / name).read_bytes())
    start = data.index(marker, data.index(b"\xe0\x7f\x10\x00")) + at
    size = (60000).to_bytes(4 if at == 8 else 2, "big")
    data[start : start + 2 * len(size)] = size * 2
    path = tmp_path / "bomb.dcm"
    path.write_bytes(data)
    refused(path, "60000 x 60000 pixels are more than")


@pytest.mark.parametrize("name", COMPRESSED)
@pytest.mark.parametrize("padding", [0, 1, 40])
def test_a_whole_frame_passes_with_the_zeros_that_make_its_length_even(name: str, padding: int) -> None:
    check_codestream(first_frame(name).rstrip(b"\0") + bytes(padding))


@pytest.mark.parametrize("name", COMPRESSED)
def test_a_frame_that_ends_before_it_tells_its_size_is_damaged(name: str) -> None:
    with pytest.raises(RadiographError, match="damaged: it does not tell its size"):
        check_codestream(first_frame(name)[:10])


def test_a_frame_of_no_height_is_refused() -> None:
    frame = b"\xff\xd8" + b"\xff\xc0\x00\x0b\x08\x00\x00\x00\x10\x01\x01\x11\x00" + b"\xff\xd9"
    with pytest.raises(RadiographError, match="0 x 16 pixels"):
        check_codestream(frame)


def test_fill_bytes_and_other_segments_before_the_size_are_passed_over() -> None:
    # The comment holds what looks like a start of frame of 65535 x 65535 pixels.
    comment = b"\xff\xfe\x00\x0b" + b"\xff\xc0\x00\x0b\x08\xff\xff\xff\xff"
    start = b"\xff\xff\xff\xc0\x00\x0b\x08\x00\x10\x00\x10\x01\x01\x11\x00"
    check_codestream(b"\xff\xd8" + comment + start + b"\xff\xd9")


def test_a_jpeg_2000_stream_inside_a_container_is_found() -> None:
    stream = first_frame("MR_small_jp2klossless.dcm")
    check_codestream(b"\0\0\0\x0cjP  \r\n\x87\n" + stream)
    with pytest.raises(RadiographError, match="truncated"):
        check_codestream(b"\0\0\0\x0cjP  \r\n\x87\n" + stream[: len(stream) // 2])


@pytest.mark.parametrize("frame", [b"", b"\0" * 64, b"\x01\0\0\0" + bytes(range(64))], ids=["empty", "zeros", "RLE"])
def test_what_is_neither_jpeg_nor_jpeg_2000_is_left_to_its_decoder(frame: bytes) -> None:
    check_codestream(frame)
