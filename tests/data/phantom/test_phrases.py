from __future__ import annotations

import re
from string import Formatter

import pytest

from monai_place.data.phantom import phrases
from monai_place.data.phantom.findings import PHANTOM_CLASSES, ZONES
from monai_place.data.phantom.report import SYNONYMS

FIELDS = {"side", "zone", "grade", "noun", "size"}
ABOUT_A_FINDING = [
    pytest.param(key, template, id=f"{key}: {template}")
    for table in (phrases.POSITIVE, phrases.UNCERTAIN, phrases.IMPRESSIONS)
    for key, templates in table.items()
    for template in templates
]


@pytest.mark.parametrize("table", ["NOUNS", "POSITIVE", "UNCERTAIN", "IMPRESSIONS", "ABSENT", "GRADES"])
def test_every_class_has_words(table: str) -> None:
    assert set(PHANTOM_CLASSES) <= set(getattr(phrases, table))


def test_every_zone_has_names_that_no_other_zone_has() -> None:
    names = [name for zone in ZONES for name in phrases.ZONE_NAMES[zone]]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(("key", "template"), ABOUT_A_FINDING)
def test_a_template_is_one_sentence_that_names_its_class(key: str, template: str) -> None:
    name = next(name for name in PHANTOM_CLASSES if key.startswith(name))
    assert {field for _, field, _, _ in Formatter().parse(template) if field} <= FIELDS
    assert re.fullmatch(r"[^.]+\.", template)
    for noun in phrases.NOUNS[name]:
        text = template.replace("{noun}", noun).lower()
        assert any(synonym in text for synonym in SYNONYMS[name]), text


@pytest.mark.parametrize(("key", "template"), ABOUT_A_FINDING)
def test_a_template_asks_for_no_zone_where_there_is_none(key: str, template: str) -> None:
    if key in {"cardiomegaly", "edema"}:
        assert "{zone}" not in template
        assert "{side}" not in template


@pytest.mark.parametrize("key", [*PHANTOM_CLASSES])
def test_what_is_uncertain_says_so(key: str) -> None:
    doubt = re.compile(r"possibl|cannot be excluded|may |questionable", re.I)
    assert all(doubt.search(template) for template in phrases.UNCERTAIN[key])


def test_no_sentence_rules_out_a_class_and_asserts_it_elsewhere() -> None:
    absent = {text for texts in phrases.ABSENT.values() for text in texts} | {text for _, text in phrases.JOINT_ABSENT}
    positive = {text for table in (phrases.POSITIVE, phrases.UNCERTAIN) for texts in table.values() for text in texts}
    assert not absent & positive
    assert not absent & set(phrases.NEUTRAL)


def test_neutral_sentences_name_no_finding() -> None:
    for text in phrases.NEUTRAL:
        assert not any(synonym in text.lower() for synonyms in SYNONYMS.values() for synonym in synonyms), text
