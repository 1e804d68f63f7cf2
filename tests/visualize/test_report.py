from __future__ import annotations

import base64
import dataclasses
import io
import re
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from monai_place.visualize import (
    GroundingExample,
    RetrievalExample,
    RetrievedItem,
    RocScores,
    RunReport,
    render_run_report,
    write_run_report,
)
from monai_place.visualize.estimates import NOTHING

VOID = {"meta", "img", "br", "link", "input", "hr"}
SECTIONS = ["numbers", "run", "losses", "zero-shot", "probe", "checks", "retrieval", "grounding", "notes"]


class Page(HTMLParser):
    """Elements of a page with their attributes and texts; unbalanced tags are an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert (self.open or [""]).pop() == tag, f"</{tag}> closes nothing"

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.texts.append(data)

    def values(self, *names: str) -> list[str]:
        return [value or "" for _, attributes in self.elements for key, value in attributes.items() if key in names]

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.texts))  # a no-break space is a space here


@pytest.fixture(scope="module")
def shown(report) -> str:
    return render_run_report(report, show_text=True)


@pytest.fixture(scope="module")
def page(shown) -> Page:
    return Page(shown)


def test_every_part_that_has_content_stands_on_the_page_and_in_its_list_of_parts(page):
    assert [value for value in page.values("id") if value in SECTIONS] == SECTIONS
    assert [value for value in page.values("href") if value[1:] in SECTIONS] == [f"#{name}" for name in SECTIONS]


def test_the_page_says_at_head_and_foot_that_it_is_no_medical_device(page):
    assert page.text.count("Not a medical device. Research use only. Synthetic phantom data.") == 2


def test_headline_numbers_stand_with_interval_unit_and_note(page):
    assert "Zero-shot AUROC, global 0.739 95 % interval 0.719 to 0.759 chance 0.500" in page.text
    assert "Image to report, R@5 9.7 % 95 % interval 7.4 to 12.1" in page.text


def test_what_is_not_a_number_is_an_en_dash(page, report):
    assert f"Not measured {NOTHING} " in page.text
    assert not re.search(r"\bnan\b", page.text, re.IGNORECASE)
    blank = dataclasses.replace(
        report,
        linear_probe={"PLACE": {0.1: float("nan"), 1.0: 0.8}, "untrained": {1.0: 0.7}},
        diagnostics=[dataclasses.replace(report.diagnostics[0], values={"right image": None})],
        settings={"best epoch": float("nan"), "resumed from": None},
        roc=RocScores({"global": np.zeros((4, 1))}, np.zeros((4, 1)), ["nodule"]),
    )
    html = render_run_report(blank)
    assert not re.search(r"\bnan\b", Page(html).text, re.IGNORECASE)
    assert f"<dt>best epoch</dt><dd>{NOTHING}</dd>" in html
    assert "NaN" not in html


def test_settings_and_versions_are_listed_with_nested_names_joined(shown):
    assert "<dt>loss.pcma_weight</dt><dd>0.5</dd>" in shown
    assert "<dt>torch</dt><dd>2.12.1</dd>" in shown


def test_the_table_of_findings_has_counts_and_both_ways_of_scoring(page, roc):
    counts = [int(np.nansum(roc.labels[:, 0])), 73]  # seven of eighty are not known
    assert f"Cardiomegaly {counts[0]} {counts[1]} 0.810 0.720 to 0.900" in page.text
    known = ~np.isnan(roc.labels[:, 2])
    positive = roc.scores["local"][known & (roc.labels[:, 2] == 1), 2]
    negative = roc.scores["local"][known & (roc.labels[:, 2] == 0), 2]
    auroc = (positive[:, None] > negative[None]).mean()  # share of pairs in the right order
    assert f"0.640 0.550 to 0.710 {auroc:.3f}" in page.text


def test_the_mean_over_findings_is_as_given_or_else_the_mean(page):
    row = page.text.split("Mean over findings")[1]
    assert row.lstrip().startswith("0.740 0.700 to 0.780")


def test_the_linear_probe_shows_the_difference_to_the_untrained_network(page):
    assert "Difference +0.150 +0.120" in page.text


def test_the_page_speaks_of_intervals_only_where_there_are_some(page, report):
    assert page.text.count("95 % intervals") == 2  # the table of findings, the probe
    bare = dataclasses.replace(report, roc=dataclasses.replace(report.roc, auroc={}, macro={}))
    bare = dataclasses.replace(bare, linear_probe={"PLACE": {1.0: 0.8}})
    assert "95 % intervals" not in Page(render_run_report(bare)).text


def test_checks_say_whether_they_passed(page):
    assert "Does PCMA look at the image? passed" in page.text
    assert "Do the maps beat a location prior? not passed" in page.text


def test_the_right_answer_is_marked_once_in_each_query(page, studies):
    assert page.text.count("✓ right report") == 1
    assert page.text.count("✓ right image") == 1
    assert "✓ right report " + re.sub(r"\s+", " ", studies[1].report)[:40] in page.text
    assert "right answer: rank 2 of 200" in page.text


def test_a_grounding_example_has_its_radiograph_once_two_maps_and_the_outline_on_each_view(shown):
    part = shown[shown.index('<section id="grounding">') :]
    assert part.count('href="data:image/png') == 3
    assert part.count('class="outline"') == 3
    assert part.count(" d=") == 1
    assert "Darkened parts" in part


def test_embedded_pictures_are_the_pictures_they_stand_for(shown, report):
    data = re.search(r'<img src="data:image/png;base64,([^"]+)" alt="Radiograph used as query"', shown)
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data[1]))))
    np.testing.assert_array_equal(picture, (report.retrieval_examples[0].query_image * 255).round())


def test_the_page_loads_nothing_and_runs_nothing(shown, page):
    tags = {tag for tag, _ in page.elements}
    assert not tags & {"script", "link", "iframe", "object", "embed", "base", "form"}
    for value in page.values("src", "href", "srcset", "data", "poster", "action", "xlink:href"):
        assert value.startswith(("data:image/png;base64,", "#")), value[:60]
    assert not re.search(r"https?://|@import|url\((?!#)", shown)
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    policy = next(attributes for tag, attributes in page.elements if "http-equiv" in attributes)
    assert policy["content"].startswith("default-src 'none'")


def test_ids_are_unique_and_every_reference_has_its_target(shown, page):
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    targets = set(re.findall(r"url\(#([^)]+)\)", shown)) | {v[1:] for v in page.values("href") if v.startswith("#")}
    assert targets <= set(ids)


def test_markup_in_any_text_is_shown_and_not_obeyed(with_texts):
    text = "<script>alert(1)</script><img src=x onerror=alert(2)> \"'&"
    html = render_run_report(with_texts(text), show_text=True)
    page = Page(html)
    assert "script" not in {tag for tag, _ in page.elements}
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert "x" not in page.values("src")
    assert page.text.lower().count("<script>alert(1)</script>") > 20


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("costs $5 and $6_x^", id="mathtext"),
        pytest.param("{{ 7 * 7 }} {% raw %}", id="template"),
        pytest.param("胸部 صدر 🫁", id="other scripts"),
        pytest.param("</style></svg><!--", id="closing tags"),
    ],
)
def test_a_text_is_shown_as_it_is(with_texts, text):
    page = Page(render_run_report(with_texts(text), show_text=True))
    assert page.text.count(text) > 10


def test_texts_of_reports_are_not_shown_unless_asked_for(report, studies):
    html = render_run_report(report)
    assert "Left effusion." not in html
    for study in studies:
        assert not any(sentence.text in html for sentence in study.sentences)
    assert "(text not shown)" in html
    assert "similarity of each. Texts of reports are not shown." in Page(html).text
    assert "(sentence not shown)" in html


def test_the_same_report_gives_the_same_bytes(report, tmp_path):
    first = write_run_report(tmp_path / "a.html", report, show_text=True)
    second = write_run_report(tmp_path / "b.html", report, show_text=True)
    assert first.read_bytes() == second.read_bytes()


def test_a_title_alone_makes_a_page(tmp_path):
    html = render_run_report(RunReport("Nothing yet"))
    assert not set(SECTIONS) & set(Page(html).values("id"))
    assert "Not a medical device. Research use only." in html
    assert "phantom" not in html


@pytest.mark.parametrize(
    ("name", "section"),
    [
        ("metrics", "numbers"),
        ("history", "losses"),
        ("roc", "zero-shot"),
        ("linear_probe", "probe"),
        ("diagnostics", "checks"),
        ("retrieval_examples", "retrieval"),
        ("grounding_examples", "grounding"),
        ("notes", "notes"),
    ],
)
def test_a_part_without_content_is_left_out_and_the_others_stay(report, name, section):
    field = next(field for field in dataclasses.fields(RunReport) if field.name == name)
    empty = field.default if field.default is not dataclasses.MISSING else field.default_factory()
    page = Page(render_run_report(dataclasses.replace(report, **{name: empty})))
    assert [value for value in page.values("id") if value in SECTIONS] == [s for s in SECTIONS if s != section]


def test_many_large_examples_stay_below_three_megabytes_and_the_rest_is_counted(report):
    rng = np.random.default_rng(0)
    image = rng.random((960, 800)).astype(np.float32)
    mask = rng.random((12, 10)).repeat(80, 0).repeat(80, 1) > 0.5
    items = [RetrievedItem(0.5, False, image=image) for _ in range(5)]
    big = dataclasses.replace(
        report,
        grounding_examples=[GroundingExample(image, "A", image.astype(np.float64), mask) for _ in range(10)],
        retrieval_examples=[RetrievalExample(items, query_text="A") for _ in range(8)],
        history=[{"iteration": n, "loss": 1 / n, "ita": 1 / n} for n in range(1, 20_000)],
    )
    html = render_run_report(big)
    assert len(html) < 3_000_000
    assert html.count("2 further examples are not shown.") == 2


def test_a_report_that_cannot_be_written_leaves_the_old_one(report, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("old")
    broken = dataclasses.replace(report, metrics={"AUROC": "high"})
    with pytest.raises(TypeError, match="got str"):
        write_run_report(path, broken)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_classification_is_a_row_of_measures_with_intervals() -> None:
    row = {"AUROC": {"value": 0.75, "low": 0.7, "high": 0.8}, "F1": None}
    page = render_run_report(RunReport("A run", classification={"linear probe": row}))
    assert '<section id="classification">' in page
    assert "0.700 to 0.800" in page
    assert "\N{EN DASH}" in page.partition('<section id="classification">')[2]
