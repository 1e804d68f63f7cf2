from __future__ import annotations

import json

import numpy as np

from monai_place.inference.report_results import GeneratedReport, GeneratedSentence

HEAT = np.array([[0.1, np.nan], [0.7, 0.2]], dtype=np.float32)
REPORT = GeneratedReport(
    3,
    "a/1.png",
    (
        GeneratedSentence("No edema.", "findings", HEAT),
        GeneratedSentence("Normal.", "impression", np.full((2, 2), np.nan, dtype=np.float32), 0.5),
        GeneratedSentence("Follow up.", "impression"),
    ),
    ("findings", "impression"),
)


def test_text_has_headings_and_maps_have_peaks():
    assert REPORT.text == "FINDINGS: No edema.\nIMPRESSION: Normal. Follow up."
    assert [sentence.peak for sentence in REPORT.sentences] == [(1, 0), None, None]


def test_plain_values_are_json_without_maps():
    values = json.loads(json.dumps(REPORT.to_dict(), allow_nan=False))
    assert values["sentences"][0] == {"text": "No edema.", "section": "findings", "peak": [1, 0], "score": None}
    assert values["sentences"][1]["score"] == 0.5


def test_sentences_with_evidence_can_be_drawn():
    grounded = REPORT.grounded()
    assert [entry.text for entry in grounded] == ["No edema.", "Normal."]
    assert grounded[0].source == "a/1.png"
    assert grounded[0].peak == (1, 0)
