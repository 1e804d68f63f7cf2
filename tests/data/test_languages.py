# ruff: noqa: RUF001 - text of other languages, as it is typed
"""Reports in other languages than English pass unharmed: cleaning, sections, sentences, tokens and back."""

from __future__ import annotations

import json

import pytest

from monai_place.data.reports import clean_text, report_sentences, split_sections
from monai_place.data.sentences import split_sentences
from monai_place.data.tokens import ReportTokenizer

REPORTS = {
    "Spanish": (
        "MOTIVO: tos.\n\nHALLAZGOS: Silueta cardíaca de tamaño normal. ¿Nódulo en LSD? Pequeño derrame pleural izq., "
        "sin cambios.\n\nIMPRESIÓN DIAGNÓSTICA: Pequeño derrame pleural izquierdo.",
        ["Silueta cardíaca de tamaño normal.", "¿Nódulo en LSD?", "Pequeño derrame pleural izq., sin cambios."],
        ["Pequeño derrame pleural izquierdo."],
        "tos.",
    ),
    "German": (
        "Fragestellung: Erguss?\nBefund: Herz normal groß, z. B. kein Anhalt für Stauung. Rundherd im li. Oberfeld, "
        "ca. 2,5 cm.\nBeurteilung: Größenkonstanter Rundherd.",
        ["Herz normal groß, z. B. kein Anhalt für Stauung.", "Rundherd im li. Oberfeld, ca. 2,5 cm."],
        ["Größenkonstanter Rundherd."],
        "Erguss?",
    ),
    "French": (
        "Indication : toux.\nTechnique : face.\nRésultats : Cœur de taille normale. Opacité d'env. 2,5 cm.\n"
        "Conclusion : Pas d’épanchement pleural.",
        ["Cœur de taille normale.", "Opacité d'env. 2,5 cm."],
        ["Pas d’épanchement pleural."],
        "toux.\n\nface.",
    ),
    "Portuguese": (
        "Indicação: tosse.\nAchados: Coração de dimensões normais. Não há derrame pleural.\nConclusão: Exame normal.",
        ["Coração de dimensões normais.", "Não há derrame pleural."],
        ["Exame normal."],
        "tosse.",
    ),
    "Italian": (
        "Quesito: tosse.\nReperti: Non versamento pleurico. Cuore nei limiti.\nConclusioni: Esame normale.",
        ["Non versamento pleurico.", "Cuore nei limiti."],
        ["Esame normale."],
        "tosse.",
    ),
    "Russian": (
        "Показания: кашель.\nОписание: Лёгочные поля прозрачные. Сердце не расширено.\nЗаключение: Патологии нет.",
        ["Лёгочные поля прозрачные.", "Сердце не расширено."],
        ["Патологии нет."],
        "кашель.",
    ),
    "Chinese": (
        "病史：咳嗽。\n检查所见：双肺纹理清晰，未见实变影。心影不大。\n诊断意见：左侧少量胸腔积液！",
        ["双肺纹理清晰，未见实变影。", "心影不大。"],
        ["左侧少量胸腔积液！"],
        "咳嗽。",
    ),
    "Japanese": (
        "臨床情報：咳。\n所見：両肺野に異常陰影を認めない。心拡大なし。\n診断：異常なし。",
        ["両肺野に異常陰影を認めない。", "心拡大なし。"],
        ["異常なし。"],
        "咳。",
    ),
    "Korean": (
        "임상정보: 기침.\n소견: 폐야는 깨끗하다. 흉수 없음.\n결론: 정상.",
        ["폐야는 깨끗하다.", "흉수 없음."],
        ["정상."],
        "기침.",
    ),
    "Arabic": (
        "التقنية: وضع أمامي.\nالنتائج: حجم القلب طبيعي. لا يوجد انصباب جنبي؟\nالانطباع: لا يوجد استرواح الصدر.",
        ["حجم القلب طبيعي.", "لا يوجد انصباب جنبي؟"],
        ["لا يوجد استرواح الصدر."],
        "وضع أمامي.",
    ),
    "Hindi without headings": (
        "फेफड़े साफ हैं। हृदय सामान्य है।",
        ["फेफड़े साफ हैं।", "हृदय सामान्य है।"],
        [],
        "",
    ),
    "Spanish as in PadChest": (
        "sin hallazgos patologicos . cardiomegalia . no derrame pleural .",
        ["sin hallazgos patologicos .", "cardiomegalia .", "no derrame pleural ."],
        [],
        "",
    ),
}


@pytest.fixture(scope="module")
def tokenizer() -> ReportTokenizer:
    texts = [sentence for report, *_ in REPORTS.values() for sentence in report_sentences(report)]
    return ReportTokenizer.train(texts * 2, vocab_size=1500, max_tokens=256)


@pytest.mark.parametrize("language", REPORTS)
def test_cleaning_changes_no_character(language: str) -> None:
    report = REPORTS[language][0]
    assert clean_text(report) == report
    windows = report.replace("\n", "\r\n").encode("utf-8-sig").decode("utf-8")
    assert clean_text(windows) == report


@pytest.mark.parametrize("language", ["Spanish", "German", "French", "Portuguese"])
def test_text_that_was_read_in_a_wrong_encoding_is_mended(language: str) -> None:
    report = REPORTS[language][0].replace("’", "'")
    assert clean_text(report.encode("utf-8").decode("latin-1")) == report


@pytest.mark.parametrize("language", REPORTS)
def test_sections_and_sentences_are_found_and_no_word_is_lost(language: str) -> None:
    report, findings, impression, other = REPORTS[language]
    sections = split_sections(report)
    assert split_sentences(sections.findings) == findings
    assert split_sentences(sections.impression) == impression
    assert sections.other == other
    assert report_sentences(report) == findings + impression


@pytest.mark.parametrize("language", REPORTS)
def test_tokens_give_the_text_back_in_lower_case_with_every_accent(language: str, tokenizer: ReportTokenizer) -> None:
    sentences = report_sentences(REPORTS[language][0])
    encoded = tokenizer.encode(sentences)
    assert encoded.truncated == 0
    assert encoded.sentence_count == len(sentences)
    assert tokenizer.special_ids["unk"] not in encoded.input_ids
    back = "".join(tokenizer.decode(encoded.input_ids).split())
    assert back == "".join("".join(sentences).lower().split())


def test_words_that_differ_by_an_accent_are_different_words() -> None:
    tokenizer = ReportTokenizer.train(["año ano", "für fur"] * 4, vocab_size=60, max_tokens=16)
    for one, other in (("año", "ano"), ("für", "fur")):
        assert tokenizer.encode([one]).input_ids.tolist() != tokenizer.encode([other]).input_ids.tolist()


def test_a_saved_tokenizer_keeps_the_accents(tmp_path, tokenizer: ReportTokenizer) -> None:
    loaded = ReportTokenizer.from_pretrained(tokenizer.save(tmp_path / "tokenizer"))
    assert loaded.fingerprint == tokenizer.fingerprint
    assert "groß" in loaded.decode(loaded.encode(["normal groß"]).input_ids)
    assert json.loads((tmp_path / "tokenizer" / "tokenizer.json").read_text())["normalizer"]["strip_accents"] is False


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("Kein Erguss li. Basis frei.", ["Kein Erguss li. Basis frei."], id="left, before a noun"),
        pytest.param(
            "Verdichtung re. Unterfeld. Kein Erguss.", ["Verdichtung re. Unterfeld.", "Kein Erguss."], id="right"
        ),
        pytest.param("Stauung, d. h. Kerley-Linien.", ["Stauung, d. h. Kerley-Linien."], id="that is"),
        pytest.param("Opacidad, p. ej. neumonía. Normal.", ["Opacidad, p. ej. neumonía.", "Normal."], id="for example"),
        pytest.param("Comentado con la Dra. García.", ["Comentado con la Dra. García."], id="a doctor"),
        pytest.param("Grade a. No edema.", ["Grade a.", "No edema."], id="a small letter that ends a sentence"),
    ],
)
def test_abbreviations_of_other_languages_end_no_sentence(text: str, expected: list[str]) -> None:
    assert split_sentences(text) == expected
