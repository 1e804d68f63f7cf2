from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from monai_place.data import sizes
from monai_place.data.datalist import read_datalist
from monai_place.data.phantom import write_phantom
from monai_place.data.radiograph import RadiographError, read_radiograph
from monai_place.data.sizes import radiograph_size


def picture(height: int = 30, width: int = 50) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 255, (height, width), dtype=np.uint8)
    return Image.fromarray(pixels)


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[sizes.ORIENTATION] = orientation
    return tags


def xmp(orientation: int) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", f'<x tiff:Orientation="{orientation}"/>')
    return info


WRITERS: dict[str, Callable[[Path], None]] = {
    "png": lambda path: picture().save(path, "PNG"),
    "16 bit png": lambda path: Image.fromarray(np.zeros((30, 50), np.uint16)).save(path, "PNG"),
    "png with orientation": lambda path: picture().save(path, "PNG", exif=exif(6)),
    "png with xmp": lambda path: picture().save(path, "PNG", pnginfo=xmp(6)),
    "jpeg": lambda path: picture().save(path, "JPEG"),
    "turned jpeg": lambda path: picture().save(path, "JPEG", exif=exif(8)),
    "mirrored jpeg": lambda path: picture().save(path, "JPEG", exif=exif(2)),
}


@pytest.mark.parametrize("write", [pytest.param(write, id=name) for name, write in WRITERS.items()])
def test_size_is_that_of_the_picture_as_it_is_read(write: Callable[[Path], None], tmp_path: Path) -> None:
    write(tmp_path / "a")
    assert radiograph_size(tmp_path / "a") == read_radiograph(tmp_path / "a")[0].shape


@pytest.mark.parametrize("image_format", ["dicom", "nifti"])
def test_size_of_other_formats(image_format: str, tmp_path: Path) -> None:
    datalist = read_datalist(write_phantom(tmp_path, studies=1, size=48, seed=0, image_format=image_format))  # type: ignore[arg-type]
    (record,) = [record for _, _, record in datalist.records()]
    assert radiograph_size(tmp_path / record["image"]) == (48, 48)


def test_a_plain_file_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("png", "jpeg"):
        WRITERS[name](tmp_path / name)
    Image.fromarray(np.zeros((30, 50), np.uint8)).save(tmp_path / "text.png", pnginfo=_software())
    monkeypatch.setattr(sizes, "read_radiograph", lambda path: pytest.fail(f"decoded {path.name}"))
    assert [radiograph_size(tmp_path / name) for name in ("png", "jpeg", "text.png")] == [(30, 50)] * 3


def _software() -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", "some program")
    return info


def test_a_dicom_file_is_not_decoded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_phantom(tmp_path, studies=1, size=48, seed=0, image_format="dicom")
    monkeypatch.setattr(sizes, "read_radiograph", lambda path: pytest.fail(f"decoded {path.name}"))
    (file,) = (tmp_path / "images").iterdir()
    assert radiograph_size(file) == (48, 48)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(None, "a.png: the file does not exist", id="missing"),
        pytest.param(b"", "a.png: the file is empty", id="empty"),
        pytest.param(b"no picture", "a.png: not a DICOM, NIfTI, PNG or JPEG file", id="text"),
        pytest.param(b"\xff\xd8\xff\xe0 no head", "a.png: the JPEG file is damaged", id="damaged JPEG"),
        pytest.param(b"\x89PNG\r\n\x1a\n\0\0", "a.png: the PNG file is", id="damaged PNG"),
        pytest.param(b"\0" * 128 + b"DICM" + b"\7" * 40, "a.png: no pixel data: not an image", id="damaged DICOM"),
    ],
)
def test_a_file_of_no_use_is_named(content: bytes | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(RadiographError, match=message):
        radiograph_size(tmp_path / "a.png")
