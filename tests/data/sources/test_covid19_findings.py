from __future__ import annotations

import pytest

from monai_place.data.sources.covid19_findings import classes_of, label_of, parse_finding

VIRAL = ("Pneumonia", "Viral Pneumonia", "COVID-19")


@pytest.mark.parametrize(
    ("text", "paths"),
    [
        pytest.param("COVID-19", (VIRAL,), id="name"),
        pytest.param("Pneumonia/Viral/COVID-19", (VIRAL,), id="path"),
        pytest.param(" Pneumonia / Viral / COVID-19 ", (VIRAL,), id="spaces"),
        pytest.param("COVID-19, ARDS", (VIRAL, ("ARDS",)), id="two"),
        pytest.param("COVID-19, COVID-19", (VIRAL,), id="twice"),
        pytest.param("Pneumonia", (("Pneumonia",),), id="upper node"),
        pytest.param("Pneumonia/Lipoid", (("Pneumonia", "Lipoid"),), id="no kind"),
        pytest.param("Pneumonia/Viral/Herpes ", (("Pneumonia", "Viral Pneumonia", "Herpes"),), id="trailing space"),
        pytest.param("E.Coli", (("Pneumonia", "Bacterial Pneumonia", "E.Coli"),), id="organism"),
        pytest.param("Hernia", (("Hernia",),), id="not in the hierarchy"),
        pytest.param("Pneumonia/New/Thing", (("Pneumonia", "New", "Thing"),), id="new path"),
        pytest.param("No Finding", (("No Finding",),), id="none found"),
        pytest.param("todo", (), id="todo"),
        pytest.param("Unknown", (), id="unknown"),
        pytest.param("", (), id="empty"),
    ],
)
def test_a_finding_is_read_as_its_paths(text: str, paths: tuple[tuple[str, ...], ...]) -> None:
    assert parse_finding(text) == paths


def test_classes_are_the_nodes_that_occur_in_the_order_of_the_hierarchy_then_by_name() -> None:
    findings = [parse_finding(text) for text in ("Zebra", "Streptococcus", "Hernia", "COVID-19", "No Finding", "todo")]
    assert list(classes_of(findings)) == [
        "No Finding",
        "Pneumonia",
        "Viral Pneumonia",
        "COVID-19",
        "Bacterial Pneumonia",
        "Streptococcus",
        "Hernia",
        "Zebra",
    ]


CLASSES = classes_of(
    map(parse_finding, ("No Finding", "COVID-19, ARDS", "Streptococcus", "Lipoid", "Pneumonia/New/Thing"))
)


@pytest.mark.parametrize(
    ("text", "positive", "unknown"),
    [
        pytest.param("COVID-19", {*VIRAL}, set(), id="a leaf"),
        pytest.param("COVID-19, ARDS", {*VIRAL, "ARDS"}, set(), id="two leaves"),
        pytest.param("No Finding", {"No Finding"}, set(), id="nothing found"),
        pytest.param("Lipoid", {"Pneumonia", "Lipoid"}, set(), id="a leaf without kind"),
        pytest.param(
            "Pneumonia",
            {"Pneumonia"},
            {"Viral Pneumonia", "COVID-19", "Bacterial Pneumonia", "Streptococcus", "Lipoid", "New", "Thing"},
            id="all below is unknown",
        ),
        pytest.param("Pneumonia/Viral", {"Pneumonia", "Viral Pneumonia"}, {"COVID-19"}, id="a kind"),
        pytest.param("Hernia", set(), set(), id="not among the classes"),
        pytest.param("todo", set(), set(CLASSES), id="not read yet"),
    ],
)
def test_a_label_follows_the_rule(text: str, positive: set[str], unknown: set[str]) -> None:
    label = dict(zip(CLASSES, label_of(parse_finding(text), CLASSES), strict=True))
    assert {name for name, value in label.items() if value == 1} == positive
    assert {name for name, value in label.items() if value is None} == unknown
    assert {name for name, value in label.items() if value == 0} == set(CLASSES) - positive - unknown
