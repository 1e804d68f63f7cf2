from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from monai_place.data.phantom.anatomy import Body, draw_body, heart_maps, sample_acquisition, sample_anatomy


def draw(size: int = 128, **pose: float) -> Body:
    rng = np.random.default_rng(3)
    anatomy = sample_anatomy(rng)
    still = {"shift_x": 0.0, "shift_y": 0.0, "rotation": 0.0, "scale": 1.0, "breath": 0.2}
    acquisition = replace(sample_acquisition(rng), **(still | pose))
    return draw_body(anatomy, acquisition, np.random.default_rng(4), size=size)


def center(weights: np.ndarray) -> tuple[float, float]:
    rows, columns = np.indices(weights.shape)
    return float((weights * rows).sum() / weights.sum()), float((weights * columns).sum() / weights.sum())


def test_there_are_two_lungs_and_no_air_between_or_below_them() -> None:
    lung = draw().lung
    assert lung[64, 30] == lung[64, 98] == 1
    assert lung[64, 64] == 0
    assert lung[125].max() == 0
    assert 0.15 < lung.mean() < 0.45


def test_the_heart_lies_mostly_on_the_image_right() -> None:
    heart, _ = heart_maps(draw(), 0.45)
    assert center(heart)[1] > 65


def test_a_larger_ratio_makes_a_wider_and_denser_heart() -> None:
    body = draw()
    normal, large = heart_maps(body, 0.42)[0], heart_maps(body, 0.6)[0]
    widths = [(heart.max(axis=0) > 0).sum() for heart in (normal, large)]
    assert widths[1] > 1.25 * widths[0]
    assert large.max() > normal.max()


def test_the_cardiothoracic_ratio_is_what_it_says() -> None:
    body = draw(size=512)
    _, shadow = heart_maps(body, 0.5)
    across = body.u[0, (shadow > 0).any(axis=0)]
    assert (across.max() - across.min()) / (2 * body.anatomy.chest) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(
    ("pose", "axis", "moved"),
    [
        pytest.param({"shift_x": 0.1}, 1, 6.4, id="right"),
        pytest.param({"shift_y": -0.1}, 0, -6.4, id="up"),
    ],
)
def test_a_shift_moves_the_lungs(pose: dict[str, float], axis: int, moved: float) -> None:
    assert center(draw(**pose).lung)[axis] - center(draw().lung)[axis] == pytest.approx(moved, abs=0.5)


def test_a_shallow_breath_makes_smaller_lungs() -> None:
    assert draw(breath=0.9).lung.sum() < 0.95 * draw(breath=0.0).lung.sum()


def test_the_scale_enlarges_the_body() -> None:
    assert draw(scale=1.1).lung.sum() == pytest.approx(1.21 * draw().lung.sum(), rel=0.05)


def test_a_rotation_turns_the_body_clockwise() -> None:
    turned = draw(rotation=0.1)
    # Turned clockwise on the screen, the lung on the image-left goes up and that on the right goes down.
    half = turned.lung.shape[1] // 2
    left, right = turned.lung.copy(), turned.lung.copy()
    left[:, half:], right[:, :half] = 0, 0
    assert center(left)[0] < center(right)[0] - 4


def test_a_rotation_keeps_lengths_and_angles() -> None:
    turned, straight = draw(rotation=0.1), draw()
    np.testing.assert_allclose(turned.u**2 + turned.v**2, straight.u**2 + straight.v**2, atol=1e-5)


def test_a_body_is_the_same_picture_at_every_size() -> None:
    small, large = draw(size=64), draw(size=192)
    blocks = large.lung.reshape(64, 3, 64, 3).mean(axis=(1, 3))
    assert np.abs(small.lung - blocks).mean() < 0.02


def test_everything_is_finite_and_float32() -> None:
    body = draw()
    for field in (body.lung, body.air, body.tissue, body.markings, body.wall, body.floor):
        assert field.dtype == np.float32
        assert np.isfinite(field).all()
