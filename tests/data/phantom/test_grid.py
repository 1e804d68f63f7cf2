from __future__ import annotations

import numpy as np
import pytest

from monai_place.data.phantom.grid import STREAMS, bump, edge, noise_field, pixel_grid, ridge, stream


def test_a_stream_depends_on_seed_index_and_purpose() -> None:
    draws = {float(stream(seed, index, purpose).random()) for seed in (0, 1) for index in (0, 1) for purpose in STREAMS}
    assert len(draws) == 4 * len(STREAMS)


def test_pixel_centers_are_symmetric_and_cannot_be_written_to() -> None:
    x, y = pixel_grid(7)
    np.testing.assert_allclose(x[0], -x[0, ::-1], atol=1e-7)
    assert x.shape == (1, 7)
    assert y.shape == (7, 1)
    assert x[0, 0] == pytest.approx(-1 + 1 / 7)
    with pytest.raises(ValueError, match="read-only"):
        x[0, 0] = 0


def test_an_edge_is_exact_beyond_its_softness() -> None:
    distance = np.array([-0.2, -0.1, 0, 0.1, 0.2], dtype=np.float32)
    np.testing.assert_allclose(edge(distance, 0.1), [0, 0, 0.5, 1, 1], atol=1e-6)


def test_a_ridge_is_compact_and_a_bump_is_gaussian() -> None:
    distance = np.array([0, 0.1, 0.3], dtype=np.float32)
    np.testing.assert_allclose(ridge(distance, 0.1), [1, 0, 0], atol=1e-6)
    np.testing.assert_allclose(bump(distance, 0.1), np.exp([0, -0.5, -4.5]), rtol=1e-5)


def test_a_noise_field_is_the_same_picture_at_every_size() -> None:
    small = noise_field(np.random.default_rng(0), 5, 60)
    large = noise_field(np.random.default_rng(0), 5, 180)
    np.testing.assert_allclose(small, large[1::3, 1::3], atol=1e-5)  # the middle pixel of three has the same center
    assert 0.5 < large.std() < 2


def test_a_noise_field_runs_on_both_axes() -> None:
    field = noise_field(np.random.default_rng(0), 5, 40)
    assert field.std(axis=0).min() > 0.1
    assert field.std(axis=1).min() > 0.1
