"""Cleaning of report text and its sections; sentences are in `monai_place.data.sentences`.

Cleaning mends damage and leaves meaning alone: no lower-casing, no other quotes, no other script.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from monai_place.data.headings import find_headings
from monai_place.data.sentences import split_sentences

__all__ = ["ReportSections", "clean_text", "report_sentences", "split_sections", "split_sentences"]

SECTIONS = ("findings", "impression", "other")

# Only tags that exist: "CRP <5 mg/l ... >" is a comparison. All repetitions are bounded, so time stays linear.
_TAG_NAMES = (
    "a|abbr|article|b|big|blockquote|body|center|code|dd|div|dl|dt|em|font|footer|form|h[1-6]|head|header|hr|html|i|img|"
    "input|label|li|link|main|meta|nav|ol|option|p|pre|q|s|script|section|select|small|span|strike|strong|style|sub|"
    "sup|table|tbody|td|tfoot|th|thead|title|tr|tt|u|ul"
)
_ATTRIBUTES = r"(?:\s[^<>=]{1,50}=[^<>]{0,300})?"
_BREAKING_TAG = re.compile(
    rf"</?(?:br|p|div|li|tr|ul|ol|dl|dt|dd|table|h[1-6]|hr|section){_ATTRIBUTES}\s?/?>", re.IGNORECASE
)
_TAG = re.compile(rf"</?(?:{_TAG_NAMES}){_ATTRIBUTES}\s?/?>|<!--[^<>]{{0,500}}-->", re.IGNORECASE)
_LINE_ENDS = re.compile("\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
_SPACES = re.compile(r"[^\S\n]+")
_EDGES = re.compile(r" ?\n ?")
_BLANK_LINES = re.compile(r"\n{3,}")
_WORDS_OF_PROSE = 4


@dataclass(frozen=True)
class ReportSections:
    """Text of a report by section; an absent section is the empty string.

    Args:
        findings: what is seen. A section "findings and impression" is here.
        impression: what it means: impression, conclusion, opinion.
        other: indication, history, technique, comparison, wet read, recommendation and the like.
    """

    findings: str = ""
    impression: str = ""
    other: str = ""


def clean_text(text: str) -> str:
    r"""Mend a report's text: mojibake, control characters, odd white space, line ends, HTML tags and entities.

    Lines stay lines (wrapping is undone by `split_sentences`), runs of white space become one, and at most one line
    in a row is blank. Text in any language, emoji and right-to-left text pass unharmed.

    Args:
        text: as read from a file; lone surrogates become U+FFFD, so that the result can always be encoded.

    Raises:
        TypeError: `text` is not a string.

    Example:
        >>> clean_text("Effusion\x00 of <b>2\u00a0cm</b>.\r\nItâ€™s new &amp; small.")
        'Effusion of 2 cm.\nIt’s new & small.'
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a string, got {type(text).__name__}")
    from ftfy import TextFixerConfig, fix_text
    from ftfy.fixes import unescape_html

    text = _LINE_ENDS.sub("\n", text)
    text = _TAG.sub("", _BREAKING_TAG.sub("\n", text))
    text = unescape_html(text)  # after the tags: "&lt;b&gt;" was meant as text
    config = TextFixerConfig(
        unescape_html=False, uncurl_quotes=False, fix_character_width=False, fix_latin_ligatures=True, explain=False
    )
    text = fix_text(text, config)
    text = _LINE_ENDS.sub("\n", text)  # entities and mended mojibake may have brought new ones
    text = _EDGES.sub("\n", _SPACES.sub(" ", text))
    return _BLANK_LINES.sub("\n\n", text).strip()


def split_sections(text: str) -> ReportSections:
    r"""Split a cleaned report at its headings; the headings themselves are left out.

    A report without any heading is all findings. Where there are headings but no text under one for findings,
    paragraphs of prose that follow no heading or a title ("FINAL REPORT"), or follow the paragraph of an indication
    and the like, are the findings: so write many archives.

    Args:
        text: a report after `clean_text`.

    Example:
        >>> split_sections("HISTORY: Cough.\nFINDINGS: Clear lungs.\nIMPRESSION: Normal.")
        ReportSections(findings='Clear lungs.', impression='Normal.', other='Cough.')
    """
    headings = find_headings(text)
    if not headings:
        return ReportSections(findings=text.strip())
    parts: dict[str, list[str]] = {"findings": [], "impression": [], "other": []}
    unlabelled = _paragraphs(text[: headings[0].start])
    ends = [*(heading.start for heading in headings[1:]), len(text)]
    for heading, end in zip(headings, ends, strict=True):
        body = text[heading.end : end].strip()
        if heading.section == "title":
            unlabelled += _paragraphs(body)
        elif heading.section == "other":
            first, *rest = _paragraphs(body) or [""]
            parts["other"].append(first)
            unlabelled += rest
        elif heading.section == "end" or not any(map(str.isalpha, body)):
            # A view's heading may hold a date alone ("CHEST, TWO VIEWS: ___"), while the findings have no heading.
            parts["other"].append(body)
        else:
            parts[heading.section].append(body)
    named = bool(parts["findings"])
    for paragraph in unlabelled:
        parts["findings" if not named and _is_prose(paragraph) else "other"].append(paragraph)
    return ReportSections(**{name: "\n\n".join(filter(None, bodies)) for name, bodies in parts.items()})


def report_sentences(text: str, sections: Sequence[str] = ("findings", "impression")) -> list[str]:
    r"""Clean a report and return the sentences of the named sections, in the order named.

    A report with no heading gives all its sentences, and so does one with headings of other sections alone (a note
    "History: ..."): no text is lost for want of a heading. An empty report, or one of headings only, gives none.

    Args:
        text: the raw report.
        sections: of `findings`, `impression`, `other`.

    Raises:
        ValueError: a section has another name.

    Example:
        >>> report_sentences("FINDINGS: Nodule of 2.5 cm. No effusion.\nIMPRESSION: 1. Nodule.")
        ['Nodule of 2.5 cm.', 'No effusion.', 'Nodule.']
    """
    if isinstance(sections, str) or (unknown := sorted(set(sections) - set(SECTIONS))):
        raise ValueError(
            f"sections must be a sequence of {SECTIONS}, got {sections if isinstance(sections, str) else unknown}"
        )
    cleaned = clean_text(text)
    if not find_headings(cleaned):
        return split_sentences(cleaned)
    split = split_sections(cleaned)
    if not split.findings and not split.impression:
        return split_sentences(split.other)
    return [sentence for name in sections for sentence in split_sentences(getattr(split, name))]


def _paragraphs(text: str) -> list[str]:
    return [paragraph.strip() for paragraph in text.split("\n\n") if paragraph.strip()]


def _is_prose(paragraph: str) -> bool:
    """Tell a paragraph of sentences from a title ("CHEST PA AND LATERAL"), a rule or a signature."""
    words = [word for word in paragraph.split() if any(character.isalpha() for character in word)]
    return len(words) >= _WORDS_OF_PROSE and (not paragraph.isupper() or paragraph.rstrip().endswith("."))
