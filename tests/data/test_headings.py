from __future__ import annotations

import time

import pytest

from monai_place.data.headings import find_headings
from monai_place.data.reports import ReportSections, split_sections

NAMES = {
    "findings": (
        *("FINDINGS:", "Findings:", "findings :", "FINDING:", "CHEST FINDINGS:", "FINDINGS AND IMPRESSION:"),
        *("FINDINGS/IMPRESSION:", "Impression and Findings:", "PROVISIONAL FINDINGS IMPRESSION (PFI):"),
        *("PA AND LATERAL CHEST:", "AP CHEST:", "UPRIGHT AP VIEW OF THE CHEST:", "AP CHEST, 10:12 A.M., ___:"),
        *("FINDINGS IMPRESSION:", "TECHNIQUE AND FINDINGS:", "FINDINGS AND RECOMMENDATIONS:", "FIDNINGS:", "RESULT:"),
        *("PA AND LATERAL CHEST ON ___:", "CHEST RADIOGRAPH, ___ AT 7:30 PM:", "PFI:"),
    ),
    "impression": (
        *("IMPRESSION:", "Impressions:", "CONCLUSION:", "OPINION:", "Conclusions :", "FINAL IMPRESSION:", "SUMMARY:"),
        *("IMPRESSION -", "IMPRESSION", "IMPRESSION AND RECOMMENDATION:", "PRELIMINARY IMPRESSION:", "IMPRESION:"),
    ),
    "other": (
        *("INDICATION:", "History:", "CLINICAL HISTORY:", "REASON FOR EXAM:", "TECHNIQUE:", "COMPARISON:", "WET READ:"),
        *("RECOMMENDATION:", "Recommendations:", "ADDENDUM:", "NOTIFICATION:", "EXAMINATION:", "RECOMMENDATION(S):"),
        *("COMPARISON FILMS:", "REFERENCE EXAM:", "REASON FOR THIS EXAMINATION:", "HISTORY/INDICATION:", "REASON:"),
        *("UNDERLYING MEDICAL CONDITION:", "CLINICAL IMPRESSION:", "EXAMINATIONS:", "WET READ VERSION #1 3:41 PM\n"),
        *("ACCESSION NUMBER:", "Accession No.:"),
    ),
}


@pytest.mark.parametrize(("heading", "section"), [(name, section) for section in NAMES for name in NAMES[section]])
def test_heading_opens_its_section(heading, section):
    expected = {"findings": "", "impression": "", "other": ""} | {section: "No edema."}
    assert split_sections(f"{heading} No edema.") == ReportSections(**expected)


def test_offsets_enclose_the_heading_with_its_colon():
    text = "Chest film.\nFINDINGS: Clear. Impression: Normal."
    assert [text[heading.start : heading.end] for heading in find_headings(text)] == ["FINDINGS:", " Impression:"]


def test_indented_heading_is_found():
    assert [heading.section for heading in find_headings(" FINDINGS:\n Clear.")] == ["findings"]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("No prior study is available for\ncomparison.", id="wrapped word with a stop"),
        pytest.param("No prior study is available for\ncomparison", id="wrapped word"),
        pytest.param("With these findings: edema and effusion.", id="findings in a sentence"),
        pytest.param("See the Findings: edema and effusion.", id="capitalized in a sentence"),
        pytest.param("Findings are in line with pneumonia.", id="findings as subject"),
        pytest.param("FINDINGS CONSISTENT WITH EDEMA.", id="capitals throughout"),
        pytest.param("History of HIV, no comparison.", id="history of"),
        pytest.param("Chest X-ray: Normal. PMH: Asthma.", id="other colons"),
        pytest.param("El hallazgo: derrame.", id="another language"),
    ],
)
def test_words_in_a_sentence_are_no_headings(text):
    assert find_headings(text) == []
    assert split_sections(text) == ReportSections(findings=text)


@pytest.mark.parametrize("unit", ["A ", "FINDINGS ", "findings: ", "IMPRESSION AND ", "AP, ", " \n", "PA CHEST\n"])
def test_time_grows_linearly_on_hostile_text(unit):
    def seconds(length: int) -> float:
        start = time.process_time()
        find_headings((unit * length)[:length])
        return time.process_time() - start

    # Quadratic time would grow 64-fold; the constant forgives a busy machine.
    assert seconds(80_000) < 24 * seconds(10_000) + 0.25
