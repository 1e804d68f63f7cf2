"""JPEG files decoded at a fraction of their size: the same picture, to its edges, at a lower resolution."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from monai_place.data.phantom import render_study
from monai_place.data.radiograph import RadiographError, read_radiograph
from monai_place.preprocess import PreprocessSpec
from monai_place.transforms import FitRadiographd, LoadRadiographd

WIDTH, HEIGHT = 1016, 1221  # neither half, quarter nor eighth of the height is whole


def picture(width: int = WIDTH, height: int = HEIGHT) -> Image.Image:
    """Return a phantom with the noise of a detector."""
    rendered = Image.fromarray(255 * render_study(3, 5, size=512).image)
    pixels = rendered.resize((width, height), Image.Resampling.BICUBIC)
    noisy = np.asarray(pixels, dtype=np.float32) + np.random.default_rng(0).normal(0, 3, (height, width))
    return Image.fromarray(noisy.clip(0, 255).round().astype(np.uint8))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("jpeg")
    image = picture()
    image.save(folder / "grey.jpg", quality=95)
    image.convert("RGB").save(folder / "rgb.jpg", quality=95)
    image.convert("RGB").convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    for orientation in range(2, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        image.save(folder / f"turned{orientation}.jpg", quality=95, exif=exif)
    image.save(folder / "grey.png")
    return folder


def psnr(one: Any, other: Any) -> float:
    return float(-10 * np.log10(np.mean((np.asarray(one) - np.asarray(other)) ** 2)))


@pytest.mark.parametrize(
    ("least_side", "shape"),
    [
        pytest.param(None, (1221, 1016), id="whole"),
        pytest.param(509, (1221, 1016), id="no half"),
        pytest.param(508, (610, 508), id="half"),
        pytest.param(128, (305, 254), id="quarter"),
        pytest.param(127, (153, 127), id="eighth"),
        pytest.param(1, (153, 127), id="no less than an eighth"),
    ],
)
def test_the_shorter_side_keeps_what_was_asked_for(files: Path, least_side: int | None, shape: Any) -> None:
    pixels, meta = read_radiograph(files / "grey.jpg", least_side=least_side)
    assert pixels.shape == shape
    assert tuple(meta["spatial_shape"]) == shape
    assert tuple(meta["file_shape"]) == (1221, 1016)


NAMES = ["grey.jpg", "rgb.jpg", "cmyk.jpg", *(f"turned{turn}.jpg" for turn in range(2, 9))]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("image_size", "shorter"), [(111, 127), (64, 127), (112, 254), (222, 254)])
def test_the_networks_input_is_that_of_the_whole_picture(files: Path, name: str, image_size: int, shorter: int) -> None:
    spec = PreprocessSpec(image_size=image_size)
    loaded = LoadRadiographd("image", least_side=spec.least_side)({"image": files / name})
    assert min(loaded["image"].shape[1:]) == shorter
    whole = LoadRadiographd("image")({"image": files / name})
    # A cut begins at a whole pixel, which of a reduced picture is up to half a pixel beside.
    for rule, decibels in (("pad", 45), ("stretch", 45), ("crop", 35)):
        fit = FitRadiographd("image", image_size, resize_rule=rule)
        assert psnr(fit(whole)["image"], fit(loaded)["image"]) > decibels


@pytest.mark.parametrize(("height", "width"), [(2300, 1997), (1821, 2040), (3001, 2999)])
def test_a_reduced_picture_lies_on_the_same_pixels_of_the_square(height: int, width: int, tmp_path: Path) -> None:
    Image.new("L", (width, height), 255).save(tmp_path / "a.jpg")
    fit = FitRadiographd("image", 224)
    whole = fit(LoadRadiographd("image")({"image": tmp_path / "a.jpg"}))["image"]
    reduced = fit(LoadRadiographd("image", least_side=224)({"image": tmp_path / "a.jpg"}))["image"]
    torch.testing.assert_close(reduced.as_tensor(), whole.as_tensor(), atol=1e-5, rtol=0)
    torch.testing.assert_close(reduced.affine, whole.affine)


def test_boxes_of_the_file_are_refused_beside_a_reduced_picture(files: Path) -> None:
    fit = FitRadiographd("image", 111, boxes_key="boxes")
    loaded = LoadRadiographd("image", least_side=127)({"image": files / "grey.jpg", "boxes": [[1, 2, 3, 4]]})
    with pytest.raises(ValueError, match="'boxes' are in pixels of the file, and 'image' was read smaller"):
        fit(loaded)
    assert len(fit({**loaded, "boxes": []})["boxes"]) == 0


def test_what_was_cut_after_reading_is_a_picture_of_its_own(files: Path) -> None:
    loaded = LoadRadiographd("image", least_side=127)({"image": files / "grey.jpg"})
    loaded["image"] = loaded["image"][:, :100, :50]
    fitted = FitRadiographd("image", 40)(loaded)["image"]
    assert fitted.applied_operations[-1]["extra_info"]["geometry"]["resized"] == (40, 20)


@pytest.mark.parametrize("name", ["grey.jpg", "turned6.jpg", "turned8.jpg"])
def test_a_point_has_the_same_place_by_the_affine(files: Path, name: str) -> None:
    _, whole = read_radiograph(files / name)
    pixels, reduced = read_radiograph(files / name, least_side=128)
    corners = np.array([[-0.5, -0.5, 0, 1], [*(np.array(pixels.shape) - 0.5), 0, 1]]).T
    expected = np.array([[-0.5, -0.5, 0, 1], [*(whole["spatial_shape"] - 0.5), 0, 1]]).T
    np.testing.assert_allclose(reduced["affine"] @ corners, whole["affine"] @ expected, atol=1e-9)
    assert tuple(reduced["file_shape"]) == tuple(whole["file_shape"])


@pytest.mark.parametrize("size", [(161, 1000), (1000, 161), (1000, 1001)])
def test_a_bright_edge_stays_at_the_edge(size: tuple[int, int], tmp_path: Path) -> None:
    width, height = size
    pixels = np.zeros((height, width), dtype=np.uint8)
    pixels[-40:] = pixels[:, -40:] = 255
    Image.fromarray(pixels).save(tmp_path / "a.jpg", quality=95)
    whole = FitRadiographd("image", 64, resize_rule="stretch")(LoadRadiographd("image")({"image": tmp_path / "a.jpg"}))
    load = LoadRadiographd("image", least_side=64)
    reduced = FitRadiographd("image", 64, resize_rule="stretch")(load({"image": tmp_path / "a.jpg"}))
    assert torch.abs(whole["image"] - reduced["image"]).mean() < 0.004
    assert psnr(whole["image"], reduced["image"]) > 33


def test_other_files_are_read_whole(files: Path) -> None:
    pixels, meta = read_radiograph(files / "grey.png", least_side=64)
    np.testing.assert_array_equal(pixels, read_radiograph(files / "grey.png")[0])
    assert tuple(meta["file_shape"]) == pixels.shape


def test_color_is_still_noticed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Image.new("RGB", (512, 512), (200, 30, 30)).save(tmp_path / "red.jpg")
    with caplog.at_level(logging.WARNING):
        pixels, _ = read_radiograph(tmp_path / "red.jpg", least_side=64)
    assert "red.jpg: a color picture" in caplog.text
    np.testing.assert_allclose(pixels, read_radiograph(tmp_path / "red.jpg")[0][:64, :64], atol=2 / 255)


def test_a_truncated_file_is_refused_in_the_same_words(files: Path, tmp_path: Path) -> None:
    content = (files / "grey.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(RadiographError, match=r"cut\.jpg: the JPEG file is truncated"):
        read_radiograph(tmp_path / "cut.jpg", least_side=64)


def test_a_side_below_one_is_refused(files: Path) -> None:
    with pytest.raises(ValueError, match="least_side must be None or at least 1 pixel, got 0"):
        read_radiograph(files / "grey.jpg", least_side=0)


def test_masks_in_pixels_of_the_file_are_not_read_beside_a_reduced_image() -> None:
    with pytest.raises(ValueError, match="least_side=448 reads images smaller than their masks"):
        LoadRadiographd("image", "mask", least_side=448)
