"""Sentences of a report, by rules that know how radiologists write.

All look-backs and look-aheads are bounded, so time is linear in the length of the text whatever it holds.
"""

from __future__ import annotations

import re
import unicodedata

from monai_place.data.lines import join_lines

__all__ = ["split_sentences"]

LOOK = 40  # characters looked at before and behind a stop

# A full stop after these never ends a sentence ...
_NEVER = "dr drs mr mrs ms prof st vs e.g i.e eg ie cf fig figs approx viz incl ca ref refs esp"
# ... in other languages: nouns are capitalized in German, so what comes next tells nothing ("im re. Oberfeld").
_NEVER_ABROAD = "li re ej ex bds ggf bzw evtl vgl nr env aprox dra sra"
# ... and after these it does only before a capitalized word.
_SELDOM = (
    "cm mm m ml l mg kg g mcg min sec hr hrs wk wks mo mos yr yrs etc al pt pts rt lt ant post inf sup lat med bilat "
    "neg pos temp dept hosp jr sr co inc resp jan feb mar apr jun jul aug sep sept oct nov dec mon tue tues wed thu "
    "thur thurs fri sat sun vol pp ed eds max diam ext int abd"
)
_NEVER_LAST = frozenset(f"{_NEVER} {_NEVER_ABROAD}".split())
_SELDOM_LAST = frozenset(_SELDOM.split())
_CLOSING = ")]\"'”’»"  # noqa: RUF001 - quotation marks as typed
_STOP = re.compile(r"[.!?…]+[\"'”’»)\]]*|[。！？।؟۔]+[”’」』）]*")  # noqa: RUF001 - stops of other scripts
_LEFT_WORD = re.compile(r"[^\s(\[\"'“‘«/,;:]*\Z")  # noqa: RUF001
_INITIALS = re.compile(r"(?:[A-Za-z]\.)+[A-Za-z]\Z")
# "z. B.", "d. h.", "p. ej.", "u. a.": two short words, each with its stop.
_SPACED = re.compile(r"[^\W\d_]{1,2}\.")
_SPACED_BEFORE = re.compile(r"(?:^|\s)[a-zäöüáéíóú]\. ?[^\W\d_]\Z")
_MARKER = re.compile(r"(?:[-*–—] |[•‣◦·▪] ?|\(?(?P<number>\d{1,2})[.)](?: |(?=[A-Z])))+")  # noqa: RUF001
_LIST_ITEM = re.compile(r" \(?(?P<number>\d{1,2})\) ?(?=[A-Z])")


def split_sentences(text: str) -> list[str]:
    r"""Split text into sentences; wrapped lines are joined, list markers are taken off.

    Pieces without a letter, a digit or a symbol (rules, a lone de-identification mark `___`) are no sentences.

    Args:
        text: a report or a section of it, after `monai_place.data.reports.clean_text`.

    Example:
        >>> split_sentences("1. Nodule of 2.5 cm. Seen by Dr. ___.\n2. No effusion.No edema, e.g. in the bases.")
        ['Nodule of 2.5 cm.', 'Seen by Dr. ___.', 'No effusion.', 'No edema, e.g. in the bases.']
    """
    sentences: list[str] = []
    for block in join_lines(text):
        for piece in _split_block(block):
            sentence = piece[_marker_end(piece) :].strip()
            if any(unicodedata.category(character)[0] in "LN" or _is_symbol(character) for character in sentence):
                sentences.append(sentence)
    return sentences


def _is_symbol(character: str) -> bool:
    return unicodedata.category(character) == "So"  # emoji; U+FFFD is one too


def _marker_end(piece: str) -> int:
    match = _MARKER.match(piece)
    return match.end() if match else 0


def _split_block(block: str) -> list[str]:
    """Split one line of text without line breaks."""
    pieces: list[str] = []
    start = 0
    for stop in _STOP.finditer(block):
        if stop.start() >= start and _ends_sentence(block, start, stop):
            pieces.append(block[start : stop.end()].strip())
            start = stop.end()
    pieces.append(block[start:].strip())
    return [item for piece in pieces if piece for item in _split_list(piece)]


def _split_list(piece: str) -> list[str]:
    """Split "1) a 2) b 3) c" where the numbers follow each other from the piece's own marker on."""
    first = _MARKER.match(piece)
    if first is None or first["number"] is None or not first[0].rstrip().endswith(")"):
        return [piece]
    number, start, items = int(first["number"]), 0, []
    for match in _LIST_ITEM.finditer(piece, first.end() - 1):
        if int(match["number"]) == number + 1:
            items.append(piece[start : match.start()].strip())
            number, start = number + 1, match.start()
    return [*items, piece[start:].strip()]


def _ends_sentence(block: str, start: int, stop: re.Match[str]) -> bool:
    """Tell whether the stop ends the sentence that began at `start`."""
    after = block[stop.end() : stop.end() + LOOK]
    if not after.strip():
        return True
    marks = stop[0]
    if marks[0] in "。！？।؟۔":  # noqa: RUF001
        return True
    before = block[max(start, stop.start() - LOOK) : stop.start()]
    if marks[0] in "?!" and (not before or before[-1].isspace()):
        return False  # "? pneumonia": a question mark before a word is a doubt
    spaced = after[0].isspace()
    following = after.lstrip()
    if not spaced and not _space_is_missing(before, following):
        return False
    if marks[-1] in _CLOSING and following[0].islower():
        return False
    if marks.startswith(("...", "…")):
        return not following[0].islower()
    return marks[0] != "." or not _is_abbreviation(before, following)


def _space_is_missing(before: str, following: str) -> bool:
    """Tell "effusion.No" and "2.5.The" from "2.5", "e.g.", "www.x.org" and "U.S.A"."""
    capitalized = following[0].isupper() and (following[1:2].islower() or following[:2] in {"A ", "I "})
    left = before[-3:]
    return capitalized and ((left.isalpha() and left[1:].islower()) or before[-1:].isdigit() or before[-1:] in ")]%_")


def _is_abbreviation(before: str, following: str) -> bool:
    """Tell whether a full stop belongs to a list number or an abbreviation."""
    number = before.strip().lstrip("(")
    if number.isdigit() and len(number) < 3:  # "1." is all the sentence has so far
        return True
    match = _LEFT_WORD.search(before)
    word = match[0] if match else ""
    lower = word.lower()
    if lower in {"no", "nos"}:  # "No. 3", but "Effusion? No."
        return following[0].isdigit()
    if lower in _NEVER_LAST:
        return True
    if lower in _SELDOM_LAST or _INITIALS.match(word):
        return not following[0].isupper()
    if len(word) == 1 and word.islower() and _SPACED.match(following):
        return True
    if len(word) == 1 and _SPACED_BEFORE.search(before):
        return True
    if len(word) == 1 and word.isupper():
        return _is_initial(before[:-1].rstrip(), following)
    return False


def _is_initial(earlier: str, following: str) -> bool:
    """Tell "Dr. J. Smith" and "R. lung" from "hepatitis B." and "grade I."."""
    if following[0].islower():
        return True
    last = earlier.split()[-1] if earlier.split() else ""
    return not last or last.endswith(".") or last[0].isupper()
