"""What a report generator is asked and what it answers, as sentences and as tokens.

A sequence is `[CLS] indication [SEP] report [SEP]`; without an indication `[CLS] [SEP] report [SEP]`. With one section
the report is its sentences; with both it is `Findings: ... Impression: ...`, in plain words, so that any tokenizer can
write it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from monai_place.data.headings import find_headings
from monai_place.data.reports import clean_text, split_sections
from monai_place.data.sentences import split_sentences
from monai_place.data.tokens import ReportTokenizer
from monai_place.data.written import WrittenSentence

__all__ = ["EncodedTarget", "ReportFormat", "find_indication", "format_report"]

SECTIONS = ("findings", "impression")
# Headings of what is known before the image is read: a "wet read" and a "comparison" tell findings.
_INDICATION = ("indication", "reason for", "history", "clinical")


@dataclass(frozen=True, eq=False)
class EncodedTarget:
    """A prompt and the report behind it.

    Args:
        input_ids: (T,) int64.
        target_start: tokens of the prompt; T where there is nothing to learn.
        truncated: tokens of the report that were cut off; its end mark is then cut off, too.
    """

    input_ids: npt.NDArray[np.int64]
    target_start: int
    truncated: int


@dataclass(frozen=True)
class ReportFormat:
    r"""Which part of a report is written, and what is known before.

    Args:
        sections: `findings`, `impression`, or both.
        indication: put the indication before the report where a record has one.
        max_tokens: longest sequence.
        max_prompt_tokens: longest prompt, special tokens included; a longer indication is cut at its end.

    Raises:
        ValueError: a section has another name or stands twice, or the lengths do not fit.

    Example:
        >>> record = {"report": "HISTORY: Cough.\nFINDINGS: Clear lungs. No effusion.\nIMPRESSION: Normal."}
        >>> ReportFormat(("impression",)).target_sentences(record), find_indication(record)
        (['Normal.'], 'Cough.')
    """

    sections: tuple[str, ...] = SECTIONS
    indication: bool = True
    max_tokens: int = 160
    max_prompt_tokens: int = 48

    def __post_init__(self) -> None:
        object.__setattr__(self, "sections", tuple(self.sections))  # JSON has lists
        if not self.sections or set(self.sections) - set(SECTIONS) or len(set(self.sections)) < len(self.sections):
            raise ValueError(f"sections must be one or both of {SECTIONS}, each once, got {self.sections}")
        if not 2 <= self.max_prompt_tokens <= self.max_tokens - 2:
            raise ValueError(
                f"max_prompt_tokens is {self.max_prompt_tokens}, expected 2 to max_tokens - 2 ({self.max_tokens - 2})"
            )

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON values."""
        return {**asdict(self), "sections": list(self.sections)}

    @property
    def room(self) -> int:
        """Most tokens of a report behind any prompt, so that a neighbor's long prompt does not cut it."""
        return self.max_tokens - (self.max_prompt_tokens if self.indication else 2)

    def section_sentences(self, record: Mapping[str, Any]) -> dict[str, list[str]]:
        """Return the sentences of each section that a record has, in the order of `sections`.

        The record's `sections` count where they hold the text, else its `report` is split at its headings.

        Args:
            record: of a datalist.
        """
        given = record.get("sections") or {}
        missing = any(not given.get(name) for name in self.sections)
        split = split_sections(clean_text(record.get("report") or "")) if missing else None
        texts = {name: clean_text(given[name]) if given.get(name) else getattr(split, name) for name in self.sections}
        return {name: sentences for name, text in texts.items() if (sentences := split_sentences(text))}

    def target_sentences(self, record: Mapping[str, Any]) -> list[str]:
        """Return what the decoder is to write, headings included; empty where the record has none of the sections.

        Args:
            record: of a datalist.
        """
        parts = self.section_sentences(record)
        if len(self.sections) == 1:
            return [sentence for sentences in parts.values() for sentence in sentences]
        return [line for name, sentences in parts.items() for line in (f"{name.capitalize()}:", *sentences)]

    def reference(self, record: Mapping[str, Any]) -> str:
        """Return the report as it is compared with: its sections' text, with headings where there are two."""
        return format_report(self.section_sentences(record), self.sections)

    def encode_prompt(self, tokenizer: ReportTokenizer, indication: str | None = None) -> npt.NDArray[np.int64]:
        """Return the prompt's tokens, `[CLS] indication [SEP]`.

        Args:
            tokenizer: of the decoder.
            indication: None or blank gives the empty prompt.
        """
        text = clean_text(indication or "")
        encoded = tokenizer.encode([text] if text and self.indication else []).input_ids
        return np.concatenate([encoded[: self.max_prompt_tokens - 1], encoded[-1:]]) if len(encoded) > 2 else encoded

    def encode(self, tokenizer: ReportTokenizer, record: Mapping[str, Any]) -> EncodedTarget:
        """Return prompt and report as one sequence.

        Args:
            tokenizer: of the decoder.
            record: of a datalist.
        """
        prompt = self.encode_prompt(tokenizer, find_indication(record))
        sentences = self.target_sentences(record)
        if not sentences:
            return EncodedTarget(prompt, len(prompt), 0)
        # Spaces for tokenizers that count them; the others drop them.
        spaced = [sentences[0], *(f" {sentence}" for sentence in sentences[1:])]
        encoded = tokenizer.encode(spaced)
        report = encoded.input_ids[1:]  # without [CLS], which is the prompt's
        room = self.max_tokens - len(prompt)
        cut = encoded.truncated + max(0, len(report) - room)
        kept = report[: min(room, len(report) - 1)] if cut else report  # a report that was cut has no end to learn
        return EncodedTarget(np.concatenate([prompt, kept]), len(prompt), cut)


def find_indication(record: Mapping[str, Any]) -> str:
    """Return why a study was made: the record's `sections.indication`, or what its report says; "" where neither does.

    Args:
        record: of a datalist.
    """
    if given := (record.get("sections") or {}).get("indication"):
        return clean_text(given)
    text = clean_text(record.get("report") or "")
    if not (headings := find_headings(text)):
        return ""
    ends = [*(heading.start for heading in headings[1:]), len(text)]
    found = [
        text[heading.end : end].strip().split("\n\n")[0]  # what follows a blank line is the report's body
        for heading, end in zip(headings, ends, strict=True)
        if heading.section == "other" and any(name in text[heading.start : heading.end].lower() for name in _INDICATION)
    ]
    return " ".join(part for part in found if part)


def format_report(parts: Mapping[str, Sequence[str | WrittenSentence]], sections: Sequence[str]) -> str:
    r"""Set sentences as a text; with several sections each has its heading.

    Args:
        parts: section -> sentences.
        sections: what the generator writes.

    Example:
        >>> format_report({"findings": ["Clear lungs."], "impression": ["Normal."]}, ("findings", "impression"))
        'FINDINGS: Clear lungs.\nIMPRESSION: Normal.'
    """
    bodies = {
        name: " ".join(entry if isinstance(entry, str) else entry.text for entry in entries)
        for name, entries in parts.items()
        if entries
    }
    if len(sections) == 1:
        return " ".join(bodies.values())
    return "\n".join(f"{name.upper()}: {body}" for name, body in bodies.items())
