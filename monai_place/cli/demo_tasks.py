"""The demo's downstream parts that live in MONAI: a classification on frozen features, and written reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from monai_place.data.datalist import load_records
from monai_place.data.radiograph import read_radiograph
from monai_place.inference.classification_runs import classify_by_training
from monai_place.inference.generator_training import train_report_generator
from monai_place.inference.report_evaluation import choose_labeller, evaluate_reports
from monai_place.inference.report_writer import load_report_generator
from monai_place.visualize import DraftExample, DraftScores, RunReport, judge_draft

__all__ = ["MEASURES", "DemoTasks", "measure_tasks"]

# Minutes on two cores: a decoder this small, read by so many studies, already beats a constant report.
PROBE: dict[str, Any] = {"epochs": 15, "batch_size": 64, "lr": 2e-3, "patience": 5}
GENERATOR: dict[str, Any] = {"epochs": 6, "limit": 2000, "val_interval": 6}
TESTED = 200  # studies whose reports are written
EXAMPLES = 3
MEASURES = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "f1": "F1",
    "sensitivity_at_specificity": "sensitivity at 90 % specificity",
    "ece": "calibration error",
}
TEXT = {"bleu_4": "BLEU-4", "rouge_l": "ROUGE-L", "cider": "CIDEr"}
SYSTEMS = {"generator": "generator", "best_f1": "best constant report", "most_frequent": "most frequent report"}


@dataclass(frozen=True, eq=False)
class DemoTasks:
    """What the two parts leave.

    Args:
        classification: measure -> estimate, macro over the findings of the test split.
        reports: from `evaluate_reports`.
        drafts: studies with a finding, what was reported of them and what was written.
    """

    classification: dict[str, Any]
    reports: dict[str, Any]
    drafts: list[DraftExample]

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as plain JSON values."""
        return {"classification": self.classification, "report_generation": self.reports}

    def put_on(self, report: RunReport) -> RunReport:
        """Return the page's inputs with the two parts."""
        rows = {
            f"{mean} {kind} of findings": {
                title: self.reports[system]["clinical"][mean][kind] for system, title in SYSTEMS.items()
            }
            for mean in ("micro", "macro")
            for kind in ("precision", "recall", "f1")
        }
        rows |= {
            words: {title: self.reports[system]["text"][name] for system, title in SYSTEMS.items()}
            for name, words in TEXT.items()
            if name in self.reports["generator"]["text"]
        }
        note = f"{self.reports['studies']} test studies; the constant reports were chosen among training reports."
        named = {title: self.classification[name] for name, title in MEASURES.items() if name in self.classification}
        return replace(
            report, classification={"linear probe": named}, drafts=self.drafts, draft_scores=DraftScores(rows, note)
        )


def measure_tasks(
    run: Path,
    datalist: Path,
    work: Path,
    *,
    classes: Sequence[str],
    seed: int,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
) -> DemoTasks:
    """Train a linear probe and a report generator on the pretrained encoder, and measure both on the test split.

    Args:
        run: of the pretraining.
        datalist: of the phantom.
        work: folder of the two runs.
        classes: of the datalist.
        seed: of both.
        settings: overrides of `linear_probe.json` and `train_report.json`, under `probe` and `generator`.
    """
    given: dict[str, Mapping[str, Any]] = {"probe": {}, "generator": {}, **dict(settings or {})}
    found = classify_by_training(
        "linear_probe", run, datalist, work / "probe", seed=seed, settings={**PROBE, **given["probe"]}
    )
    folder = train_report_generator(
        run, datalist, work / "reports", settings={**GENERATOR, "seed": seed, **given["generator"]}
    )
    writer, judge = load_report_generator(folder), choose_labeller(classes)
    test = load_records(datalist, "test", limit=TESTED)
    reports = evaluate_reports(writer, test, training=load_records(datalist, "training"), judge=judge, seed=seed)
    form, drafts = writer.loaded.report_format, []
    shown = [record for record in test if any(value == 1 for value in record["label"])][:EXAMPLES]  # by place
    written = writer.generate([record["image"] for record in shown])
    for report in written.results:
        record = shown[report.index]
        drafts.append(
            judge_draft(
                read_radiograph(record["image"])[0],
                report,
                form.target_sentences(record),
                {name for name, value in zip(classes, record["label"], strict=True) if value == 1},
                judge.labeller,
            )
        )
    macro = found.metrics["test"]["macro"]
    return DemoTasks({name: macro[name] for name in MEASURES if name in macro}, reports, drafts)
