from __future__ import annotations

import time

import pytest

from monai_place.data.sentences import split_sentences

ONE = [
    pytest.param("The nodule measures 2.5 cm in the left base.", id="decimal number"),
    pytest.param("A 2.5 cm. nodule is seen.", id="unit with a stop before a small letter"),
    pytest.param("Measures approx. 3 cm.", id="approx"),
    pytest.param("Discussed with Dr. Smith by phone.", id="doctor"),
    pytest.param("Discussed with Dr. J. R. Smith by phone.", id="doctor with initials"),
    pytest.param("Discussed with Dr. ___ at 5:30 p.m. by phone.", id="de-identified doctor and p.m."),
    pytest.param("John F. Kennedy was examined.", id="initial inside a name"),
    pytest.param("Opacities, e.g. Kerley lines, i.e. edema vs. Pneumonia, persist.", id="e.g., i.e., vs."),
    pytest.param("Fracture of rib No. 7 on the left.", id="number seven"),
    pytest.param("Small opacity (Fig. 1) and mass (Figs. 1a and b).", id="figures"),
    pytest.param("Seen at 10 a.m. on 3 Oct. 2019.", id="time and month"),
    pytest.param("Opacity ... likely atelectasis.", id="ellipsis inside"),
    pytest.param("Opacity… likely atelectasis.", id="ellipsis character inside"),
    pytest.param("? pneumonia in the right base", id="doubt at the start"),
    pytest.param("Patient 1 ? CXR: Normal", id="stray question mark"),
    pytest.param("Compared with ___, the ___ catheter is unchanged.", id="marks inside"),
    pytest.param("See www.example.org for v2.1.3 of the U.S.A. guideline.", id="address and version"),
    pytest.param('The sign ("Is it a tumor?") is known.', id="question in brackets"),
    pytest.param("Nodule of 2.5.", id="decimal at the end"),
    pytest.param("No acute process", id="no stop at all"),
    pytest.param("The R. lower lobe is clear.", id="single letter before a small letter"),
    pytest.param("تظهر الأشعة ارتشاحًا في الرئة اليمنى", id="right to left"),
]
MANY = [
    pytest.param("No effusion. No edema.", ["No effusion.", "No edema."], id="two"),
    pytest.param("No effusion.No edema.", ["No effusion.", "No edema."], id="missing space"),
    pytest.param("Size 2.5.No edema.", ["Size 2.5.", "No edema."], id="missing space after a number"),
    pytest.param("Nodule of 2.5. No edema.", ["Nodule of 2.5.", "No edema."], id="decimal, then a sentence"),
    pytest.param("Nodule of 2 cm. The heart is normal.", ["Nodule of 2 cm.", "The heart is normal."], id="unit ends"),
    pytest.param("Seen at 5 p.m. The heart is normal.", ["Seen at 5 p.m.", "The heart is normal."], id="p.m. ends"),
    pytest.param(
        "Is there edema? No. The lungs are clear.", ["Is there edema?", "No.", "The lungs are clear."], id="no"
    ),
    pytest.param("no effusion. no edema.", ["no effusion.", "no edema."], id="small letters"),
    pytest.param("Positive for hepatitis B. No edema.", ["Positive for hepatitis B.", "No edema."], id="hepatitis B"),
    pytest.param("Zone clear . New line.", ["Zone clear .", "New line."], id="space before the stop"),
    pytest.param("Clear (see above.) No edema.", ["Clear (see above.)", "No edema."], id="closing bracket"),
    pytest.param('He said "clear." No edema.', ['He said "clear."', "No edema."], id="closing quotation mark"),
    pytest.param("Edema... No effusion.", ["Edema...", "No effusion."], id="ellipsis ends"),
    pytest.param("Stable. ___ catheter removed.", ["Stable.", "___ catheter removed."], id="mark starts"),
    pytest.param("Stable.  2 views.", ["Stable.", "2 views."], id="number starts"),
    pytest.param("1. Nodule. 2. No edema.", ["Nodule.", "No edema."], id="list with stops"),
    pytest.param("1.Nodule. 2.No edema.", ["Nodule.", "No edema."], id="list without spaces"),
    pytest.param("1) Nodule 2) Edema 3) Effusion", ["Nodule", "Edema", "Effusion"], id="list with brackets in a line"),
    pytest.param("(1) Nodule. (2) Edema.", ["Nodule.", "Edema."], id="list in brackets"),
    pytest.param("- Nodule\n- Edema\n• Effusion\n* Mass", ["Nodule", "Edema", "Effusion", "Mass"], id="bullets"),
    pytest.param("1. Nodule in the\n   left lung\n2. Edema", ["Nodule in the left lung", "Edema"], id="wrapped list"),
    pytest.param(
        "No focal\nconsolidation is\nseen. No edema.", ["No focal consolidation is seen.", "No edema."], id="wrap"
    ),
    pytest.param("No peri-\nhilar edema.", ["No peri-hilar edema."], id="hyphen at the line's end"),
    pytest.param("Heart size normal\nLungs clear", ["Heart size normal", "Lungs clear"], id="line per sentence"),
    pytest.param("Edema of the\nRight lower lobe.", ["Edema of the Right lower lobe."], id="capital after the"),
    pytest.param("Heart normal\n\nlungs clear", ["Heart normal", "lungs clear"], id="blank line"),
    pytest.param("Clear.\r\nNormal.", ["Clear.", "Normal."], id="CRLF"),
    pytest.param("肺野清晰。心影正常。", ["肺野清晰。", "心影正常。"], id="Chinese"),
    pytest.param("هل يوجد ارتشاح؟ لا يوجد.", ["هل يوجد ارتشاح؟", "لا يوجد."], id="Arabic"),
    pytest.param("फेफड़े साफ हैं। हृदय सामान्य है।", ["फेफड़े साफ हैं।", "हृदय सामान्य है।"], id="Hindi"),
    pytest.param("Lungs clear 🙂. No edema.", ["Lungs clear 🙂.", "No edema."], id="emoji"),
    pytest.param("🙂", ["🙂"], id="emoji alone"),
]
NONE = ["", "   ", "\n\n", "___", "___ ___.", "___\n___", "=====", "-", "...", "\u200b"]


@pytest.mark.parametrize("text", ONE)
def test_text_is_one_sentence(text):
    assert split_sentences(text) == [text]


@pytest.mark.parametrize(("text", "expected"), MANY)
def test_text_is_split_where_sentences_end(text, expected):
    assert split_sentences(text) == expected


@pytest.mark.parametrize("text", NONE)
def test_text_without_letter_digit_or_symbol_gives_no_sentence(text):
    assert split_sentences(text) == []


def test_year_at_a_sentence_end_is_no_list_number():
    assert split_sentences("Unchanged since 2012. No edema.") == ["Unchanged since 2012.", "No edema."]


def test_number_at_a_wrapped_line_start_out_of_sequence_is_no_list_item():
    assert split_sentences("Fracture of the rib\n7. No effusion.") == ["Fracture of the rib 7.", "No effusion."]


def test_no_visible_character_is_lost_except_list_markers():
    text = "The heart is normal , 2.5 cm. See Dr. X!  ( No edema ... ) Is it? Yes.No more;\nend"
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())


def test_one_sentence_of_ten_thousand_words_stays_one():
    text = "opacity 2.5 " * 5000 + "end."
    assert split_sentences(text) == [text]


@pytest.mark.parametrize("unit", ["a.", "1. ", "1) ", ". ", "A. ", "(", "- ", "x\n", "No. 1 ", "? ", "_", "A ", '."'])
def test_time_grows_linearly_on_hostile_text(unit):
    def seconds(length: int) -> float:
        text = (unit * length)[:length]
        times = []
        for _ in range(3):
            start = time.process_time()
            split_sentences(text)
            times.append(time.process_time() - start)
        return min(times)

    # Quadratic time would grow 64-fold; the constant forgives a busy machine.
    assert seconds(80_000) < 24 * seconds(10_000) + 0.25
