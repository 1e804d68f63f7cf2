from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from monai_place.metrics.report_labels import ReportLabeller
from monai_place.visualize import DraftExample, DraftScores, DraftSentence, RunReport, judge_draft, render_run_report
from monai_place.visualize.drafts import MOST_EXAMPLES, MOST_MAPS, build_drafts

IMAGE = np.full((8, 6), 0.5)
HEAT = np.linspace(0, 1, 48).reshape(8, 6)
LABELLER = ReportLabeller("phantom")
REFERENCE = ["Small nodule in the left lung.", "Mild edema.", "There is cardiomegaly.", "No atelectasis."]
WRITTEN = ["There is cardiomegaly.", "No pleural effusion.", "No edema.", "Left pneumothorax.", "Trachea is midline."]


def example(written=WRITTEN, heat=HEAT):
    draft = SimpleNamespace(sentences=[SimpleNamespace(text=text, evidence=heat) for text in written])
    return judge_draft(IMAGE, draft, REFERENCE, {"nodule", "edema", "cardiomegaly"}, LABELLER)


def test_findings_are_right_invented_or_missed():
    judged = example()
    assert [dict(sentence.verdicts) for sentence in judged.written] == [
        {"cardiomegaly": "correct"},
        {},
        {"edema": "missed"},
        {"pneumothorax": "invented"},
        {},
    ]
    assert [dict(sentence.verdicts) for sentence in judged.reference] == [
        {"nodule": "missed"},
        {"edema": "missed"},
        {"cardiomegaly": "correct"},
        {},
    ]
    assert list(judged.missed) == ["edema", "nodule"]


def test_maps_are_those_of_sentences_that_assert_and_are_bounded():
    shown = build_drafts([example()], None, show_text=True)["examples"][0]
    assert [entry["number"] for entry in shown["maps"]] == [1, 2, 3, 4]
    assert len(shown["maps"]) == MOST_MAPS
    late = example([*["No edema."] * 4, "There is cardiomegaly."])
    assert 5 in [entry["number"] for entry in build_drafts([late], None, show_text=True)["examples"][0]["maps"]]
    assert not build_drafts([example(heat=None)], None, show_text=True)["examples"][0]["maps"]


def test_page_shows_texts_verdicts_maps_and_numbers():
    scores = DraftScores({"Micro F1": {"generator": (0.5, 0.4, 0.6), "constant": 0.2}}, "of 20 studies")
    page = render_run_report(RunReport("A run", drafts=[example()], draft_scores=scores), show_text=True)
    for text in (
        "Generated reports",
        "cardiomegaly: correct",
        "pneumothorax: invented",
        "nodule: missed",
        "sentence 4",
    ):
        assert text in page
    for text in ("Small nodule in the left lung.", "Trachea is midline.", "of 20 studies", "0.4", "constant"):
        assert text in page
    assert "Generated reports" not in render_run_report(RunReport("A run"))


def test_texts_are_withheld_unless_asked_for_and_always_escaped():
    wicked = example(["<script>alert(1)</script> nodule."])
    page = render_run_report(RunReport("A run", drafts=[wicked]), show_text=True)
    assert "<script>" not in page
    assert "&lt;script&gt;" in page
    hidden = render_run_report(RunReport("A run", drafts=[example()]))
    assert "Trachea" not in hidden
    assert "text not shown" in hidden
    assert "cardiomegaly: correct" in hidden


def test_empty_drafts_and_many_examples_are_shown_for_what_they_are():
    empty = replace(example(), written=[])
    page = render_run_report(RunReport("A run", drafts=[empty]), show_text=True)
    assert re.search(r'<li class="muted">nothing</li>', page)
    found = build_drafts([example()] * (MOST_EXAMPLES + 3), None, show_text=True)
    assert (len(found["examples"]), found["left"]) == (MOST_EXAMPLES, 3)
    assert build_drafts([], None, show_text=True) is None


def test_gaps_are_told():
    gap = np.where(HEAT > 0.5, HEAT, np.nan)
    assert build_drafts([example(heat=gap)], None, show_text=False)["has_gap"]
    assert not build_drafts([example()], None, show_text=False)["has_gap"]


def test_wrong_verdicts_and_shapes_are_refused():
    with pytest.raises(ValueError, match="verdicts must be of"):
        DraftSentence("x", {"nodule": "wrong"})
    with pytest.raises(ValueError, match="must have the shape of its image"):
        DraftExample(IMAGE, [], [DraftSentence("x", {}, np.zeros((6, 8)))])
