from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from monai_place.data.radiograph import RadiographError, read_mask, read_radiograph

Pixels = npt.NDArray[Any]


def values(kind: str = "u1", shape: tuple[int, ...] = (7, 11)) -> Pixels:
    info = np.iinfo(kind)
    return np.random.default_rng(0).integers(info.min, info.max, shape, dtype=kind, endpoint=True)


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
    ],
)
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a"])
def test_a_file_that_is_no_whole_picture_is_refused_whatever_its_name(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, reason)


def test_a_missing_file_and_a_folder_are_refused_by_name(tmp_path: Path) -> None:
    refused(tmp_path / "gone.png", "the file does not exist")
    (tmp_path / "folder.png").mkdir()
    refused(tmp_path / "folder.png", "a folder, not a file")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes in folders are POSIX")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    refused(tmp_path / "pipe.png", "a pipe, a socket or a device, not a file")


def test_the_content_counts_and_not_the_suffix(tmp_path: Path) -> None:
    pixels = values()
    Image.fromarray(pixels).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.dcm")
    np.testing.assert_array_equal(read_radiograph(tmp_path / "a.dcm")[0], pixels.astype(np.float32) / 255)


def test_a_mask_with_channels_or_of_another_kind_is_refused(tmp_path: Path) -> None:
    Image.new("RGB", (4, 3)).save(tmp_path / "m.png")
    with pytest.raises(RadiographError, match=r"m\.png: a mask has one channel, this file has 3"):
        read_mask(tmp_path / "m.png")
    Image.new("L", (4, 3)).save(tmp_path / "m.jpg")
    with pytest.raises(RadiographError, match=r"m\.jpg: a mask must be a PNG file, this is JPEG"):
        read_mask(tmp_path / "m.jpg")


def test_reading_needs_neither_torch_nor_monai() -> None:
    # Each process of a long job would take seconds to import them.
    code = "import sys, monai_place.data.convert; assert not {'torch', 'monai'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
