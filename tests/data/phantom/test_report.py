from __future__ import annotations

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from monai_place.data.phantom.findings import PHANTOM_CLASSES, FindingSpec, sample_findings
from monai_place.data.phantom.grid import stream
from monai_place.data.phantom.phrases import ZONE_NAMES
from monai_place.data.phantom.report import SYNONYMS, PhantomSentence, join_report, write_sentences
from monai_place.data.reports import report_sentences, split_sections

Case = tuple[list[FindingSpec], list[PhantomSentence], str, dict[str, str]]


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    made = []
    for index in range(1500):
        specs = sample_findings(stream(1, index, "findings"))
        rng = stream(1, index, "report")
        diameters = [12.0 + index % 20 if spec.class_name == "nodule" else None for spec in specs]
        sentences = write_sentences(specs, rng, diameters_mm=diameters)
        made.append((specs, sentences, *join_report(sentences, rng)))
    return made


def test_a_report_has_four_to_nine_sentences(cases: list[Case]) -> None:
    assert set(map(len, (sentences for _, sentences, _, _ in cases))) == set(range(4, 10))


def test_no_negated_class_is_present(cases: list[Case]) -> None:
    for specs, sentences, _, _ in cases:
        negated = {name for sentence in sentences if sentence.polarity == "negative" for name in sentence.classes}
        assert not negated & {spec.class_name for spec in specs}


def test_negated_sentences_speak_of_no_finding(cases: list[Case]) -> None:
    for _, sentences, _, _ in cases:
        assert all((s.polarity == "negative") == (s.finding is None) for s in sentences)


def test_a_negated_sentence_lists_every_class_that_it_names(cases: list[Case]) -> None:
    for _, sentences, _, _ in cases:
        for sentence in sentences:
            if sentence.polarity == "negative":
                named = {name for name, words in SYNONYMS.items() if any(w in sentence.text.lower() for w in words)}
                assert named <= set(sentence.classes), sentence.text


def test_a_sentence_on_a_finding_names_its_class_side_and_zone(cases: list[Case]) -> None:
    for specs, sentences, _, _ in cases:
        for sentence in sentences:
            if sentence.finding is None:
                continue
            spec, text = specs[sentence.finding], sentence.text.lower()
            assert sentence.classes == (spec.class_name,)
            assert any(word in text for word in SYNONYMS[spec.class_name]), sentence.text
            if spec.laterality in {"left", "right"}:
                other = "right" if spec.laterality == "left" else "left"
                assert spec.laterality in text, sentence.text
                assert other not in text.split(), sentence.text
            wrong = [name for zone, names in ZONE_NAMES.items() if zone != spec.zone for name in names]
            if spec.zone is not None:
                assert not any(name in text for name in wrong), sentence.text


def test_every_finding_is_in_findings_once_and_usually_in_the_impression(cases: list[Case]) -> None:
    impressed = total = 0
    for specs, sentences, _, _ in cases:
        described = Counter(s.finding for s in sentences if s.section == "findings" and s.finding is not None)
        concluded = Counter(s.finding for s in sentences if s.section == "impression" and s.finding is not None)
        assert described == Counter(range(len(specs)))
        assert not concluded or max(concluded.values()) == 1
        impressed, total = impressed + len(concluded), total + len(specs)
    assert 0.8 < impressed / total < 0.97


def test_about_five_percent_of_the_findings_are_uncertain_in_both_sections(cases: list[Case]) -> None:
    doubted = [
        {s.polarity for s in sentences if s.finding == number}
        for specs, sentences, _, _ in cases
        for number in range(len(specs))
    ]
    assert all(len(polarities) == 1 for polarities in doubted)
    assert 0.02 < np.mean([polarities == {"uncertain"} for polarities in doubted]) < 0.08


def test_the_text_splits_into_the_sentences_it_was_made_of(cases: list[Case]) -> None:
    for _, sentences, text, _ in cases:
        assert report_sentences(text) == [sentence.text for sentence in sentences]


def test_the_sections_are_those_of_the_text(cases: list[Case]) -> None:
    for _, sentences, text, sections in cases:
        assert text.startswith("FINDINGS:")
        assert [s.section for s in sentences] == sorted(s.section for s in sentences)
        found = split_sections(text)
        assert found.findings.split() == sections["findings"].split()
        assert found.impression.split() == sections["impression"].split()


def test_reports_use_a_few_hundred_words_and_repeat_sentences(cases: list[Case]) -> None:
    words = {word.strip(".,:;").lower() for _, _, text, _ in cases for word in text.split()}
    assert 250 < len({word for word in words if not word[0].isdigit()}) < 800
    texts = Counter(sentence.text for _, sentences, _, _ in cases for sentence in sentences)
    assert texts["No pneumothorax."] > 20
    assert len(texts) > 800


def test_the_order_of_the_findings_section_is_shuffled(cases: list[Case]) -> None:
    places = [sentences[0].finding is not None for specs, sentences, _, _ in cases if len(specs) == 1]
    assert 0.1 < np.mean(places) < 0.5


def test_articles_fit_their_words(cases: list[Case]) -> None:
    for _, sentences, _, _ in cases:
        for sentence in sentences:
            words = sentence.text.lower().split()
            for article, word in pairwise(words):
                assert article != "a" or word[0] not in "aeiou", sentence.text
                assert article != "an" or word[0] in "aeiou" or word in {"8", "11", "18"}, sentence.text
            assert sentence.text[0].isupper()
            assert not any(mark in sentence.text for mark in ("{", "}", "None", "  "))


def test_a_measured_nodule_has_its_diameter() -> None:
    spec = FindingSpec("nodule", "left", "upper", "moderate")
    texts = {
        write_sentences([spec], stream(0, index, "report"), diameters_mm=[18.0])[number].text
        for index in range(60)
        for number in range(3)
    }
    measured = [text for text in texts if " mm" in text or " cm" in text]
    assert measured
    assert all("18 mm" in text or "1.8 cm" in text for text in measured)


def test_a_normal_study_is_called_normal_and_rules_out_every_class() -> None:
    last = write_sentences([], np.random.default_rng(0))[-1]
    assert last.section == "impression"
    assert last.classes == PHANTOM_CLASSES
    assert last.polarity == "negative"
