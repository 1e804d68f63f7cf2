"""The demo: phantom -> pretraining through the bundle -> evaluation -> downstream tasks -> one page."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from monai_place.atomic import write_json_atomic
from monai_place.cli.common import count_progress
from monai_place.cli.demo_reports import draft_reports
from monai_place.cli.demo_tasks import classify_test_split
from monai_place.cli.demo_toolboxes import TASKS, compare_starts, toolboxes_are_missing
from monai_place.cli.machine import check_machine
from monai_place.data.datalist import load_records, read_datalist
from monai_place.data.phantom import write_phantom
from monai_place.data.radiograph import read_mask, read_radiograph
from monai_place.engines import build_place_model, read_history
from monai_place.engines.bundle import new_bundle, run_bundle
from monai_place.inference import LoadedPLACE, PLACEPredictor, load_place
from monai_place.inference.collect import CollectedStudies, collect_studies, fit_location_prior
from monai_place.inference.evaluate import evaluate_studies
from monai_place.inference.probe import linear_probe_auroc, probe_features
from monai_place.metrics import BootstrapInterval, LocationPrior
from monai_place.networks import PRESETS
from monai_place.visualize import (
    Diagnostic,
    DownstreamTask,
    GroundingExample,
    RetrievalExample,
    RetrievedItem,
    RocScores,
    RunReport,
    grounding_diagnostic,
    report_use_diagnostic,
    slot_sameness_diagnostic,
    slot_use_diagnostic,
    swapped_image_diagnostic,
    write_run_report,
)

__all__ = ["run_demo", "run_report"]

logger = logging.getLogger(__name__)

PARTS = ("data", "run", "tasks", "toolboxes", "report.html", "metrics.json")
MARK = "demo.json"
SIZE = 128
FRACTIONS = (0.01, 0.1, 1.0)
# 763 steps of 32, a few minutes on two cores: random pose and exposure would only slow learning down (docs/method.md).
SETTINGS: dict[str, Any] = {
    "preset": "place_tiny",
    "epochs": 7,
    "batch_size": 32,
    "val_interval": 7,
    "augment_prob": 0.0,
}


def run_demo(
    out: Path,
    *,
    studies: int = 5000,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    toolbox_steps: int | None = None,
) -> dict[str, Any]:
    """Run the whole path, and write `report.html` and `metrics.json` into `out`.

    Args:
        out: folder of the demo; an earlier demo in it is replaced.
        studies: of the phantom.
        seed: of the phantom and of the training.
        settings: overrides of the bundle's train.json.
        toolbox_steps: steps of each training in MMSegmentation and MMDetection; None takes the usual number, 0 leaves
            that part out.

    Returns:
        The numbers on the phantom's test split, as `metrics.json` holds them.

    Raises:
        FileExistsError: `out` holds files of these names that no demo wrote; nothing is removed.
    """
    begin = time.monotonic()
    _make_room(out)
    with count_progress("phantom") as progress:
        datalist = write_phantom(out / "data", studies=studies, size=SIZE, seed=seed, workers=2, progress=progress)
    chosen = {**SETTINGS, "seed": seed, **dict(settings or {})}
    run = new_bundle(out / "run")
    run_bundle(run, {"datalist": str(datalist), **chosen})
    trained_s = time.monotonic() - begin
    loaded = load_place(run)
    test, classes = load_records(datalist, "test"), read_datalist(datalist).classes
    prior = fit_location_prior(load_records(datalist, "training"))
    with count_progress("evaluate") as progress:
        collected = collect_studies(loaded, test, classes=classes, prior=prior, progress=progress)
    values = evaluate_studies(collected, seed=seed)
    probe = _probe(loaded, load_records(datalist, "training"), test, collected, classes, seed=seed)
    values["linear_probe"] = {
        name: {str(share): result.to_dict() for share, result in row.items()} for name, row in probe.items()
    }
    values["classification"] = classify_test_split(run, datalist, out / "tasks" / "probe", seed=seed)
    drafts = draft_reports(run, datalist, out / "tasks" / "reports", seed=seed)
    values["report_generation"] = drafts.values
    fits = loaded.model.config.image_kwargs == PRESETS["place_tiny"].image_kwargs
    downstream = _toolboxes(datalist, run, out / "toolboxes", steps=toolbox_steps) if fits else []
    if not fits:
        logger.warning("the encoder is not place_tiny's, which the configs of the toolboxes' part are for: left out")
    values["downstream"] = [{"task": t.name, "metric": t.metric, "scores": dict(t.scores)} for t in downstream]
    values["seconds"] = {"phantom_and_pretraining": round(trained_s), "all": round(time.monotonic() - begin)}
    report = run_report(loaded, collected, values, test, prior=prior, history=read_history(run / "history.jsonl"))
    report = replace(
        _with_settings(report, chosen, studies, values),
        classification={"linear probe": values["classification"]},
        drafts=drafts.examples,
        draft_scores=drafts.scores,
        downstream=downstream,
    )
    write_run_report(out / "report.html", report, show_text=True)
    write_json_atomic(out / "metrics.json", values)
    return values


def _toolboxes(datalist: Path, run: Path, work: Path, *, steps: int | None) -> list[DownstreamTask]:
    """Train in MMSegmentation and MMDetection where they are installed; `steps` in the place of each task's own."""
    if steps == 0:
        return []
    if missing := toolboxes_are_missing():
        logger.warning("%s not installed: that part is left out (pip install 'monai-place[mm]')", " and ".join(missing))
        return []
    tasks = TASKS if steps is None else [replace(task, steps=steps) for task in TASKS]
    with count_progress("toolboxes") as progress:
        return compare_starts(datalist, run, work, size=SIZE, tasks=tasks, progress=progress)


def run_report(
    loaded: LoadedPLACE,
    collected: CollectedStudies,
    values: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
    *,
    prior: LocationPrior | None,
    history: Sequence[Mapping[str, Any]],
) -> RunReport:
    """Put the numbers and a few examples of an evaluated model into the form of the page.

    Args:
        loaded: the model.
        collected: what it made of `records`.
        values: from `evaluate_studies`, with `linear_probe` where there is one.
        records: of the test split.
        prior: text-only location prior.
        history: of the training.
    """
    zero, found = values["zero_shot"], values["diagnostics"]
    modes = [mode for mode in ("global", "local") if zero.get(mode)]
    metrics = {f"Zero-shot AUROC, {mode}": zero[mode]["macro"] for mode in modes}
    if values["retrieval"]:
        recall = values["retrieval"]["image_to_text"]["intervals"]["recall_at_5"]
        metrics["Image to report, recall at 5"] = recall
    if values["grounding"]:
        metrics["Grounding, pointing game"] = values["grounding"]["pointing"]["model"]
    by_id = {record["id"]: record for record in records}
    return RunReport(
        title="PLACE on the built-in phantom",
        metrics=metrics,
        history=list(history),
        roc=RocScores(
            scores={mode: collected.scores[mode].numpy() for mode in modes},
            labels=collected.labels.numpy(),
            classes=list(collected.classes),
            auroc={mode: [zero[mode]["per_finding"][name] for name in collected.classes] for mode in modes},
            macro={mode: zero[mode]["macro"] for mode in modes},
        )
        if modes
        else None,
        linear_probe={
            name: {float(share): entry for share, entry in row.items()}
            for name, row in values.get("linear_probe", {}).items()
        },
        diagnostics=_diagnostics(found, values["grounding"], loaded.model.config.queries),
        retrieval_examples=_retrieval_examples(collected, by_id),
        grounding_examples=_grounding_examples(loaded, by_id.values(), prior),
        versions=check_machine()["versions"],
    )


def _with_settings(
    report: RunReport, settings: Mapping[str, Any], studies: int, values: Mapping[str, Any]
) -> RunReport:
    return replace(
        report,
        subtitle=f"{studies:,} synthetic studies, tested on {values['studies']:,} that training never saw",
        settings={
            **settings,
            "image size": SIZE,
            "minutes for phantom and pretraining": round(values["seconds"]["phantom_and_pretraining"] / 60, 1),
            "threads": torch.get_num_threads(),
        },
        notes=[
            "One seed and a few minutes of training: intervals are over test studies, not over seeds.",
            "Findings are described to the model by text prompts alone; no label was used in pretraining.",
            "The text-only location prior knows where such findings usually lie and sees no image; a grounding number "
            "below it is no evidence that the model looks at the finding.",
        ],
        data_note="synthetic phantom data",
    )


def _probe(
    loaded: LoadedPLACE,
    train: Sequence[Mapping[str, Any]],
    test: Sequence[Mapping[str, Any]],
    collected: CollectedStudies,
    classes: Sequence[str],
    *,
    seed: int,
) -> dict[str, dict[float, BootstrapInterval]]:
    """Linear probes on frozen features: the pretrained network, and the same network untrained."""
    from dataclasses import replace

    fresh = build_place_model(loaded.model.config.to_dict(), loaded.tokenizer, seed=seed).eval()
    untrained = replace(loaded, model=fresh)
    rows: dict[str, dict[float, BootstrapInterval]] = {}
    for name, model in (("pretrained", loaded), ("untrained", untrained)):
        fitted = probe_features(model, train, classes=classes)
        known = (collected.pooled, collected.labels)
        tested = known if model is loaded else probe_features(model, test, classes=classes)
        rows[name] = {
            share: linear_probe_auroc(*fitted, *tested, share, findings=list(classes), seed=seed)["macro"]
            for share in FRACTIONS
        }
    return rows


def _diagnostics(found: Mapping[str, Any], grounding: Mapping[str, Any], slots: int) -> list[Diagnostic]:
    rows = [
        swapped_image_diagnostic(found["pcma_right"], found["pcma_swapped"]),
        slot_use_diagnostic(found["slot_perplexity"], slots),
        slot_sameness_diagnostic(found["slot_cosine"]),
    ]
    if "cce_explained" in found:
        rows.append(report_use_diagnostic(found["cce_explained"], found["cce_explained_shuffled"]))
    if grounding and "prior" in grounding["pointing"]:
        pointing = grounding["pointing"]
        rows.append(grounding_diagnostic(pointing["model"], pointing["prior"], pointing["chance"]))
    return rows


def _retrieval_examples(
    collected: CollectedStudies, records: Mapping[str, Mapping[str, Any]], *, count: int = 3
) -> list[RetrievalExample]:
    """Return the first studies with a finding as queries: chosen by place, not by success."""
    scores = collected.images @ collected.reports.t()
    positive = (collected.labels.nan_to_num(0) > 0).any(dim=1) & ~collected.reports.isnan().any(dim=1)
    examples = []
    for row in torch.nonzero(positive).flatten().tolist()[:count]:
        order = scores[row].nan_to_num(-2).argsort(descending=True)
        rank = int((order == row).nonzero()) + 1
        items = [
            RetrievedItem(float(scores[row, place]), place == row, text=collected.report_texts[place])
            for place in order[:5].tolist()
        ]
        picture = read_radiograph(records[collected.ids[row]]["image"])[0]
        examples.append(RetrievalExample(items, query_image=picture, right_rank=rank, candidates=len(order)))
    return examples


def _grounding_examples(
    loaded: LoadedPLACE, records: Any, prior: LocationPrior | None, *, count: int = 6
) -> list[GroundingExample]:
    """Return the first positive sentence of each class in turn: chosen by place, not by success."""
    predictor, seen, examples = PLACEPredictor(loaded), set(), []
    for record in records:
        for sentence in record.get("sentences") or ():
            finding = None if sentence["finding"] is None else record["findings"][sentence["finding"]]
            if finding is None or sentence["polarity"] != "positive" or finding["class"] in seen:
                continue
            seen.add(finding["class"])
            image, mask = read_radiograph(record["image"])[0], read_mask(finding["mask"]) > 0
            grounded = predictor.ground(record["image"], sentence["text"])
            row, column = grounded.peak
            known = (
                None if prior is None else np.asarray(prior.predict(finding, shape=(image.shape[0], image.shape[1])))
            )
            scores = {"pointing game": "hit" if mask[row, column] else "miss"}
            examples.append(GroundingExample(image, sentence["text"], grounded.evidence, mask, known, scores))
            break
        if len(examples) == count:
            break
    return examples


def _make_room(out: Path) -> None:
    """Remove an earlier demo; never what a user keeps under the same names."""
    there = [out / part for part in PARTS if (out / part).exists()]
    if there and not (out / MARK).is_file():
        raise FileExistsError(
            f"{out.name!r} holds {there[0].name!r}, and no demo wrote it ({MARK} is missing); choose another folder"
        )
    for path in there:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    write_json_atomic(out / MARK, {"note": "A demo of monai-place; the next one replaces its files."})
