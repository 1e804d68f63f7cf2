"""Written reports on the page of a run: image, reference, draft with its findings judged, and a map a sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from monai_place.visualize.estimates import as_estimate
from monai_place.visualize.inputs import check_heat, check_shown_image
from monai_place.visualize.pictures import embed_heat, embed_image
from monai_place.visualize.sheets import shorten

__all__ = ["DraftExample", "DraftScores", "DraftSentence", "FindingVerdict", "build_drafts", "judge_draft"]

Array = npt.NDArray[Any]
FindingVerdict = Literal["correct", "invented", "missed"]
MOST_EXAMPLES, MOST_MAPS = 4, 4
_PICTURE, _HEAT = 288, 112  # longer side in pixels
_LETTERS = 240


class SentenceLabeller(Protocol):
    """What is needed of `monai_place.metrics.ReportLabeller`."""

    def sentence_labels(self, sentence: str) -> Mapping[str, str]:
        """Return finding -> positive, negative or uncertain."""


class WrittenSentences(Protocol):
    """What is needed of `monai_place.inference.GeneratedReport`."""

    @property
    def sentences(self) -> Sequence[Any]:
        """Sentences with `text` and `evidence`."""


@dataclass(frozen=True, eq=False)
class DraftSentence:
    """A sentence with what is right and wrong in it.

    Args:
        text: the sentence.
        verdicts: finding -> `correct` (asserted and there), `invented` (asserted and not there), `missed` (there; of a
            draft, ruled out; of a reference, not asserted by the draft). A finding that is rightly ruled out has none.
        heat: the sentence's map, (H, W), NaN where there is no answer; None for a reference's sentence.

    Raises:
        ValueError: a verdict is another word.
    """

    text: str
    verdicts: Mapping[str, FindingVerdict] = field(default_factory=dict)
    heat: Array | None = None

    def __post_init__(self) -> None:
        if wrong := sorted(set(self.verdicts.values()) - set(get_args(FindingVerdict))):
            raise ValueError(f"verdicts must be of {get_args(FindingVerdict)}, got {wrong}")


@dataclass(frozen=True, eq=False)
class DraftExample:
    """One image with what was reported and what a model wrote.

    Args:
        image: (H, W) in [0, 1].
        reference: sentences of the report.
        written: sentences of the draft.
        missed: findings that are there and that the draft does not assert.

    Raises:
        ValueError: a map is of another shape than the image.
    """

    image: Array
    reference: Sequence[DraftSentence]
    written: Sequence[DraftSentence]
    missed: Sequence[str] = ()

    def __post_init__(self) -> None:
        shape = check_shown_image(self.image).shape
        for sentence in self.written:
            if sentence.heat is not None:
                check_heat(sentence.heat, shape=shape)


@dataclass(frozen=True)
class DraftScores:
    """Numbers of written reports beside those of a constant report.

    Args:
        rows: what is measured -> system -> estimate; the same systems in each row.
        note: what the numbers are of, in a sentence.
    """

    rows: Mapping[str, Mapping[str, Any]]
    note: str = ""


def judge_draft(
    image: Array,
    written: WrittenSentences,
    reference: Sequence[str],
    present: AbstractSet[str],
    labeller: SentenceLabeller,
) -> DraftExample:
    """Compare a draft with what is there, finding by finding.

    Args:
        image: (H, W) in [0, 1].
        written: the draft, with its maps.
        reference: sentences of the report.
        present: findings that the study has.
        labeller: tells what a sentence asserts; an uncertain finding counts as asserted.
    """
    drafted = [(entry, _asserted(labeller, entry.text)) for entry in written.sentences]
    said = {name for _, found in drafted for name, there in found.items() if there}
    sentences = []
    for entry, found in drafted:
        verdicts: dict[str, FindingVerdict] = {
            name: ("correct" if name in present else "invented") if there else "missed"
            for name, there in found.items()
            if there or name in present
        }
        sentences.append(DraftSentence(entry.text, verdicts, entry.evidence))
    told = [
        DraftSentence(
            text,
            {
                name: "correct" if name in said else "missed"
                for name, there in _asserted(labeller, text).items()
                if there and name in present
            },
        )
        for text in reference
    ]
    return DraftExample(image, told, sentences, sorted(present - said))


def build_drafts(
    examples: Sequence[DraftExample], scores: DraftScores | None, *, show_text: bool
) -> dict[str, Any] | None:
    """Turn drafts into what the template shows; None where there are none.

    Args:
        examples: the first few are shown.
        scores: numbers above them; None leaves them out.
        show_text: hand over the texts.
    """
    if not examples and scores is None:
        return None
    systems = list(next(iter(scores.rows.values()), {})) if scores else []
    return {
        "systems": systems,
        "rows": [
            {"name": name, "cells": [as_estimate(row[system]) for system in systems]}
            for name, row in (scores.rows if scores else {}).items()
        ],
        "note": scores.note if scores else "",
        "examples": [_example(example, show_text=show_text) for example in examples[:MOST_EXAMPLES]],
        "left": max(0, len(examples) - MOST_EXAMPLES),
        "has_gap": any(
            sentence.heat is not None and bool(np.isnan(sentence.heat).any())
            for example in examples[:MOST_EXAMPLES]
            for sentence in example.written
        ),
    }


def _asserted(labeller: SentenceLabeller, text: str) -> dict[str, bool]:
    return {name: kind != "negative" for name, kind in labeller.sentence_labels(text).items()}


def _example(example: DraftExample, *, show_text: bool) -> dict[str, Any]:
    height, width = np.shape(example.image)
    written = [_sentence(sentence, number, show_text=show_text) for number, sentence in enumerate(example.written, 1)]
    # Sentences that assert a finding first: where "no effusion" was looked for says less.
    order = sorted(range(len(written)), key=lambda place: not written[place]["asserts"])
    shown = sorted([place for place in order if example.written[place].heat is not None][:MOST_MAPS])
    return {
        "width": width,
        "height": height,
        "image": embed_image(example.image, largest=_PICTURE),
        "reference": [_sentence(sentence, 0, show_text=show_text) for sentence in example.reference],
        "written": written,
        "missed": list(example.missed),
        "maps": [
            {"number": place + 1, "heat": embed_heat(_heat(example.written[place]), largest=_HEAT)} for place in shown
        ],
    }


def _heat(sentence: DraftSentence) -> Array:
    assert sentence.heat is not None
    return sentence.heat


def _sentence(sentence: DraftSentence, number: int, *, show_text: bool) -> dict[str, Any]:
    return {
        "number": number,
        "text": shorten(sentence.text, _LETTERS) if show_text else "",
        "verdicts": [{"finding": name, "verdict": verdict} for name, verdict in sentence.verdicts.items()],
        "asserts": any(verdict != "missed" for verdict in sentence.verdicts.values()),
    }
