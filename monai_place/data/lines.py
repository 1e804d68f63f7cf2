"""Lines of a report put together again: wrapped lines joined, list items and short lines kept apart."""

from __future__ import annotations

import re

__all__ = ["join_lines"]

WRAP_WIDTH = 60  # archives wrap at 70 to 80 characters; a shorter line was broken on purpose

_BULLET = re.compile(r"[-*–—] (?=\S)|[•‣◦·▪] ?(?=\S)")  # noqa: RUF001 - dashes as typed
_NUMBER = re.compile(r"\(?(?P<number>\d{1,2})[.)](?: |(?=[A-Z]))")
_HANGING_WORDS = "a an and are as at by for from in into is no not of on or the to was were with within without"
_HANGING = frozenset(_HANGING_WORDS.split())


def join_lines(text: str) -> list[str]:
    r"""Return blocks of running text, one line each; a sentence never crosses the border of a block.

    A blank line, a bullet and the next number of a list start a block. Other line breaks are wrapping, unless the
    line is too short for that and the next one starts with a capital.

    Args:
        text: any text.

    Example:
        >>> join_lines("No focal\nconsolidation.\n\n1. Nodule in\nthe left\n2. No effusion")
        ['No focal consolidation.', '1. Nodule in the left', '2. No effusion']
    """
    blocks: list[str] = []
    parts: list[str] = []
    number = 0
    previous = ""
    for raw in [*text.splitlines(), ""]:
        line = " ".join(raw.split())
        item = _NUMBER.match(line)
        next_item = item is not None and int(item["number"]) in {1, number + 1}
        if item is not None and next_item:
            number = int(item["number"])
        if not line or next_item or _BULLET.match(line) or (previous and _broken_on_purpose(previous, line)):
            blocks += ["".join(parts).strip()] if parts else []
            parts = []
        if line:
            parts.append(line if not parts or _is_hyphenated(previous, line) else f" {line}")
        previous = line
    return [block for block in blocks if block]


def _broken_on_purpose(line: str, following: str) -> bool:
    first = following.split(" ", 1)[0]
    fits = len(line) + 1 + len(first) <= WRAP_WIDTH
    last = line.rsplit(" ", 1)[-1].lower()
    return fits and first[:1].isupper() and line[-1] not in ",-/(" and last not in _HANGING


def _is_hyphenated(line: str, following: str) -> bool:
    return len(line) > 1 and line[-1] == "-" and line[-2].isalpha() and following[0].islower()
