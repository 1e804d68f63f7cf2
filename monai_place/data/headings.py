"""The headings of radiology reports: which there are, and where they stand in a text."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

__all__ = ["Heading", "Section", "find_headings"]

# "title": of the report itself ("FINAL REPORT"), which says nothing of the text below; below "end" no heading counts.
Section = Literal["findings", "impression", "other", "title", "end"]

_FINDINGS = (
    "findings",
    "finding",
    "(?:chest|radiographic|radiological|imaging|preliminary|x-ray) findings",
    "findings ?(?:and|&|/|-|,)? ?impressions?",
    "impressions? ?(?:and|&|/|-|,) ?findings",
    "findings ?(?:and|&|/) ?recommendations?",
    "(?:techniques?|comparisons?) ?(?:and|&|/) ?findings",
    "provisional findings impression(?: \\(pfi\\))?",
    "pfi(?: report)?",
    "observations?",
    "results?",
    # As typed in MIMIC-CXR.
    "fidnings|findnings|findinds|findigns|findngs|finidngs|finding s",
)
_IMPRESSION = (
    "(?:final |radiological |radiographic |preliminary )?impressions?",
    "impressions? ?(?:and|&|/) ?(?:recommendations?|plan)",
    "conclusions?",
    "opinion",
    "summary",
    "interpretation",
    "(?:overall )?assessment",
    "imp",
    "impresions?|impressons?|impessions?|imprressions?|impresssions?|impressoins?",
)
_OTHER = (
    "(?:clinical |study )?indications?(?: for (?:exam|examination|study))?(?: ?(?:/|and|&) ?history)?",
    "reason(?: for (?:this |the )?(?:exam|examination|study|referral|indication))?",
    "(?:clinical |patient |brief |past medical |medical )?history(?: ?(?:/|and|&) ?indications?)?",
    "clinical (?:information|info|details|data|question|background|impression)",
    "(?:underlying |admitting )(?:medical condition|diagnosis)",
    "techniques?",
    "procedures?(?: comments?)?",
    "comparisons?(?: (?:studies|study|exams?|examinations?|films?|reports?|radiographs?))?",
    "(?:prior|previous|reference) (?:studies|study|exams?|examinations?|films?|radiographs?)",
    "(?:wet|preliminary) (?:read|reading|report)",
    "wet read version[^\\n]{0,60}",  # MIMIC-CXR: "WET READ VERSION #1 ___ 3:41 PM", alone on its line
    "recommendations?(?: ?\\(s\\))?",
    "notifications?",
    "communication",
    "(?:final )?addendum",
    "(?:type of )?(?:exam|examination|study)(?: type)?",
    "examinations|exams",
    "dose|contrast",
    "accession(?: (?:number|no\\.?|#))?",  # CheXpert Plus: with a note on anonymization, below the last section
)
_TITLE = ("(?:final |radiographic |radiology )?report", "narrative")
# Spanish, French, German, Portuguese, Italian; Chinese, Japanese, Korean; Arabic; Russian. Some names are English, too
# ("Indication", "Technique", "Conclusion"): if those alone were known, the findings between them would count as theirs.
_FINDINGS_ABROAD = (
    "hallazgos?",
    "descripci[oó]n",
    "r[eé]sultats?",
    "constatations?",
    "befunde?",
    "achados?",
    "an[aá]lise",
    "reperti|reperto|risultati",
    "检查所见|影像所见|影像学表现|放射学表现|所见|所見",
    "소견",
    "النتائج|الموجودات",
    "описание|результаты?",
)
_IMPRESSION_ABROAD = (
    "impresi[oó]n(?: diagn[oó]stica| radiol[oó]gica)?",
    "conclusi[oó]n(?:es)?",
    "synth[eè]se",
    "(?:zusammenfassende )?beurteilung|zusammenfassung",
    "impress[aã]o(?: diagn[oó]stica)?",
    "conclus[aãoõ]{1,2}(?:es)?",
    "conclusioni|conclusione",
    "诊断意见|影像诊断|诊断|印象|结论|診断|印象診断",
    "결론|판독",
    "الانطباع|الخلاصة|الاستنتاج",
    "заключение|выводы?",
)
_OTHER_ABROAD = (
    "indicaci[oó]n(?:es)?|antecedentes|datos cl[ií]nicos|motivo(?: de consulta)?",
    "t[eé]cnica|comparaci[oó]n",
    "ant[eé]c[eé]dents|renseignements cliniques|motif|comparaison",
    "klinik|klinische angaben|fragestellung|indikation|anamnese|technik|vergleich|voraufnahmen?",
    "indica[cç][aã]o|hist[oó]ria cl[ií]nica|compara[cç][aã]o",
    "quesito(?: clinico| diagnostico)?|anamnesi|tecnica|confronto",
    "病史|临床诊断|检查方法|検査方法|臨床情報",
    "임상정보|검사방법",
    "السريرية|التقنية|المقارنة",
    "показания|анамнез|методика",
)
_END = ("end of impression",)  # CheXpert Plus: then who signed it, and a "SUMMARY" that is a code
_NAMES: dict[Section, tuple[str, ...]] = {
    "findings": _FINDINGS + _FINDINGS_ABROAD,
    "impression": _IMPRESSION + _IMPRESSION_ABROAD,
    "other": _OTHER + _OTHER_ABROAD,
    "title": _TITLE,
    "end": _END,
}
_ALL = "|".join(f"(?P<{section}>{'|'.join(names)})" for section, names in _NAMES.items())

# At a line's start: any case before a colon; alone on its line; capitals before a dash or before a capitalized word.
_AT_LINE_START = re.compile(
    rf"^ ?(?i:{_ALL})(?: ?(?P<colon>[:：])| ?$)"  # noqa: RUF001 - the colon of Chinese and Japanese, too
    rf"|^ ?(?P<capitals>[A-Z][A-Z/& -]{{2,40}}?)(?: [-–—] | (?=[A-Z][a-z]))",  # noqa: RUF001 - dashes as typed
    re.MULTILINE,
)
_IN_LINE = re.compile(rf" (?=[A-Z])(?i:{_ALL}) ?:")
_SENTENCE_ENDS = ".!?;:_)]"
_CAPITALS = re.compile(rf"(?i:{_ALL})")
_VIEW = re.compile(r"^ ?(?P<words>[A-Z][A-Z0-9 ,/&()_.:-]{1,80}):(?!\d) ?", re.MULTILINE)
_VIEW_NOUNS = frozenset(("chest", "radiograph", "radiographs", "view", "views", "x-ray", "film", "cxr"))
_VIEW_ADJECTIVES = (
    "a ap pa lateral lat frontal portable single one two three upright supine erect semi-upright semi-erect semierect "
    "semiupright bedside of the and with in projection projections image images 1 2 3 study decubitus left right "
    "on at am pm a.m. p.m. a.m p.m radiographic examination"
)
_VIEW_WORDS = _VIEW_NOUNS.union(_VIEW_ADJECTIVES.split())
_TIME = re.compile(r"[0-9:_.-]+")  # "AP CHEST, 10:12 A.M., ___:": a time, or a date as MIMIC-CXR blanks it


@dataclass(frozen=True)
class Heading:
    """A heading in a text.

    Args:
        section: what stands under it.
        start: offset of its first character.
        end: offset behind it, its colon included.
    """

    section: Section
    start: int
    end: int


def find_headings(text: str) -> list[Heading]:
    """Find the headings of a cleaned report, in order of the text; matching takes linear time.

    Besides the usual names, a line that starts with a view in capitals and a colon ("PA AND LATERAL CHEST:") is a
    heading of findings: so do many reports of MIMIC-CXR begin their body.

    Args:
        text: a report after `monai_place.data.reports.clean_text`.

    Example:
        >>> [(heading.section, heading.start) for heading in find_headings("FINDINGS: Clear. Conclusion: Normal.")]
        [('findings', 0), ('impression', 16)]
    """
    found = [
        Heading(section, match.start(), match.end())
        for match in _AT_LINE_START.finditer(text)
        if (section := _section_at_line_start(match))
    ]
    for match in _IN_LINE.finditer(text):
        section = _section(match)
        # Capitals, or a capital after the end of a sentence: "these findings: a, b" is no heading.
        if section and (match[0].isupper() or text[match.start() - 1] in _SENTENCE_ENDS):
            found.append(Heading(section, match.start(), match.end()))
    found += [Heading("findings", m.start(), m.end()) for m in _VIEW.finditer(text) if _is_view(m["words"])]
    ordered: list[Heading] = []
    for heading in sorted(found, key=lambda heading: heading.start):
        if not ordered or heading.start >= ordered[-1].end:
            ordered.append(heading)
        if ordered[-1].section == "end":
            break
    return ordered


def _section_at_line_start(match: re.Match[str]) -> Section | None:
    section = _section(match)
    if section is None:
        return _section(_CAPITALS.fullmatch((match["capitals"] or "").strip()))
    # Without a colon a small letter is the rest of a wrapped line: "no prior study for\ncomparison".
    return section if match["colon"] or match[0].lstrip()[0].isupper() else None


def _section(match: re.Match[str] | None) -> Section | None:
    if match is None:
        return None
    groups = match.groupdict()
    return next((section for section in _NAMES if groups[section] is not None), None)


def _is_view(words: str) -> bool:
    parts = re.split(r"[ ,/&()]+", words.lower().strip("() "))
    others = {part for part in parts if part} - _VIEW_WORDS
    return bool(_VIEW_NOUNS & set(parts)) and all(map(_TIME.fullmatch, others))
