"""BLEU, ROUGE-L, CIDEr and METEOR of written reports, computed by pycocoevalcap, the usual reference of the field.

Shapes: B reports, R resamples of studies, M numbers.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from monai.utils import optional_import

from monai_place.data.reports import report_sentences
from monai_place.metrics.bootstrap import BootstrapInterval, bootstrap_intervals, weighted_mean

__all__ = ["TextScores", "metric_words", "score_texts"]

Floats = npt.NDArray[np.float64]
ORDERS = (1, 2, 3, 4)
_WORD = re.compile(r"\d+(?:[.,]\d+)+|[^\W_]+")
_TINY, _SMALL = 1e-15, 1e-9  # as in pycocoevalcap, so that nothing is divided by zero


@dataclass(frozen=True, eq=False)
class TextScores:
    """How like B written reports are to their references.

    Args:
        parts: BLEU's counts of each report: matched n-grams (B, 4), written n-grams (B, 4), lengths (B, 2) of the
            written report and its reference.
        per_report: scores of each report (B,): `rouge_l`, `cider` and, where it could be computed, `meteor`. A score of
            all reports is their mean.
        left_out: name of a score that could not be computed -> why.
    """

    parts: tuple[Floats, Floats, Floats]
    per_report: dict[str, Floats]
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the scores, in the order of `statistic`."""
        return (*(f"bleu_{order}" for order in ORDERS), *self.per_report)

    def statistic(self, counts: Floats) -> Floats:
        """Return the scores (R, M) under multiplicities (R, B); BLEU is of the whole corpus, the others are means.

        Args:
            counts: how often each report was drawn.
        """
        matched, written, lengths = (counts @ part for part in self.parts)
        precision = np.cumprod((matched + _TINY) / (written + _SMALL), axis=1)  # (R, 4)
        ratio = (lengths[:, :1] + _TINY) / (lengths[:, 1:] + _SMALL)
        bleu = precision ** (1 / np.array(ORDERS)) * np.exp(np.minimum(0, 1 - 1 / ratio))
        return np.hstack([bleu, *(weighted_mean(scores, counts) for scores in self.per_report.values())])

    def intervals(self, *, resamples: int = 1000, seed: int = 0) -> dict[str, BootstrapInterval]:
        """Return each score with its bootstrap interval over reports.

        Args:
            resamples: resamples drawn.
            seed: of the bootstrap.
        """
        found = bootstrap_intervals(self.statistic, len(self.parts[0]), resamples=resamples, seed=seed)
        return dict(zip(self.names, found, strict=True))


def metric_words(report: str) -> str:
    """Return the words of a report that the scores compare: lower-cased, without headings and punctuation.

    pycocoevalcap's own tokenizer is a Java program; this one needs none. Numbers keep their decimals, hyphens divide.

    Args:
        report: with or without headings.

    Example:
        >>> metric_words("FINDINGS: Plate-like atelectasis; a 2.5 cm nodule.")
        'plate like atelectasis a 2.5 cm nodule'
    """
    return " ".join(word for sentence in report_sentences(report) for word in _WORD.findall(sentence.lower()))


def score_texts(references: Sequence[str], written: Sequence[str], *, meteor: bool = False) -> TextScores:
    """Compare written reports with what was reported.

    Args:
        references: B reports.
        written: B reports. An empty one scores 0.
        meteor: compute METEOR, too: by the Java program that comes with pycocoevalcap, or by NLTK with its WordNet,
            whichever is there; some seconds and 2 GB of memory for the former. Text stays on this machine.

    Raises:
        ValueError: the lists have different lengths, or are empty.
        ImportError: pycocoevalcap is not installed (`pip install monai-place[generation]`).

    Example:
        >>> scores = score_texts(["No effusion.", "Small nodule."], ["No effusion.", "Large nodule."])
        >>> [round(float(value), 2) for value in scores.statistic(np.ones((1, 2)))[0, :2]]
        [0.75, 0.61]

    Reference:
        Papineni et al. 2002 (BLEU); Lin 2004 (ROUGE-L, beta 1.2); Vedantam et al. 2015 (CIDEr); Denkowski and Lavie
        2014 (METEOR). Implementation: pycocoevalcap 1.2; metric_words stands in the place of its tokenizer.
    """
    if len(references) != len(written) or not references:
        raise ValueError(
            f"references and written must have one length, at least 1, got {len(references)}, {len(written)}"
        )
    told, given = ([metric_words(text) for text in texts] for texts in (references, written))
    truth = {number: [words] for number, words in enumerate(told)}
    answer = {number: [words] for number, words in enumerate(given)}
    rouge = np.array(_scorer("rouge.rouge", "Rouge")().compute_score(truth, answer)[1], dtype=np.float64)
    rouge[[not words for words in given]] = 0.0  # its LCS of two empty texts is 1
    cider: Floats = np.zeros(len(told))
    if any(told):  # without a word it has no frequencies
        cider = np.array(_scorer("cider.cider", "Cider")().compute_score(truth, answer)[1], dtype=np.float64)
    per_report = {"rouge_l": rouge, "cider": cider}
    left_out: dict[str, str] = {}
    if meteor:
        scores = _meteor(told, given, left_out)
        per_report |= {} if scores is None else {"meteor": scores}
    else:
        left_out["meteor"] = "not asked for"
    return TextScores(_bleu_parts(told, given), per_report, left_out)


def _scorer(module: str, name: str) -> Any:
    found, there = optional_import(f"pycocoevalcap.{module}", name=name)
    if not there:
        raise ImportError("scores of text need pycocoevalcap: pip install 'monai-place[generation]'")
    return found


def _bleu_parts(told: Sequence[str], given: Sequence[str]) -> tuple[Floats, Floats, Floats]:
    scorer = _scorer("bleu.bleu_scorer", "BleuScorer")(n=len(ORDERS))
    for reference, answer in zip(told, given, strict=True):
        scorer += (answer, [reference])
    matched = np.array([comps["correct"] for comps in scorer.ctest], dtype=np.float64)
    written = np.array([comps["guess"] for comps in scorer.ctest], dtype=np.float64)
    lengths = np.array([[comps["testlen"], comps["reflen"][0]] for comps in scorer.ctest], dtype=np.float64)
    return matched, written, lengths


def _meteor(told: Sequence[str], given: Sequence[str], left_out: dict[str, str]) -> Floats | None:
    module, there = optional_import("pycocoevalcap.meteor.meteor")
    data = Path(module.__file__).parent if there else Path()
    if shutil.which("java") and (data / "meteor-1.5.jar").is_file() and (data / "data" / "paraphrase-en.gz").is_file():
        return _java_meteor(module, told, given)
    scorer, has_nltk = optional_import("nltk.translate.meteor_score", name="meteor_score")
    if not has_nltk:
        left_out["meteor"] = "neither Java nor NLTK is installed"
        return None
    try:
        scores = [scorer([reference.split()], answer.split()) for reference, answer in zip(told, given, strict=True)]
    except LookupError:
        left_out["meteor"] = "Java is not installed, and NLTK lacks its WordNet data"
        return None
    return np.array(scores, dtype=np.float64)


def _java_meteor(module: Any, told: Sequence[str], given: Sequence[str]) -> Floats:
    scorer = module.Meteor()
    try:
        truth = {number: [words] for number, words in enumerate(told)}
        scores = scorer.compute_score(truth, {number: [words] for number, words in enumerate(given)})[1]
    finally:
        process = scorer.meteor_p
        process.stdin.close()
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()
    return np.array(scores, dtype=np.float64)
