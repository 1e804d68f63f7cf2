from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from monai_place.metrics import BootstrapInterval
from monai_place.visualize import Estimate, as_estimate
from monai_place.visualize.estimates import NOTHING, format_number


@pytest.mark.parametrize(
    "value",
    [
        pytest.param((0.7, 0.6, 0.8), id="three numbers"),
        pytest.param([np.float32(0.7), np.float64(0.6), 0.8], id="numpy numbers"),
        pytest.param({"value": 0.7, "low": 0.6, "high": 0.8}, id="mapping"),
        pytest.param(SimpleNamespace(value=0.7, low=0.6, high=0.8), id="object"),
        pytest.param(BootstrapInterval(0.7, 0.6, 0.8, confidence=0.95, resamples=10), id="what metrics return"),
        pytest.param(Estimate(0.7, 0.6, 0.8), id="estimate"),
    ],
)
def test_an_interval_is_read_from_whatever_holds_it(value):
    estimate = as_estimate(value)
    assert (estimate.number, estimate.interval) == ("0.700", "0.600 to 0.800")


def test_what_stands_for_no_number_is_an_en_dash():
    assert ascii(NOTHING) == r"'\u2013'"


@pytest.mark.parametrize("value", [None, float("nan"), {"value": None, "low": None}])
def test_no_number_is_an_en_dash_without_unit_or_interval(value):
    estimate = as_estimate(value)
    assert (estimate.text, estimate.interval) == (NOTHING, "")
    assert Estimate(math.nan, unit="nats").text == NOTHING


def test_half_an_interval_is_none():
    assert Estimate(0.5, 0.4, math.nan).interval == ""


def test_a_share_in_percent_is_multiplied_with_its_interval():
    estimate = Estimate(0.093, 0.0741, 0.1209, unit="%")
    assert (estimate.text, estimate.interval) == ("9.3 %", "7.4 to 12.1")


def test_unit_note_and_digits_of_a_mapping_are_kept():
    given = {"value": 2.2, "unit": "nats", "digits": 1, "note": "at least 1", "resamples": 1000}
    assert as_estimate(given).text == "2.2 nats"
    assert as_estimate(given).note == "at least 1"


@pytest.mark.parametrize("value", ["0.7", True, [0.7, 0.8], {"mean": 0.7}, [0.1, "a", 0.2]])
def test_what_is_no_number_is_refused_by_its_type(value):
    with pytest.raises(TypeError, match="an estimate is a number"):
        as_estimate(value)


def test_numbers_have_a_true_minus_and_no_negative_zero():
    assert format_number(-1.5, digits=1) == "\N{MINUS SIGN}1.5"
    assert format_number(-0.0004, digits=2) == "0.00"
    assert format_number(-math.inf) == "\N{MINUS SIGN}∞"
