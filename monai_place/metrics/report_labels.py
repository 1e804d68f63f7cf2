"""Findings of a report by rules: an open labeller that needs no model and no download, and sends no text anywhere.

Shapes: B reports, C findings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from monai_place.data.reports import report_sentences
from monai_place.metrics.negation import Assertion, assertion_of

__all__ = ["ReportLabeller", "UncertainRule", "builtin_vocabularies", "presence_table"]

UncertainRule = Literal["positive", "negative", "unknown"]
FOLDER = Path(__file__).parent / "vocabularies"
VALUES: dict[Assertion, float] = {"positive": 1.0, "uncertain": -1.0, "negative": 0.0}
STRONGEST: tuple[Assertion, ...] = ("positive", "uncertain", "negative")
DEVICES = "Support Devices"  # no finding in the sense of "No Finding", as in CheXpert


def builtin_vocabularies() -> tuple[str, ...]:
    """Return the names of the vocabularies that come with the package.

    Example:
        >>> builtin_vocabularies()
        ('chexpert-14', 'phantom')
    """
    return tuple(sorted(path.stem for path in FOLDER.glob("*.json")))


class ReportLabeller:
    """Tells of each finding whether a report asserts it, doubts it, rules it out or does not speak of it.

    A finding is mentioned by a phrase of the vocabulary; what is said of it is told by the words around it
    (`monai_place.metrics.negation`). Of several mentions the strongest counts: positive, then uncertain, then negative.
    English only, and rules miss what they do not know: look at the labels of your own reports before you trust them.

    Args:
        vocabulary: name of a built-in one, or the content of such a JSON: `findings` (name -> `mentions`, `normal`:
            regular expressions in lower case, the latter for phrases that rule it out), `normal` (phrases that rule out
            all), `no_finding` (name of the class of reports without any, or null).

    Raises:
        ValueError: there is no vocabulary of that name, or it lacks a key.

    Example:
        >>> labeller = ReportLabeller("phantom")
        >>> found = labeller.label("No pleural effusion or edema. Possible left pneumothorax. The heart is enlarged.")
        >>> {name: value for name, value in found.items() if value is not None}
        {'cardiomegaly': 1.0, 'pleural effusion': 0.0, 'pneumothorax': -1.0, 'edema': 0.0}

    Reference:
        Chapman et al., A simple algorithm for identifying negated findings and diseases in discharge summaries, 2001
        (NegEx); Irvin et al., CheXpert, AAAI 2019. The phrases are this project's.
    """

    def __init__(self, vocabulary: str | Mapping[str, Any]) -> None:
        content = _read(vocabulary) if isinstance(vocabulary, str) else vocabulary
        try:
            findings: Mapping[str, Mapping[str, Sequence[str]]] = content["findings"]
            self.no_finding: str | None = content.get("no_finding")
            self._all_normal = _pattern(content.get("normal") or ())
            self._patterns = {
                name: (_pattern(entry["mentions"]), _pattern(entry.get("normal") or ()))
                for name, entry in findings.items()
            }
        except (KeyError, AttributeError, TypeError, re.error) as error:
            raise ValueError(f"the vocabulary is not of the form that ReportLabeller describes: {error!r}") from None
        self.name = str(content.get("name", ""))
        self.classes: tuple[str, ...] = (*((self.no_finding,) if self.no_finding else ()), *findings)
        self._cached = lru_cache(maxsize=50_000)(self._sentence)

    def label(self, report: str) -> dict[str, float | None]:
        """Return 1 (asserted), -1 (uncertain), 0 (ruled out) or None (not spoken of) by finding.

        Args:
            report: with or without headings; of a report with headings findings and impression are read.
        """
        found: dict[str, set[Assertion]] = {}
        for sentence in report_sentences(report):
            for name, assertion in self._cached(sentence):
                found.setdefault(name, set()).add(assertion)
        labels: dict[str, float | None] = {
            name: next((VALUES[kind] for kind in STRONGEST if kind in found.get(name, ())), None)
            for name in self._patterns
        }
        if self.no_finding is None:
            return labels
        present = any(value in (1.0, -1.0) for name, value in labels.items() if name != DEVICES)
        return {self.no_finding: 0.0 if present else 1.0, **labels}

    def sentence_labels(self, sentence: str) -> dict[str, Assertion]:
        """Return what one sentence says of the findings that it speaks of; of several mentions the strongest counts."""
        found: dict[str, Assertion] = {}
        for name, assertion in self._cached(sentence):
            if name not in found or STRONGEST.index(assertion) < STRONGEST.index(found[name]):
                found[name] = assertion
        return found

    def table(self, reports: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return the labels of B reports as (B, C), NaN where a report does not speak of a finding."""
        rows = [[np.nan if value is None else value for value in self.label(report).values()] for report in reports]
        return np.array(rows, dtype=np.float64).reshape(len(reports), len(self.classes))

    def _sentence(self, sentence: str) -> tuple[tuple[str, Assertion], ...]:
        text = " ".join(sentence.lower().split())
        found: list[tuple[str, Assertion]] = []
        if self._all_normal.search(text):
            found += [(name, "negative") for name in self._patterns]
        for name, (mentions, normal) in self._patterns.items():
            rest = normal.sub(lambda match: " " * len(match[0]), text)
            if rest != text:
                found.append((name, "negative"))
            found += [(name, assertion_of(rest, *match.span())) for match in mentions.finditer(rest)]
        return tuple(dict.fromkeys(found))


def presence_table(labels: npt.ArrayLike, *, uncertain: UncertainRule = "positive") -> npt.NDArray[np.float64]:
    """Turn labels into 1 (present), 0 (not asserted) and NaN (unknown).

    Args:
        labels: (B, C) of 1, -1, 0 and NaN, as `ReportLabeller.table` gives them. A finding that a report does not speak
            of is not asserted: 0.
        uncertain: what -1 becomes.

    Raises:
        ValueError: `uncertain` is another word.

    Example:
        >>> presence_table([[1, -1, 0, float("nan")]]).tolist()
        [[1.0, 1.0, 0.0, 0.0]]
    """
    choices = {"positive": 1.0, "negative": 0.0, "unknown": np.nan}
    if uncertain not in choices:
        raise ValueError(f"uncertain must be one of {sorted(choices)}, got {uncertain!r}")
    table = np.nan_to_num(np.asarray(labels, dtype=np.float64), nan=0.0)
    return np.where(table == -1.0, choices[uncertain], table)


def _read(name: str) -> dict[str, Any]:
    if name not in builtin_vocabularies():
        raise ValueError(f"vocabulary must be one of {builtin_vocabularies()}, or a mapping, got {name!r}")
    content: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return content


def _pattern(phrases: Sequence[str]) -> re.Pattern[str]:
    """Return what matches any of the phrases as whole words; nothing where there are none."""
    return re.compile("|".join(rf"(?<![a-z])(?:{phrase})(?![a-z])" for phrase in phrases) or r"(?!)")
