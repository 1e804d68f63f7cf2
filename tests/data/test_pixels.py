from __future__ import annotations

import logging
import threading
import warnings

import numpy as np
import numpy.typing as npt
import pytest

from monai_place.data.pixels import (
    MAX_PIXELS,
    RadiographError,
    check_size,
    luminance,
    min_max_to_unit,
    silent_decoders,
)


@pytest.mark.parametrize("size", [(1, 1), (1, MAX_PIXELS), (8000, 10000)])
def test_a_size_up_to_the_limit_passes(size: tuple[int, int]) -> None:
    check_size(*size)


@pytest.mark.parametrize(
    ("size", "reason"),
    [
        pytest.param((0, 5), r"the picture is empty \(0 x 5 pixels\)", id="no row"),
        pytest.param((5, 0), "the picture is empty", id="no column"),
        pytest.param((-1, -1), "the picture is empty", id="negative"),
        pytest.param((1, MAX_PIXELS + 1), "80000001 pixels are more than the limit of 80,000,000", id="one too many"),
    ],
)
def test_a_size_out_of_bounds_is_refused_with_both_sides(size: tuple[int, int], reason: str) -> None:
    with pytest.raises(RadiographError, match=reason):
        check_size(*size)


def test_equal_channels_are_returned_bit_for_bit(caplog: pytest.LogCaptureFixture) -> None:
    grey = np.random.default_rng(0).random((7, 11), dtype=np.float32)
    np.testing.assert_array_equal(luminance(np.repeat(grey[..., None], 3, axis=2), "a.png"), grey)
    assert not caplog.records


def test_color_is_weighted_as_the_eye_sees_it() -> None:
    # ITU-R BT.601: green is lightest, blue is darkest, and the three make white.
    primaries = np.eye(3, dtype=np.float32)[None]  # (1, 3, 3): a red, a green and a blue pixel
    np.testing.assert_allclose(luminance(primaries, "a.png"), [[0.299, 0.587, 0.114]], atol=1e-7)


@pytest.mark.parametrize(("colored", "logged"), [(1, False), (2, True)], ids=["a marker", "a photograph"])
def test_a_colored_marker_alone_is_not_logged(colored: int, logged: bool, caplog: pytest.LogCaptureFixture) -> None:
    picture = np.full((10, 10, 3), 0.5, dtype=np.float32)
    picture[0, :colored, 0] = 1.0  # one pixel is 1 % of the picture
    with caplog.at_level(logging.WARNING):
        luminance(picture, "a.png")
    assert bool(caplog.records) is logged


def test_the_traces_of_chroma_coding_are_no_color(caplog: pytest.LogCaptureFixture) -> None:
    picture = np.full((10, 10, 3), 0.5, dtype=np.float32)
    picture[..., 0] += 15 / 255
    luminance(picture, "a.png")
    assert not caplog.records


def test_the_smallest_value_becomes_0_and_the_largest_1() -> None:
    np.testing.assert_allclose(min_max_to_unit(np.array([[-3.0, 1.0], [0.0, 5.0]])), [[0, 0.5], [0.375, 1]])


def test_values_that_do_not_count_are_clipped_to_those_that_do() -> None:
    values = np.array([-3000.0, 0.0, 5.0, 10.0, 9999.0])
    result = min_max_to_unit(values, np.array([False, True, True, True, False]))
    np.testing.assert_array_equal(result, [0, 0, 0.5, 1, 1])


@pytest.mark.parametrize("counted", [None, np.zeros((2, 2), dtype=bool)], ids=["constant", "nothing counts"])
def test_a_picture_without_a_range_is_zero(counted: npt.NDArray[np.bool_] | None) -> None:
    np.testing.assert_array_equal(min_max_to_unit(np.full((2, 2), 700.0), counted), np.zeros((2, 2)))


def test_integers_of_16_bits_keep_every_step() -> None:
    result = min_max_to_unit(np.arange(65536, dtype=np.float32))
    assert len(np.unique(result)) == 65536


def test_decoders_are_silent_in_the_block_and_in_its_thread_only(caplog: pytest.LogCaptureFixture) -> None:
    def talk() -> None:
        logging.getLogger("pydicom").warning("Doe^Jane")

    with silent_decoders():
        with silent_decoders():
            talk()
        talk()
        warnings.warn("Doe^Jane", stacklevel=1)
        assert caplog.text == ""
        thread = threading.Thread(target=talk)
        thread.start()
        thread.join()
        assert caplog.text.count("Doe^Jane") == 1
    talk()
    assert caplog.text.count("Doe^Jane") == 2
