"""A small report with every part, made of phantom studies and made-up numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from monai_place.data.phantom import render_study
from monai_place.visualize import (
    Estimate,
    GroundingExample,
    RetrievalExample,
    RetrievedItem,
    RocScores,
    RunReport,
    grounding_diagnostic,
    swapped_image_diagnostic,
)

CLASSES = ["cardiomegaly", "pleural effusion", "nodule"]


@pytest.fixture(scope="session")
def studies():
    return [render_study(0, number, size=64) for number in range(8)]


@pytest.fixture(scope="session")
def roc() -> RocScores:
    rng = np.random.default_rng(0)
    labels = (rng.random((80, 3)) < 0.4).astype(float)
    labels[:7, 0] = np.nan
    scores = {name: np.nan_to_num(labels) * 1.2 + rng.normal(size=labels.shape) for name in ("global", "local")}
    return RocScores(
        scores,
        labels,
        CLASSES,
        auroc={"global": [(0.81, 0.72, 0.9), (0.77, 0.7, 0.85), (0.64, 0.55, 0.71)]},
        macro={"global": (0.74, 0.7, 0.78)},
    )


@pytest.fixture(scope="session")
def history() -> list[dict[str, float]]:
    rows: list[dict[str, float]] = []
    for step in range(10, 610, 10):
        fall = float(np.exp(-step / 200))
        rows.append({"iteration": step, "epoch": 1, "loss": 3 + 4 * fall, "ita": 1 + 2 * fall, "lr": 1e-4 * fall})
        if step % 200 == 0:
            rows.append({"iteration": step, "val/loss": 3.2 + 4 * fall, "val/auroc_global": 0.7 - 0.2 * fall})
    return rows


@pytest.fixture(scope="session")
def report(studies, roc, history) -> RunReport:
    grounded = next(study for study in studies if study.findings)
    mask = grounded.findings[0].mask
    heat = np.where(mask, 1.0, 0.1)
    heat[:, :4] = np.nan
    by_image = RetrievalExample(
        [RetrievedItem(0.9 - 0.1 * k, k == 1, text=studies[k].report) for k in range(5)],
        query_image=studies[1].image,
        right_rank=2,
        candidates=200,
    )
    by_text = RetrievalExample(
        [RetrievedItem(0.9 - 0.1 * k, k == 0, image=studies[k].image) for k in range(5)], query_text=studies[0].report
    )
    return RunReport(
        "PLACE on the phantom",
        subtitle="place_tiny, 600 steps",
        metrics={
            "Zero-shot AUROC, global": Estimate(0.7394, 0.719, 0.759, note="chance 0.500"),
            "Image to report, R@5": Estimate(0.097, 0.074, 0.121, unit="%"),
            "Not measured": float("nan"),
        },
        history=history,
        roc=roc,
        linear_probe={"PLACE": {0.1: (0.79, 0.77, 0.81), 1.0: 0.83}, "untrained": {0.1: 0.64, 1.0: 0.71}},
        diagnostics=[swapped_image_diagnostic(3.32, 5.52), grounding_diagnostic(0.18, 0.82, 0.09)],
        retrieval_examples=[by_image, by_text],
        grounding_examples=[
            GroundingExample(grounded.image, "Left effusion.", heat, mask, prior=heat, scores={"pointing game": "hit"})
        ],
        settings={"preset": "place_tiny", "seed": 7, "loss": {"pcma_weight": 0.5}},
        versions={"torch": "2.12.1"},
        notes=["The data is drawn by a program."],
        data_note="Synthetic phantom data",
    )


@pytest.fixture(scope="session")
def with_texts(report):
    """Return a function that puts one text into every place of a report where a text can stand."""

    def fill(text: str) -> RunReport:
        retrieval = [
            replace(
                example,
                query_text=None if example.query_text is None else text,
                items=[replace(item, text=None if item.text is None else text) for item in example.items],
            )
            for example in report.retrieval_examples
        ]
        return replace(
            report,
            title=text,
            subtitle=text,
            metrics={text: Estimate(1.0, 0.0, 1.0, unit=text, note=text)},
            history=[{"iteration": 1, "loss": 1.0, text: 1.0, "val/" + text: 2.0}, {"iteration": 2, text: 1.0}],
            roc=replace(report.roc, classes=[text, text, text], scores={text: report.roc.labels}, auroc={}, macro={}),
            linear_probe={text: {1.0: Estimate(0.5, unit=text)}},
            diagnostics=[replace(report.diagnostics[0], name=text, values={text: 1.0}, unit=text, reading=text)],
            retrieval_examples=retrieval,
            grounding_examples=[replace(report.grounding_examples[0], sentence=text, scores={text: text})],
            settings={text: text},
            versions={text: text},
            notes=[text],
            data_note=text,
        )

    return fill
