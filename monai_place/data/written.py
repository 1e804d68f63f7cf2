"""Text that a decoder wrote: spaces and capitals put right, sections and sentences found, tokens shared out to them.

A WordPiece tokenizer of lower-cased text gives "a 2. 5 cm nodule , right. no effusion" back; a reader expects
"A 2.5 cm nodule, right. No effusion".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from monai_place.data.sentences import split_sentences
from monai_place.data.tokens import ReportTokenizer

__all__ = ["WrittenSentence", "read_written", "tidy_text"]

_RULES = (
    (re.compile(r"(?<=\d)\s?([.,])\s?(?=\d)"), r"\1"),
    (re.compile(r"\s+([.,:;!?%)\]])"), r"\1"),
    (re.compile(r"([(\[])\s+"), r"\1"),
    (re.compile(r"(?<=\w)\s?([-/])\s(?=\w)"), r"\1"),
    (re.compile(r"\s+'\s?(?=s\b)"), "'"),
    (re.compile(r"\s+"), " "),
)
_SENTENCE_START = re.compile(r"(?:^|(?<=[.!?:] ))[a-z]")
_HEADING = re.compile(r"(?:^|(?<=[\s.!?]))(findings|impression) ?:\s*", re.IGNORECASE)


@dataclass(frozen=True)
class WrittenSentence:
    """A sentence of a written report.

    Args:
        text: the sentence, with its capital and its stop.
        section: `findings` or `impression`.
        start: number of its first token.
        end: number behind its last token.
    """

    text: str
    section: str
    start: int
    end: int


def tidy_text(text: str) -> str:
    """Put spaces and capitals right.

    Args:
        text: as a tokenizer decodes it.

    Example:
        >>> tidy_text("a 2. 5 cm nodule , right mid - zone. no effusion .")
        'A 2.5 cm nodule, right mid-zone. No effusion.'
    """
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return _SENTENCE_START.sub(lambda match: match[0].upper(), text.strip())


def read_written(
    tokenizer: ReportTokenizer, input_ids: Sequence[int], sections: Sequence[str]
) -> list[WrittenSentence]:
    """Find the sentences of a written report, and the tokens that each was made of.

    Args:
        tokenizer: of the decoder.
        input_ids: the tokens of the report, without prompt and special tokens.
        sections: what the decoder writes; with several, `Findings:` and `Impression:` stand before them.

    Example:
        >>> tokenizer = ReportTokenizer.train(["findings: no effusion. impression: normal heart."] * 2, vocab_size=99)
        >>> ids = tokenizer.encode(["Findings:", "No effusion.", "Impression:", "Normal heart."]).input_ids[1:-1]
        >>> [(s.section, s.text, s.end - s.start) for s in read_written(tokenizer, ids, ("findings", "impression"))]
        [('findings', 'No effusion.', 3), ('impression', 'Normal heart.', 3)]
    """
    ids = [int(token) for token in input_ids]
    text = tidy_text(tokenizer.decode(ids))
    ends = [len(_letters(tidy_text(tokenizer.decode(ids[: place + 1])))) for place in range(len(ids))]
    found, place = [], 0
    letters = _letters(text)
    for section, sentence in _sentences(text, sections):
        wanted = _letters(sentence)
        begin = letters.find(wanted, place)
        if begin < 0:  # a mark that the splitter took off; the tokens cannot be told
            begin = place
        place = begin + len(wanted)
        start = sum(end <= begin for end in ends)
        found.append(WrittenSentence(sentence, section, start, max(start, sum(end <= place for end in ends))))
    return found


def _sentences(text: str, sections: Sequence[str]) -> list[tuple[str, str]]:
    """Return (section, sentence) in the order of the text."""
    if len(sections) == 1:
        return [(sections[0], sentence) for sentence in split_sentences(text)]
    parts = _HEADING.split(text)  # before, name, body, name, body, ...
    named = [(sections[0], parts[0]), *zip(map(str.lower, parts[1::2]), parts[2::2], strict=True)]
    return [(name, sentence) for name, body in named for sentence in split_sentences(body)]


def _letters(text: str) -> str:
    return re.sub(r"\s+", "", text).lower()
