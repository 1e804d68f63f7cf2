from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from monai_place.visualize import Diagnostic, GroundingExample, RetrievalExample, RetrievedItem, RocScores, RunReport
from monai_place.visualize.estimates import NOTHING
from monai_place.visualize.page import MOST_GROUNDING, MOST_RETRIEVAL, build_page, flatten

PARTS = ["tiles", "settings", "versions", "losses", "validation", "zero_shot", "probe", "diagnostics", "retrieval"]
PARTS += ["grounding", "notes"]


def strings(value) -> list[str]:
    if isinstance(value, dict):
        return [text for item in value.values() for text in strings(item)]
    if isinstance(value, list | tuple):
        return [text for item in value for text in strings(item)]
    return [str(value)]


def test_every_part_of_a_full_report_has_content_and_none_of_an_empty_one(report):
    full, empty = build_page(report, show_text=False), build_page(RunReport("A run"), show_text=False)
    assert [name for name in PARTS if not full[name]] == []
    assert [name for name in PARTS if empty[name]] == []


def test_texts_of_reports_are_handed_over_only_when_asked_for(with_texts):
    examples = ("retrieval", "grounding")
    secret = with_texts("Patient Jane")
    withheld, shown = (build_page(secret, show_text=show) for show in (False, True))
    for part in examples:
        assert any("Patient Jane" in text for text in strings(shown[part]))
    texts = [
        withheld["grounding"][0]["sentence"],
        *(entry["query_text"] for entry in withheld["retrieval"]),
        *(answer["text"] for entry in withheld["retrieval"] for answer in entry["answers"]),
    ]
    assert set(texts) == {""}


def test_examples_beyond_the_bound_are_counted_and_not_built(report):
    item = RetrievedItem(0.5, right=True, text="A")
    many = dataclasses.replace(
        report,
        retrieval_examples=[RetrievalExample([item], query_text="A")] * (MOST_RETRIEVAL + 3),
        grounding_examples=list(report.grounding_examples) * (MOST_GROUNDING + 1),
    )
    page = build_page(many, show_text=False)
    assert (len(page["retrieval"]), page["retrieval_left"]) == (MOST_RETRIEVAL, 3)
    assert (len(page["grounding"]), page["grounding_left"]) == (MOST_GROUNDING, 1)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param({}, (False, False, False), id="a map alone"),
        pytest.param({"prior": np.ones((4, 4))}, (True, False, False), id="prior"),
        pytest.param({"mask": np.ones((4, 4))}, (False, True, False), id="region"),
        pytest.param({"heat": np.full((4, 4), np.nan)}, (False, False, True), id="gap"),
    ],
)
def test_the_legend_speaks_of_what_is_there(change, expected):
    example = GroundingExample(np.zeros((4, 4)), "A", np.eye(4))
    page = build_page(RunReport("a", grounding_examples=[dataclasses.replace(example, **change)]), show_text=False)
    assert (page["has_prior"], page["has_outline"], page["has_gap"]) == expected


def test_bars_are_shares_of_the_maximum_or_else_of_the_largest_value():
    given = Diagnostic("a", {"model": 0.5, "prior": 0.25}, maximum=1.0)
    free = dataclasses.replace(given, maximum=None)
    none = Diagnostic("a", {"model": None, "prior": -2.0}, maximum=1.0)
    page = build_page(RunReport("a", diagnostics=[given, free, none]), show_text=False)
    widths = [[bar["width"] for bar in diagnostic["bars"]] for diagnostic in page["diagnostics"]]
    assert widths == [[50.0, 25.0], [100.0, 50.0], [0.0, 0.0]]
    assert [bar["first"] for bar in page["diagnostics"][0]["bars"]] == [True, False]


def test_a_finding_s_mark_lies_at_its_auroc_on_an_axis_from_two_fifths_to_one():
    labels = np.array([[0.0], [1.0], [1.0], [np.nan]])
    scores = {"global": np.array([[0.0], [1.0], [2.0], [3.0]])}
    data = RocScores(scores, labels, ["nodule"], auroc={"global": [(0.7, 0.55, 0.85)]})
    row, mean = build_page(RunReport("a", roc=data), show_text=False)["zero_shot"]["rows"]
    assert (row["name"], row["positive"], row["known"]) == ("Nodule", "2", "3")
    (mark,) = row["marks"]
    assert (mark["x1"], mark["x"], mark["x2"]) == (25.0, 50.0, 75.0)
    assert mean["cells"][0]["number"] == "0.700"


def test_the_gain_of_the_probe_is_that_over_the_second_network_and_unknown_is_a_dash():
    probe = {"PLACE": {0.1: 0.6, 1.0: 0.8}, "untrained": {0.1: 0.65}}
    page = build_page(RunReport("a", linear_probe=probe), show_text=False)
    assert page["probe"]["shares"] == ["10 %", "100 %"]
    assert page["probe"]["gains"] == ["\N{MINUS SIGN}0.050", NOTHING]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(1 / 3, "0.333333", id="float"),
        pytest.param(float("nan"), NOTHING, id="NaN"),
        pytest.param(True, "yes", id="truth"),
        pytest.param([1, None, "a"], f"1, {NOTHING}, a", id="list"),
        pytest.param([], NOTHING, id="nothing in a list"),
        pytest.param("text", "text", id="text"),
    ],
)
def test_a_setting_is_written_for_a_reader(value, text):
    assert flatten({"a": {"b": {"c": value}}}) == [("a.b.c", text)]
