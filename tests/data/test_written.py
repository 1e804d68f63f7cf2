from __future__ import annotations

import pytest

from monai_place.data.phantom.phrases import ABSENT, CLEAR_IMPRESSIONS, NEUTRAL
from monai_place.data.tokens import ReportTokenizer
from monai_place.data.written import read_written, tidy_text

SENTENCES = [*(text for texts in ABSENT.values() for text in texts), *CLEAR_IMPRESSIONS, *NEUTRAL]
SENTENCES += [
    "A moderate-sized nodule of 2.5 cm lies in the left mid zone.",
    "Right-sided effusion; follow-up CT is recommended.",
]


@pytest.fixture(scope="module")
def tokenizer():
    return ReportTokenizer.train([*SENTENCES, "Findings: Impression:"] * 2, vocab_size=800)


@pytest.mark.parametrize("sentence", SENTENCES[-6:])
def test_a_sentence_comes_back_as_it_was_but_for_capitals(tokenizer, sentence):
    ids = tokenizer.encode([sentence]).input_ids[1:-1]
    assert tidy_text(tokenizer.decode(ids)).lower() == sentence.lower()


def test_all_sentences_of_a_report_are_found_with_their_tokens(tokenizer):
    encoded = tokenizer.encode(SENTENCES[:20])
    found = read_written(tokenizer, encoded.input_ids[1:-1], ("findings",))
    assert [sentence.text.lower() for sentence in found] == [text.lower() for text in SENTENCES[:20]]
    owners = [number for number, sentence in enumerate(found) for _ in range(sentence.start, sentence.end)]
    assert owners == encoded.sentence_ids[1:-1].tolist()


def test_headings_divide_the_sections_and_are_no_sentences(tokenizer):
    lines = ["Findings:", "No pneumothorax.", "The trachea is midline.", "Impression:", "No active disease."]
    encoded = tokenizer.encode(lines)
    found = read_written(tokenizer, encoded.input_ids[1:-1], ("findings", "impression"))
    assert [(sentence.section, sentence.text) for sentence in found] == [
        ("findings", "No pneumothorax."),
        ("findings", "The trachea is midline."),
        ("impression", "No active disease."),
    ]
    for sentence, number in zip(found, (1, 2, 4), strict=True):
        assert set(encoded.sentence_ids[1:-1][sentence.start : sentence.end].tolist()) == {number}


def test_no_tokens_give_no_sentence(tokenizer):
    assert read_written(tokenizer, [], ("impression",)) == []
    assert tidy_text("") == ""


def test_text_that_ends_in_the_middle_is_kept(tokenizer):
    ids = tokenizer.encode(["No pneumothorax.", "The trachea"]).input_ids[1:-1]
    assert [sentence.text for sentence in read_written(tokenizer, ids, ("findings",))] == [
        "No pneumothorax.",
        "The trachea",
    ]
