from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from PIL import Image

from monai_place.data.conversion import Conversion, ConvertedImage, PixelSums, convert_image, fit_record, image_name
from monai_place.data.paths import PathGuard
from monai_place.data.phantom import render_study
from monai_place.data.radiograph import RadiographError, read_mask, read_radiograph

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a picture of 300 x 200 pixels with the noise of a detector."""
    pixels = np.asarray(Image.fromarray(255 * render_study(0, 3, size=300).image), dtype=np.float32)[:, :200]
    pixels = pixels + np.random.default_rng(0).normal(0, 2, pixels.shape)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


@pytest.mark.parametrize(
    ("size", "expected"),
    [((3056, 2544), (615, 512)), ((2544, 3056), (512, 615)), ((512, 512), (512, 512)), ((511, 9000), (511, 9000))],
)
def test_the_shorter_side_is_brought_down_and_nothing_is_enlarged(size: Any, expected: Any) -> None:
    assert Conversion(512).size(*size) == expected


@pytest.mark.parametrize(
    ("settings", "levels"),
    [
        pytest.param({"depth": 8}, 255, id="8 bits"),
        pytest.param({"depth": 16}, 65535, id="16 bits"),
        pytest.param({"file_format": "jpeg"}, 15, id="jpeg"),
    ],
)
def test_pixels_are_those_of_a_lanczos_filter_and_sums_those_of_the_pixels(
    settings: Any, levels: int, source: Path, tmp_path: Path
) -> None:
    conversion = Conversion(100, **settings)
    done = convert_image(source, tmp_path / f"b{conversion.suffix}", conversion)
    pixels, _ = read_radiograph(tmp_path / f"b{conversion.suffix}")
    whole, _ = read_radiograph(source)
    expected = np.asarray(Image.fromarray(whole).resize((100, 150), Image.Resampling.LANCZOS)).clip(0, 1)
    np.testing.assert_allclose(pixels, expected, atol=0.51 / levels)
    assert (done.before, done.after) == ((300, 200), (150, 100))
    sums = PixelSums()
    sums.add(done)
    assert sums.mean == pytest.approx(pixels.mean(), abs=0.003 if levels == 15 else 1e-6)
    assert sums.std == pytest.approx(pixels.std(), abs=0.003 if levels == 15 else 1e-6)


def test_a_picture_that_is_small_enough_keeps_its_pixels(source: Path, tmp_path: Path) -> None:
    convert_image(source, tmp_path / "b.png", Conversion(200))
    np.testing.assert_array_equal(read_radiograph(tmp_path / "b.png")[0], read_radiograph(source)[0])


def test_a_grid_of_lines_leaves_no_pattern(tmp_path: Path) -> None:
    # An average over areas keeps a tenth of such lines, as stripes of another width.
    lines = (0.5 + 0.25 * np.sin(np.arange(1000) * 2 * np.pi / 2.2)) * np.ones((1000, 1))
    Image.fromarray((255 * lines).round().astype(np.uint8)).save(tmp_path / "a.png")
    convert_image(tmp_path / "a.png", tmp_path / "b.png", Conversion(320))
    inside = read_radiograph(tmp_path / "b.png")[0][:, 4:-4]
    assert inside.std() < 0.01


def test_a_large_jpeg_is_read_at_a_lower_resolution_without_a_difference(tmp_path: Path) -> None:
    pixels = np.asarray(
        Image.fromarray(255 * render_study(0, 3, size=300).image).resize((810, 990), Image.Resampling.BICUBIC)
    )
    noisy = pixels + np.random.default_rng(0).normal(0, 3, pixels.shape)
    Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(tmp_path / "a.jpg", quality=95)
    done = convert_image(tmp_path / "a.jpg", tmp_path / "b.png", Conversion(100))
    whole, _ = read_radiograph(tmp_path / "a.jpg")
    expected = np.asarray(Image.fromarray(whole).resize((100, 122), Image.Resampling.LANCZOS)).clip(0, 1)
    found, _ = read_radiograph(tmp_path / "b.png")
    assert (done.before, done.after) == ((990, 810), (122, 100))
    assert -10 * np.log10(np.mean((found - expected) ** 2)) > 45


def test_a_dicom_window_is_applied_and_the_spacing_goes_along(tmp_path: Path) -> None:
    done = convert_image(SHIPPED / "JPEG2000.dcm", tmp_path / "b.png", Conversion(128, depth=16))
    whole, meta = read_radiograph(SHIPPED / "JPEG2000.dcm")
    expected = np.asarray(Image.fromarray(whole).resize((128, 512), Image.Resampling.LANCZOS)).clip(0, 1)
    np.testing.assert_allclose(read_radiograph(tmp_path / "b.png")[0], expected, atol=1e-5)
    assert done.spacing_mm == tuple(2 * spacing for spacing in meta["pixel_spacing_mm"])
    assert ConvertedImage.from_dict(done.to_dict()) == done


def test_what_is_known_is_not_done_again_unless_source_or_file_changed(source: Path, tmp_path: Path) -> None:
    target, conversion = tmp_path / "b.png", Conversion(100)
    done = convert_image(source, target, conversion)
    written = target.stat().st_mtime_ns
    assert convert_image(source, target, conversion, known=done) is done
    assert target.stat().st_mtime_ns == written
    target.write_bytes(target.read_bytes()[:-5])
    assert convert_image(source, target, conversion, known=done) == done
    assert target.stat().st_size == done.length
    os.utime(source, ns=(1, 1))
    assert convert_image(source, target, conversion, known=done).stamp != done.stamp
    target.unlink()
    convert_image(source, target, conversion, known=done)
    assert target.is_file()


@pytest.mark.parametrize("content", [b"", b"no picture", None])
def test_a_broken_source_is_refused_by_name_and_nothing_is_written(content: bytes | None, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(RadiographError, match=r"^a\.png: "):
        convert_image(tmp_path / "a.png", tmp_path / "out" / "b.png", Conversion(100))
    assert not list(tmp_path.glob("out/*"))


def test_masks_and_boxes_of_record_and_findings_come_along(source: Path, tmp_path: Path) -> None:
    mask = np.zeros((300, 200), dtype=np.uint8)
    mask[60:120, 40:80] = 2
    Image.fromarray(mask).save(tmp_path / "m.png")
    record = {
        "id": "1.2/3",
        "boxes": [[40, 60, 80, 120], [0, 0, 200, 300]],
        "mask": "m.png",
        "findings": [{"class": "a", "mask": "m.png", "box": [40, 60, 80, 120]}, {"class": "b", "mask": None}],
    }
    done = convert_image(source, tmp_path / "out" / "a.png", Conversion(100))
    before = {**record["findings"][0]}
    findings = record["findings"]
    assert fit_record(record, done, PathGuard(tmp_path), tmp_path / "out") == []
    assert record["boxes"] == [[20, 30, 40, 60], [0, 0, 100, 150]]
    assert record["findings"][0]["box"] == [20, 30, 40, 60]
    assert findings[0] == before  # the caller's own are not changed
    for path in (record["mask"], record["findings"][0]["mask"]):
        small = read_mask(tmp_path / "out" / path)
        np.testing.assert_array_equal(small, mask[::2, ::2])
    assert record["mask"] != record["findings"][0]["mask"]
    assert record["findings"][1] == {"class": "b", "mask": None}


@pytest.mark.parametrize(
    ("mask", "reason"),
    [("gone.png", "does not exist"), ("small.png", r"mask has \(3, 2\) pixels"), ("../m.png", "must stay under")],
)
def test_a_mask_that_cannot_be_used_is_left_out_and_named(mask: str, reason: str, source: Path, tmp_path: Path) -> None:
    Image.new("L", (2, 3)).save(tmp_path / "small.png")
    record = {"id": "a", "mask": mask}
    done = convert_image(source, tmp_path / "out" / "a.png", Conversion(100))
    (problem,) = fit_record(record, done, PathGuard(tmp_path), tmp_path / "out")
    assert problem.startswith("mask left out: ")
    assert re.search(reason, problem)
    assert "mask" not in record


def test_ids_that_differ_have_files_that_differ() -> None:
    ids = ["a", "a.png", "1.2.3", "1.2.4", "a/b", "a_b", "..", "x" * 300, "x" * 299 + "y"]
    assert len({image_name(name, Conversion()) for name in ids}) == len(ids)


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"side": 0}, "side must be at least 1"), ({"depth": 12}, "depth"), ({"file_format": "tiff"}, "file_format")],
)
def test_an_impossible_conversion_is_refused(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Conversion(**settings)


def test_statistics_of_no_pixel_are_nan_and_not_written() -> None:
    assert np.isnan(PixelSums().mean)
    assert np.isnan(PixelSums().std)
    assert PixelSums().to_dict() == {}
