"""Reports of the phantom: sentences in FINDINGS / IMPRESSION form, each linked to the finding it speaks of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from monai_place.data.phantom import phrases
from monai_place.data.phantom.findings import PHANTOM_CLASSES, FindingSpec

__all__ = ["MAX_SENTENCES", "MIN_SENTENCES", "SYNONYMS", "PhantomSentence", "join_report", "write_sentences"]

Polarity: TypeAlias = Literal["positive", "negative", "uncertain"]
MIN_SENTENCES, MAX_SENTENCES = 4, 9
_UNCERTAIN_SHARE = {"mild": 0.08, "moderate": 0.04, "severe": 0.01}

# One of these (in lower case) stands in every sentence about a finding of the class.
SYNONYMS = {
    "cardiomegaly": ("cardiomegaly", "cardiac enlargement", "cardiac silhouette", "heart"),
    "pleural effusion": ("effusion", "pleural fluid"),
    "consolidation": ("consolidation", "airspace opacity", "infiltrate", "pneumonia"),
    "nodule": ("nodule", "nodular", "rounded lesion"),
    "pneumothorax": ("pneumothorax",),
    "edema": ("edema", "congestion"),
    "atelectasis": ("atelectasis", "volume loss", "atelectatic"),
}


@dataclass(frozen=True)
class PhantomSentence:
    """One sentence of a report.

    `finding` is the number of the finding it speaks of, None where it speaks of none; `classes` are the classes that it
    asserts (positive, uncertain) or rules out (negative), none for a sentence on other anatomy.
    """

    text: str
    section: Literal["findings", "impression"]
    finding: int | None
    polarity: Polarity
    classes: tuple[str, ...]


def write_sentences(
    specs: Sequence[FindingSpec], rng: np.random.Generator, *, diameters_mm: Sequence[float | None] | None = None
) -> list[PhantomSentence]:
    """Write the 4 to 9 sentences of one report, in report order.

    Every finding stands in FINDINGS and, mostly, in the IMPRESSION; a class is ruled out only where it is absent.

    Args:
        specs: the findings that can be seen.
        rng: random stream of the report.
        diameters_mm: diameter of each finding where it has one (nodules).
    """
    sizes = list(diameters_mm) if diameters_mm is not None else [None] * len(specs)
    doubts = [bool(rng.random() < _UNCERTAIN_SHARE[spec.severity]) for spec in specs]
    findings = [_describe(number, spec, rng, sizes[number], doubts[number]) for number, spec in enumerate(specs)]
    impression = _impression(specs, doubts, rng)
    absent = [name for name in PHANTOM_CLASSES if name not in {spec.class_name for spec in specs}]
    total = int(np.clip(rng.integers(4, 10), len(findings) + len(impression) + 1, MAX_SENTENCES))
    findings += _background(total - len(findings) - len(impression), absent, rng)
    order = rng.permutation(len(findings))
    return [findings[number] for number in order] + impression


def join_report(sentences: Sequence[PhantomSentence], rng: np.random.Generator) -> tuple[str, dict[str, str]]:
    """Set the sentences as a text with headings.

    Args:
        sentences: what to set, findings first.
        rng: random stream of the layout.

    Returns:
        the whole report, and its sections `findings` and `impression` without headings.
    """
    parts = {name: [s.text for s in sentences if s.section == name] for name in ("findings", "impression")}
    layout = rng.random()
    sections = {name: " ".join(texts) for name, texts in parts.items()}
    if layout < 0.15 and len(parts["impression"]) > 1:
        sections["impression"] = "\n".join(f"{n}. {text}" for n, text in enumerate(parts["impression"], start=1))
    gap = " " if layout < 0.7 else "\n"
    text = f"FINDINGS:{gap}{sections['findings']}\nIMPRESSION:{gap}{sections['impression']}"
    return text, sections


def _describe(
    number: int,
    spec: FindingSpec,
    rng: np.random.Generator,
    diameter_mm: float | None,
    doubt: bool,  # noqa: FBT001
) -> PhantomSentence:
    if doubt:
        return _sentence(_choose(phrases.UNCERTAIN[spec.class_name], rng), number, spec, rng, polarity="uncertain")
    templates = [
        template
        for key in (spec.class_name, f"{spec.class_name} {spec.zone}", f"{spec.class_name} {_kind(spec)}")
        for template in phrases.POSITIVE.get(key, ())
    ]
    if spec.kind == "loculated":
        templates = list(phrases.POSITIVE[f"{spec.class_name} loculated"])
    return _sentence(_choose(templates, rng), number, spec, rng, diameter_mm=diameter_mm)


def _kind(spec: FindingSpec) -> str:
    return "linear" if spec.class_name == "atelectasis" and spec.kind == "plain" else spec.kind


def _impression(
    specs: Sequence[FindingSpec], doubts: Sequence[bool], rng: np.random.Generator
) -> list[PhantomSentence]:
    if not specs:
        return [
            PhantomSentence(_choose(phrases.CLEAR_IMPRESSIONS, rng), "impression", None, "negative", PHANTOM_CLASSES)
        ]
    kept = [number for number in range(len(specs)) if rng.random() < 0.85] or [int(rng.integers(len(specs)))]
    return [
        _sentence(
            _choose((phrases.UNCERTAIN if doubts[number] else phrases.IMPRESSIONS)[specs[number].class_name], rng),
            number,
            specs[number],
            rng,
            section="impression",
            polarity="uncertain" if doubts[number] else "positive",
        )
        for number in rng.permutation(kept).tolist()
    ]


def _background(count: int, absent: list[str], rng: np.random.Generator) -> list[PhantomSentence]:
    """Sentences that rule classes out (each class once) or speak of other anatomy."""
    left = set(absent)
    neutral = list(rng.permutation(phrases.NEUTRAL))
    sentences: list[PhantomSentence] = []
    while len(sentences) < count:
        names: tuple[str, ...] = ()
        joint = [(names, text) for names, text in phrases.JOINT_ABSENT if left.issuperset(names)]
        coin = rng.random()
        if coin < 0.3 and joint:
            names, text = joint[int(rng.integers(len(joint)))]
        elif coin < 0.75 and left:
            name = _choose(sorted(left), rng)
            names, text = (name,), _choose(phrases.ABSENT[name], rng)
        else:
            names, text = (), str(neutral.pop())
        left.difference_update(names)
        sentences.append(PhantomSentence(text, "findings", None, "negative", tuple(names)))
    return sentences


def _sentence(
    template: str,
    number: int,
    spec: FindingSpec,
    rng: np.random.Generator,
    *,
    section: Literal["findings", "impression"] = "findings",
    polarity: Polarity = "positive",
    diameter_mm: float | None = None,
) -> PhantomSentence:
    text = template.format(
        side=spec.laterality,
        zone=_choose(phrases.ZONE_NAMES[spec.zone], rng) if spec.zone else "",
        grade=_choose(phrases.GRADES[spec.class_name][spec.severity], rng),
        noun=_choose(phrases.NOUNS[spec.class_name], rng),
        size=_size(diameter_mm or 10.0, rng),
    )
    return PhantomSentence(_mend(text), section, number, polarity, (spec.class_name,))


def _size(diameter_mm: float, rng: np.random.Generator) -> str:
    return f"{diameter_mm:.0f} mm" if rng.random() < 0.5 else f"{diameter_mm / 10:.1f} cm"


def _mend(text: str) -> str:
    """Put the right article before a vowel and a capital at the start."""
    words = text.split(" ")
    for place, word in enumerate(words[:-1]):
        following = words[place + 1]
        # "8 mm" and "18 mm" are spoken with a vowel.
        if word in {"a", "A"} and (following[0].lower() in "aeiou" or following in {"8", "11", "18"}):
            words[place] = word + "n"
    mended = " ".join(words)
    return mended[0].upper() + mended[1:]


def _choose(options: Sequence[str], rng: np.random.Generator) -> str:
    return str(options[int(rng.integers(len(options)))])
