# ruff: noqa: RUF001 - text of other languages, as it is typed
from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from monai_place.data.phantom import render_study
from monai_place.data.reports import ReportSections, clean_text, report_sentences, split_sections

COUNTS = Path(__file__).with_name("clinical_notes_sentence_counts.json")
MIMIC = """                                 FINAL REPORT
 EXAMINATION:  CHEST (PA AND LAT)

 INDICATION:  ___F with new onset ascites  // eval for infection

 TECHNIQUE:  Chest PA and lateral

 COMPARISON:  None.

 FINDINGS:

 There is no focal consolidation, pleural effusion or pneumothorax.  Bilateral
 nodular opacities that most likely represent nipple shadows. The
 cardiomediastinal silhouette is normal.

 IMPRESSION:

 No acute cardiopulmonary process.
"""
MIMIC_WITHOUT_HEADING_OF_FINDINGS = """ WET READ: ___ ___ ___ 10:05 PM
  No pneumothorax.
 ______________________________________________________________________________
                                 FINAL REPORT
 HISTORY:  Fever, for comparison with the study of ___.

 REFERENCE EXAM:  ___.

 FINDINGS WILL FOLLOW

 In comparison with the study of ___, there is little change in the appearance
 of the monitoring devices.  No prior lateral view is available for
 comparison.

 The heart is normal in size.
"""


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("a\x00b\x07c\x1b[31md", "abcd", id="NUL, bell, terminal color"),
        pytest.param("a\r\nb\rc\x0bd\x0ce\u2028f\x85g", "a\nb\nc\nd\ne\nf\ng", id="line ends"),
        pytest.param("a\u00a0b\u2003c\td  e", "a b c d e", id="spaces"),
        pytest.param("  a \n\n\n\n b  ", "a\n\nb", id="blank lines and edges"),
        pytest.param("\ufeffNormal", "Normal", id="byte order mark"),
        pytest.param("38.3Â°C, donâ€™t, naÃ¯ve", "38.3°C, don’t, naïve", id="mojibake"),
        pytest.param("<p>One.</p><br/>Two <b class='x'>bold</b>.<!-- no -->", "One.\n\nTwo bold.", id="HTML tags"),
        pytest.param("<script>alert(1)</script>", "alert(1)", id="script tag"),
        pytest.param("CRP <5 mg/l, pO2 > 90, a<b and c>d", "CRP <5 mg/l, pO2 > 90, a<b and c>d", id="comparisons"),
        pytest.param("2 &lt; 3 &amp; 4&nbsp;cm &deg;", "2 < 3 & 4 cm °", id="entities"),
        pytest.param("&lt;b&gt;", "<b>", id="an escaped tag is text"),
        pytest.param("Lungs 🙂 👨‍👩‍👧 clear", "Lungs 🙂 👨‍👩‍👧 clear", id="emoji"),
        pytest.param("الرئتان صافيتان\u200f.", "الرئتان صافيتان\u200f.", id="right to left"),
        pytest.param("„Kein Erguß“, l’épanchement", "„Kein Erguß“, l’épanchement", id="German, French"),
        pytest.param("肺野清晰：心影正常。", "肺野清晰：心影正常。", id="Chinese"),
        pytest.param("می‌شود", "می‌شود", id="Persian with a zero-width non-joiner"),
        pytest.param("a\ud800b", "a\ufffdb", id="lone surrogate"),
        pytest.param("", "", id="empty"),
    ],
)
def test_cleaning_mends_damage_and_nothing_else(text, expected):
    assert clean_text(text) == expected


@pytest.mark.parametrize("text", [MIMIC, "a &amp; b\r\n\r\n\r\nc", "38.3Â°C", "Clear.\x00"])
def test_cleaning_twice_changes_nothing_more(text):
    assert clean_text(clean_text(text)) == clean_text(text)


def test_bytes_are_refused():
    with pytest.raises(TypeError, match="text must be a string, got bytes"):
        clean_text(b"Normal.")


def test_text_of_another_encoding_read_leniently_can_be_encoded_after_cleaning():
    text = "Kein Ergu\xdf.".encode("latin-1").decode("utf-8", errors="surrogateescape")
    assert clean_text(text).encode("utf-8").decode("utf-8") == "Kein Ergu\ufffd."


def test_headings_alone_on_their_lines_open_sections():
    assert split_sections("Findings\nClear.\n\nIMPRESSION\nNormal.") == ReportSections("Clear.", "Normal.", "")


def test_report_in_one_line_is_split():
    text = "HISTORY: Cough. COMPARISON: None FINDINGS: Clear. No edema. Impression: Normal."
    assert split_sections(text) == ReportSections("Clear. No edema.", "Normal.", "Cough.\n\nNone")


def test_mimic_report_is_split():
    sections = split_sections(clean_text(MIMIC))
    assert sections.findings.startswith("There is no focal")
    assert sections.findings.endswith("silhouette is normal.")
    assert sections.impression == "No acute cardiopulmonary process."
    assert "ascites" in sections.other
    assert "CHEST (PA AND LAT)" in sections.other
    assert report_sentences(MIMIC) == [
        "There is no focal consolidation, pleural effusion or pneumothorax.",
        "Bilateral nodular opacities that most likely represent nipple shadows.",
        "The cardiomediastinal silhouette is normal.",
        "No acute cardiopulmonary process.",
    ]


def test_prose_under_no_heading_is_findings_where_no_heading_names_them():
    assert report_sentences(MIMIC_WITHOUT_HEADING_OF_FINDINGS) == [
        "In comparison with the study of ___, there is little change in the appearance of the monitoring devices.",
        "No prior lateral view is available for comparison.",
        "The heart is normal in size.",
    ]


def test_sections_come_in_the_order_asked_for():
    text = "FINDINGS: Clear. IMPRESSION: Normal. HISTORY: Cough."
    assert report_sentences(text, ("impression", "other")) == ["Normal.", "Cough."]


def test_section_that_occurs_twice_is_joined():
    assert split_sections("FINDINGS: One.\nIMPRESSION: Two.\nFINDINGS: Three.").findings == "One.\n\nThree."


def test_report_without_headings_is_used_whole_whatever_section_is_asked_for():
    assert report_sentences("No edema. No effusion.", ("impression",)) == ["No edema.", "No effusion."]


def test_note_with_other_headings_alone_is_not_lost():
    assert report_sentences("History: Cough. Bilateral opacities.") == ["Cough.", "Bilateral opacities."]


@pytest.mark.parametrize(
    "text",
    ["", " \n\t\n", "\x00", "FINDINGS:\n\nIMPRESSION:\n", "FINDINGS: ___\nIMPRESSION: ___.", "___", "<br><p></p>"],
)
def test_report_without_content_has_no_sentence(text):
    assert report_sentences(text) == []


@pytest.mark.parametrize("sections", ["findings", ("findings", "conclusion")], ids=["a string", "an unknown name"])
def test_unknown_section_is_refused(sections):
    with pytest.raises(ValueError, match=r"sections must be .*findings.*impression.*other"):
        report_sentences("Normal.", sections)


def test_reports_of_the_phantom_split_into_their_ground_truth():
    # Grounding pairs the n-th sentence of the splitter with the n-th of the ground truth.
    for index in range(20):
        study = render_study(0, index, size=48)
        assert report_sentences(study.report) == [sentence.text for sentence in study.sentences]


@pytest.fixture(scope="module")
def clinical_notes(covid19_cxr):
    """File name and text of each real note; a few names occur twice."""
    with (covid19_cxr / "metadata.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["filename"], row["clinical_notes"]) for row in csv.DictReader(file)]
    return [(name, note) for name, note in rows if note.strip()]


@pytest.mark.shared
def test_no_real_note_is_lost_and_none_loses_a_character(clinical_notes):
    def visible(text: str) -> str:
        return "".join(text.split())

    split = [(name, note, report_sentences(note)) for name, note in clinical_notes]
    assert [name for name, _, sentences in split if not sentences] == []
    assert [name for name, note, found in split if visible("".join(found)) != visible(clean_text(note))] == []


@pytest.mark.shared
def test_thirty_real_notes_have_the_sentence_counts_that_a_reader_found(clinical_notes):
    expected = json.loads(COUNTS.read_text(encoding="utf-8"))
    assert len(expected) == 30
    assert {name: len(report_sentences(note)) for name, note in clinical_notes if name in expected} == expected


MIMIC_HEAD = "                                 FINAL REPORT\n"


@pytest.mark.parametrize(
    ("text", "findings", "impression", "other"),
    [
        pytest.param(
            " EXAMINATION:  CHEST (PA AND LAT)\n \n INDICATION:  ___F with cough  // eval\n \n COMPARISON:  None.\n \n"
            " FINDINGS: \n \n Lungs are clear.  No effusion.\n \n IMPRESSION: \n \n No acute process.\n",
            "Lungs are clear. No effusion.",
            "No acute process.",
            "CHEST (PA AND LAT)\n\n___F with cough // eval\n\nNone.",
            id="all headings",
        ),
        pytest.param(
            " CHEST RADIOGRAPH\n\n INDICATION:  Chest pain.\n\n COMPARISON:  ___.\n\n As compared to the previous"
            " radiograph, there is\n no relevant change.  No effusion.\n",
            "As compared to the previous radiograph, there is\nno relevant change. No effusion.",
            "",
            "Chest pain.\n\n___.\n\nCHEST RADIOGRAPH",
            id="no heading of findings",
        ),
        pytest.param(
            " CHEST, TWO VIEWS: ___\n\n HISTORY:  Fever.\n\n The heart is of normal size.\n\n IMPRESSION:  Normal.",
            "The heart is of normal size.",
            "Normal.",
            "___\n\nFever.",
            id="a view with a date alone",
        ),
        pytest.param(
            " AP CHEST, 8:03 A.M., ___\n\n HISTORY:  Intubated.\n\n IMPRESSION:  AP chest compared to ___:\n\n"
            " Lungs are low in volume, no pneumothorax.",
            "",
            "AP chest compared to ___:\n\nLungs are low in volume, no pneumothorax.",
            "Intubated.\n\nAP CHEST, 8:03 A.M., ___",
            id="impression alone",
        ),
        pytest.param(
            " Portable chest shows clear lungs.", "Portable chest shows clear lungs.", "", "", id="prose alone"
        ),
        pytest.param(" INDICATION:  Line placement.\n", "", "", "Line placement.", id="neither"),
    ],
)
def test_reports_of_the_shape_of_mimic_cxr(text, findings, impression, other):
    assert split_sections(clean_text(MIMIC_HEAD + text)) == ReportSections(findings, impression, other)


def test_a_report_of_the_shape_of_chexpert_plus():
    text = (
        "NARRATIVE:\nRADIOGRAPHIC EXAMINATION OF THE CHEST: 1-5-2010\n\nCLINICAL HISTORY: 58 years of age, cough.\n\n"
        "COMPARISON: None.\n\nPROCEDURE COMMENTS: Single view of the chest.\n\nFINDINGS:\n\nLow lung volumes.\n\n"
        "IMPRESSION:\n\n1.  SMALL EFFUSION.\n\nEND OF IMPRESSION:\n\nI have personally reviewed the images.\n\n"
        "SUMMARY: 4-POSSIBLE SIGNIFICANT FINDINGS\n"
    )
    split = split_sections(clean_text(text))
    assert (split.findings, split.impression) == ("Low lung volumes.", "1. SMALL EFFUSION.")
    assert "personally" in split.other
    assert "SIGNIFICANT" in split.other
    unnamed = split_sections(clean_text(text.replace("FINDINGS:\n\nLow lung volumes.\n\n", "")))
    assert (unnamed.findings, unnamed.impression) == ("", "1. SMALL EFFUSION.")
