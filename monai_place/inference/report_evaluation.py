"""How good written reports are on a split: text, findings, and against the best constant report."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from monai_place.data.report_format import find_indication
from monai_place.inference.labels import label_table
from monai_place.inference.report_results import GeneratedReports
from monai_place.inference.report_writer import ReportWriter
from monai_place.inference.writers import NOTE
from monai_place.metrics.bootstrap import BootstrapInterval, bootstrap_difference
from monai_place.metrics.clinical import clinical_difference, clinical_scores
from monai_place.metrics.constant_report import best_constant_report, most_frequent_report
from monai_place.metrics.report_labels import ReportLabeller, UncertainRule, presence_table
from monai_place.metrics.text_scores import TextScores, score_texts
from monai_place.networks import GenerationSettings

__all__ = ["ReportJudge", "choose_labeller", "constant_reports", "evaluate_reports"]

Floats = npt.NDArray[np.float64]
Record = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class ReportJudge:
    """What reports are judged by.

    Args:
        labeller: tells the findings of a report.
        classes: names of the entries of the records' `label`; where they are the labeller's, written reports are judged
            against these labels, else against those of the reference reports.
        uncertain: what an uncertain finding counts as.
    """

    labeller: ReportLabeller
    classes: tuple[str, ...] = ()
    uncertain: UncertainRule = "positive"

    @property
    def by_labels(self) -> bool:
        """Whether the ground truth is the records' own labels."""
        return tuple(self.classes) == self.labeller.classes

    def asserted(self, reports: Sequence[str]) -> Floats:
        """Return what B reports assert, (B, C) of 1, 0 and NaN."""
        return presence_table(self.labeller.table(reports), uncertain=self.uncertain)

    def truth(self, records: Sequence[Record], references: Sequence[str]) -> Floats:
        """Return what is there, (B, C): the records' labels, or what the reference reports assert."""
        if self.by_labels:
            return np.asarray(label_table(records, self.classes).numpy(), dtype=np.float64)
        return self.asserted(references)


def choose_labeller(classes: Sequence[str], *, uncertain: UncertainRule = "positive") -> ReportJudge:
    """Return the judge for a data set: the phantom's labeller for its classes, else CheXpert's fourteen findings.

    Args:
        classes: of the datalist.
        uncertain: what an uncertain finding counts as.
    """
    phantom = ReportLabeller("phantom")
    labeller = phantom if tuple(classes) == phantom.classes else ReportLabeller("chexpert-14")
    return ReportJudge(labeller, tuple(classes), uncertain)


def constant_reports(records: Sequence[Record], references: Sequence[str], judge: ReportJudge) -> dict[str, str]:
    """Return the constant reports that a generator has to beat, chosen on training records.

    Args:
        records: of the training split.
        references: their reports, in the generator's format.
        judge: what they are judged by.

    Returns:
        `most_frequent`, and `best_f1`, that with the highest micro F1 of findings on the training split.
    """
    told = [place for place, text in enumerate(references) if text]
    kept, texts = [records[place] for place in told], [references[place] for place in told]
    asserted = np.nan_to_num(judge.asserted(texts))
    return {
        "most_frequent": most_frequent_report(texts),
        "best_f1": best_constant_report(texts, asserted, judge.truth(kept, texts)),
    }


def evaluate_reports(
    writer: ReportWriter,
    records: Sequence[Record],
    *,
    training: Sequence[Record],
    judge: ReportJudge,
    settings: GenerationSettings | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    meteor: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Write reports of a split and measure them, beside two constant reports, with intervals over studies.

    Args:
        writer: the generator.
        records: from `monai_place.data.load_records`; those without the sections are left out.
        training: records that the constant reports are chosen among.
        judge: tells findings, see `choose_labeller`.
        settings: controls of decoding.
        bootstrap: resamples.
        seed: of the bootstrap.
        meteor: compute METEOR, too.
        progress: called with (images done, images in all).

    Returns:
        Plain JSON values: `studies`, `failed`, `generator` and each constant (`text`, `clinical`), `differences`
        (generator minus constant, paired), `left_out`, `labels` (where the ground truth is from), `reports_alike` (the
        share of the most frequent written report), `note`.

    Raises:
        ValueError: no record has a report in the generator's sections, or no image can be read.
    """
    form = writer.loaded.report_format
    kept = [record for record in records if form.reference(record)]
    if not kept:
        raise ValueError(f"none of the {len(records)} records has a report in the sections {list(form.sections)}")
    indications = [find_indication(record) or None for record in kept]
    images = [record["image"] for record in kept]
    written = writer.generate(images, indications=indications, settings=settings, evidence=None, progress=progress)
    if not written.results:
        raise ValueError(f"none of the {len(kept)} images could be read; the first: {written.failed[0].reason}")
    read = [kept[report.index] for report in written.results]
    references = [form.reference(record) for record in read]
    constants = constant_reports(training, [form.reference(record) for record in training], judge)
    systems = {"generator": [report.text for report in written.results]}
    systems |= {name: [text] * len(read) for name, text in constants.items()}
    truth = judge.truth(read, references)
    options = {"resamples": bootstrap, "seed": seed}
    texts = {name: score_texts(references, reports, meteor=meteor) for name, reports in systems.items()}
    asserted = {name: judge.asserted(reports) for name, reports in systems.items()}
    values: dict[str, Any] = {
        "note": NOTE,
        "studies": len(read),
        "failed": [{"source": entry.source, "reason": entry.reason} for entry in written.failed],
        "labels": "of the records" if judge.by_labels else "of the reference reports",
        "labeller": judge.labeller.name,
        "sections": list(form.sections),
        "left_out": texts["generator"].left_out,
        "reports_alike": _alike(written),
        "differences": {},
    }
    for name in systems:
        scores = clinical_scores(asserted[name], truth, judge.labeller.classes, **options)
        values[name] = {"text": _plain(texts[name].intervals(**options)), "clinical": scores.to_dict()}
        if name == "generator":
            continue
        values[name]["report"] = constants[name]
        values["differences"][name] = {
            "clinical": _plain(clinical_difference(asserted["generator"], asserted[name], truth, **options)),
            "text": _plain(_text_difference(texts["generator"], texts[name], **options)),
        }
    return values


def _text_difference(
    first: TextScores, second: TextScores, *, resamples: int, seed: int
) -> dict[str, BootstrapInterval]:
    found = bootstrap_difference(first.statistic, second.statistic, len(first.parts[0]), resamples=resamples, seed=seed)
    return dict(zip(first.names, found, strict=True))


def _plain(intervals: Mapping[str, BootstrapInterval]) -> dict[str, Any]:
    return {name: interval.to_dict() for name, interval in intervals.items()}


def _alike(written: GeneratedReports) -> float:
    """Return the share of the most frequent written report: near 1 where a generator says the same of every image."""
    texts = [report.text for report in written.results]
    return max(texts.count(text) for text in set(texts)) / len(texts)
