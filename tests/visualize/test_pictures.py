from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from monai_place.visualize.pictures import data_uri, embed_heat, embed_image, outline_path, shrink


@pytest.fixture
def image():
    return np.linspace(0, 1, 40 * 60, dtype=np.float32).reshape(40, 60)


def decoded(uri):
    head, _, data = uri.partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data, validate=True))))


def test_the_vector_outline_encloses_exactly_the_area_of_a_rectangle_but_for_its_cut_corners():
    mask = np.zeros((20, 30), dtype=bool)
    mask[5:10, 10:22] = True
    points = np.array([p.split() for p in outline_path(mask).strip("MZ").split("L")], dtype=float)
    x, y = points.T
    area = abs((x[:-1] * y[1:] - x[1:] * y[:-1]).sum()) / 2
    assert area == pytest.approx(60 - 4 * 0.125)
    assert (x.min(), x.max(), y.min(), y.max()) == (10, 22, 5, 10)


def test_every_part_of_a_region_in_parts_and_its_hole_is_outlined():
    mask = np.zeros((20, 30), dtype=bool)
    mask[2:8, 2:8] = True
    mask[4:6, 4:6] = False
    mask[12:15, 20:25] = True
    assert outline_path(mask).count("Z") == 3


def test_shrinking_keeps_the_aspect_and_never_enlarges(image):
    assert shrink(image, 30).shape == (20, 30)
    assert shrink(image, 300).shape == image.shape


def test_the_embedded_map_of_a_large_image_is_small_and_keeps_its_limits():
    heat = np.zeros((1000, 500))
    heat[400:600, 100:400] = 0.5
    heat[1, 1] = 1.0  # one hot pixel that picking skips
    assert len(embed_heat(heat, largest=100)) < 3000
    assert embed_heat(heat, largest=100) != embed_heat(np.minimum(heat, 0.5), largest=100)


def test_an_empty_region_has_no_path():
    assert outline_path(np.zeros((5, 5))) == ""


def test_a_long_outline_is_thinned_and_stays_closed():
    rows, columns = np.mgrid[:900, :900]
    path = outline_path((rows - 450) ** 2 + (columns - 450) ** 2 < 400**2)
    assert path.count("L") < 1000
    assert path.endswith("Z")


def test_shrinking_averages_so_that_no_line_is_lost():
    lines = np.zeros((40, 40), dtype=np.float32)
    lines[::4] = 1
    np.testing.assert_allclose(shrink(lines, 10), 0.25, atol=1e-6)


def test_an_embedded_picture_is_the_picture_in_256_steps(image):
    np.testing.assert_array_equal(decoded(embed_image(image, largest=60)), (image * 255).round())
    assert decoded(embed_image(image, largest=30)).shape == (20, 30)
    with pytest.raises(ValueError, match="got values from 0 to 255"):
        embed_image(image * 255, largest=60)


def test_an_address_holds_exactly_the_pixels_given():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decoded(data_uri(pixels)), pixels)


def test_an_embedded_map_is_hot_where_the_map_is_hot_and_spreads_no_nan():
    heat = np.zeros((200, 100))
    heat[150:, :50] = 1.0
    heat[:50] = np.nan
    layer = decoded(embed_heat(heat, largest=20)).astype(int)
    assert layer.shape == (20, 10, 4)
    assert len(np.unique(layer[:5].reshape(-1, 4), axis=0)) == 1  # no answer
    opacity = layer[5:, :, 3]
    assert (opacity[10:, :5] == opacity.max()).all()
    assert (np.delete(opacity.ravel(), [row * 10 + col for row in range(10, 15) for col in range(5)]) == 0).all()
