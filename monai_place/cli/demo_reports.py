"""The demo's draft reports: a small generator trained on the run, measured on the test split, shown on the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_place.data.datalist import load_records, read_datalist
from monai_place.data.radiograph import read_radiograph
from monai_place.inference.generator_training import train_report_generator
from monai_place.inference.report_evaluation import choose_labeller, evaluate_reports
from monai_place.inference.report_writer import load_report_generator
from monai_place.metrics.report_labels import ReportLabeller
from monai_place.networks import GenerationSettings
from monai_place.visualize import DraftExample, DraftScores, judge_draft

__all__ = ["SETTINGS", "DemoDrafts", "draft_reports"]

# About a minute on two cores: the impression alone, a fifth of the tokens. Chosen on validation studies.
SETTINGS: dict[str, Any] = {
    "sections": ["impression"],
    "limit": 2000,
    "epochs": 4,
    "val_interval": 4,
    "lr": 0.002,
    "max_tokens": 96,
    "max_prompt_tokens": 16,
    "cache_workers": 2,
    "decoder": {"width": 128, "depth": 2, "heads": 2, "dropout": 0.1},
}
DECODING = GenerationSettings(beams=4)
ROWS = {"Precision of findings": "precision", "Recall of findings": "recall", "F1 of findings": "f1"}


@dataclass(frozen=True)
class DemoDrafts:
    """What the page and `metrics.json` take.

    Args:
        values: of `evaluate_reports`.
        scores: the table of the page.
        examples: drafts with their references and maps.
    """

    values: dict[str, Any]
    scores: DraftScores
    examples: tuple[DraftExample, ...]


def draft_reports(
    checkpoint: Path,
    datalist: Path,
    out: Path,
    *,
    split: str = "test",
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    count: int = 4,
    bootstrap: int = 1000,
    progress: Callable[[int, int], None] | None = None,
) -> DemoDrafts:
    """Train a generator, measure it, and draft the first studies that have a finding: chosen by place, not by success.

    Args:
        checkpoint: the pretrained run.
        datalist: of the phantom.
        out: folder of the generator's run.
        split: that is measured.
        seed: of the training and the intervals.
        settings: of `train_report.json`, in place of the demo's.
        count: examples.
        bootstrap: resamples.
        progress: called with (images done, images in all).
    """
    train_report_generator(checkpoint, datalist, out, settings={**SETTINGS, "seed": seed, **dict(settings or {})})
    writer = load_report_generator(out)
    writer.batch_size = 64
    records, classes = load_records(datalist, split), read_datalist(datalist).classes
    judge = choose_labeller(classes)
    values = evaluate_reports(
        writer,
        records,
        training=load_records(datalist, "training"),
        judge=judge,
        settings=DECODING,
        bootstrap=bootstrap,
        seed=seed,
        progress=progress,
    )
    chosen = [record for record in records if any(record.get("label") or ())][:count]
    drafts = writer.generate([record["image"] for record in chosen], settings=DECODING).results
    examples = [_example(chosen[draft.index], draft, writer, classes, judge.labeller) for draft in drafts]
    return DemoDrafts(values, _scores(values), tuple(examples))


def _example(
    record: Mapping[str, Any], draft: Any, writer: Any, classes: Sequence[str], labeller: ReportLabeller
) -> DraftExample:
    parts = writer.loaded.report_format.section_sentences(record)
    reference = [sentence for sentences in parts.values() for sentence in sentences]
    present = {name for name, value in zip(classes, record["label"], strict=True) if value}
    return judge_draft(read_radiograph(record["image"])[0], draft, reference, present, labeller)


def _scores(values: Mapping[str, Any]) -> DraftScores:
    systems = {"generator": "generator", "best constant report": "best_f1"}
    rows = {
        f"{name} (micro)": {title: values[key]["clinical"]["micro"][kind] for title, key in systems.items()}
        for name, kind in ROWS.items()
    }
    gain = values["differences"]["best_f1"]["clinical"]["micro_f1"]
    return DraftScores(
        rows,
        f"{values['studies']:,} studies that training never saw. The constant report is the training report with the "
        f"highest F1 on the training split; difference in F1 {gain['value']:+.3f}, 95 % interval {gain['low']:+.3f} to "
        f"{gain['high']:+.3f}, on the same studies. One seed.",
    )
