from __future__ import annotations

import math

import pytest

from monai_place.visualize import (
    grounding_diagnostic,
    report_use_diagnostic,
    slot_sameness_diagnostic,
    slot_use_diagnostic,
    swapped_image_diagnostic,
)


@pytest.mark.parametrize(
    ("diagnostic", "passed", "words"),
    [
        pytest.param(swapped_image_diagnostic(3.32, 5.52), True, "Gap 2.20 nats", id="looks"),
        pytest.param(swapped_image_diagnostic(1.25, 1.26), False, "without looking at the image", id="degenerate"),
        pytest.param(swapped_image_diagnostic(5.0, 3.0), False, "Gap \N{MINUS SIGN}2.00 nats", id="worse than swapped"),
        pytest.param(report_use_diagnostic(0.361, 0.356), False, "the report makes no difference", id="ignored"),
        pytest.param(report_use_diagnostic(0.40, 0.35), True, "Gap 0.050", id="read"),
        pytest.param(slot_sameness_diagnostic(1.0), False, "Slots are constants", id="constant"),
        pytest.param(slot_sameness_diagnostic(0.4), True, "Slots answer to the image", id="alive"),
        pytest.param(grounding_diagnostic(0.18, (0.82, 0.8, 0.84)), False, "with care", id="below the prior"),
        pytest.param(grounding_diagnostic(0.9, 0.82, 0.09), True, "at least as much", id="above the prior"),
        pytest.param(slot_use_diagnostic(8.0, 16), None, "50 % of the slots", id="half the slots"),
    ],
)
def test_a_diagnostic_says_what_its_numbers_say(diagnostic, passed, words):
    assert diagnostic.passed is passed
    assert words in diagnostic.reading


@pytest.mark.parametrize(
    "diagnostic",
    [
        swapped_image_diagnostic(math.nan, 5.0),
        report_use_diagnostic(None, 0.3),
        slot_sameness_diagnostic(None),
        grounding_diagnostic(None, 0.8),
    ],
)
def test_what_was_not_measured_neither_passes_nor_fails(diagnostic):
    assert diagnostic.passed is None
    assert "not measured" in diagnostic.reading.lower()
