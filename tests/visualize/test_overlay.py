from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from monai_place.visualize import heat_layer, overlay_heat, write_overlay
from monai_place.visualize.overlay import encode_png, mask_outline


@pytest.fixture
def image():
    return np.linspace(0, 1, 40 * 60, dtype=np.float32).reshape(40, 60)


def test_the_hottest_pixel_changes_most_and_the_coldest_not_at_all(image):
    heat = np.zeros(image.shape)
    heat[30, 11] = 1.0
    change = np.abs(overlay_heat(image, heat).astype(int) - (image * 255).round().astype(int)[..., None]).sum(axis=2)
    assert np.unravel_index(change.argmax(), change.shape) == (30, 11)
    assert (change > 0).sum() == 1


def test_pixels_without_an_answer_are_darkened_gray(image):
    heat = np.zeros(image.shape)
    heat[:, :10] = np.nan
    pixels = overlay_heat(image, heat)
    assert (np.ptp(pixels, axis=2) == 0).all()
    np.testing.assert_allclose(pixels[:, :10, 0], image[:, :10] * 255 * 0.45, atol=1.5)
    np.testing.assert_allclose(pixels[:, 10:, 0], image[:, 10:] * 255, atol=0.51)


@pytest.mark.parametrize("heat", [np.full((40, 60), 3.0), np.full((40, 60), np.nan)], ids=["constant", "no answer"])
def test_a_map_that_points_nowhere_shows_no_color(image, heat):
    assert (np.ptp(overlay_heat(image, heat), axis=2) == 0).all()


def test_given_limits_make_maps_of_several_images_comparable():
    weak, strong = np.array([[0.0, 0.2]]), np.array([[0.0, 1.0]])
    opacity = [heat_layer(heat, limits=(0.0, 1.0))[0, 1, 3] for heat in (weak, strong)]
    assert opacity[0] < opacity[1] / 5
    assert heat_layer(weak)[0, 1, 3] == opacity[1]


def test_higher_values_are_lighter_and_less_transparent():
    layer = heat_layer(np.linspace(0, 1, 20)[None]).astype(int)[0]
    luminance = layer[:, :3] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance) > 0).all()
    assert (np.diff(layer[:, 3]) >= 0).all()


def test_the_outline_lies_around_the_region_and_leaves_its_inside(image):
    mask = np.zeros(image.shape, dtype=bool)
    mask[10:20, 30:45] = True
    plain, outlined = (overlay_heat(image, np.zeros(image.shape), mask=m) for m in (None, mask))
    changed = (plain != outlined).any(axis=2)
    assert not changed[mask].any()
    assert changed[9, 29:46].all()
    assert changed[20, 29:46].all()
    assert not changed[7].any()


def test_an_empty_region_has_no_outline(image):
    assert not mask_outline(np.zeros((5, 5))).any()


def test_the_written_picture_has_the_size_and_pixels_of_the_overlay(image, tmp_path):
    heat = np.random.default_rng(0).random(image.shape)
    path = write_overlay(tmp_path / "map.png", image, heat=heat, mask=heat > 0.9)
    picture = Image.open(path)
    assert picture.size == (60, 40)
    np.testing.assert_array_equal(np.asarray(picture), overlay_heat(image, heat, mask=heat > 0.9))


def test_the_same_picture_gives_the_same_bytes(image):
    pixels = overlay_heat(image, image)
    assert encode_png(pixels) == encode_png(pixels.copy())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(
            {"image": np.zeros((40, 60), np.uint8)}, "image must hold floats in .0, 1., got uint8", id="uint8"
        ),
        pytest.param({"image": np.full((40, 60), 255.0)}, "got values from 255 to 255", id="range"),
        pytest.param({"image": np.full((40, 60), np.nan)}, "got values from nan", id="NaN"),
        pytest.param({"image": np.zeros((1, 40, 60))}, r"shape \(H, W\), got \(1, 40, 60\)", id="channel"),
        pytest.param({"image": np.zeros((0, 60))}, r"got \(0, 60\)", id="empty"),
        pytest.param({"heat": np.zeros((60, 40))}, r"heat must have the shape of its image \(40, 60\)", id="turned"),
        pytest.param({"heat": np.full((40, 60), np.inf)}, "got infinities", id="infinite"),
        pytest.param({"mask": np.zeros((4, 6))}, r"mask must have the shape of its image", id="mask"),
        pytest.param({"strength": 1.5}, "strength must lie between 0 and 1, got 1.5", id="strength"),
        pytest.param({"limits": (1.0, 1.0)}, "limits must be two growing numbers", id="limits"),
    ],
)
def test_what_does_not_fit_is_refused_with_value_and_expectation(image, tmp_path, change, message):
    arguments = {"image": image, "heat": np.zeros(image.shape), **change}
    with pytest.raises(ValueError, match=message):
        write_overlay(tmp_path / "map.png", arguments.pop("image"), **arguments)
    assert list(tmp_path.iterdir()) == []


def test_only_png_is_written(image, tmp_path):
    with pytest.raises(ValueError, match=r"must end in \.png, got 'map\.jpg'"):
        write_overlay(tmp_path / "map.jpg", image, heat=image)


def test_what_interpolation_overshoots_is_clipped(image):
    assert overlay_heat(image * 1.0005, np.zeros(image.shape)).max() == 255
