"""The demo's classification: a linear probe on frozen features, by the bundle's own config."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_place.inference.classification_runs import classify_by_training

__all__ = ["MEASURES", "classify_test_split"]

# A rate at which this few epochs converge; the published 5e-4 takes 50.
PROBE: dict[str, Any] = {"epochs": 15, "batch_size": 64, "lr": 2e-3, "patience": 5, "val_interval": 3}
MEASURES = {
    "auroc": "AUROC",
    "auprc": "AUPRC",
    "f1": "F1",
    "sensitivity_at_specificity": "sensitivity at 90 % specificity",
    "ece": "calibration error",
}


def classify_test_split(
    run: Path, datalist: Path, out: Path, *, seed: int, settings: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Train a linear probe on the pretrained encoder, and measure it on the test split.

    Args:
        run: of the pretraining.
        datalist: of the phantom.
        out: folder of the probe's run.
        seed: of the probe.
        settings: of `linear_probe.json`, in place of the demo's.

    Returns:
        Measure in words -> estimate with its interval, macro over the findings.
    """
    found = classify_by_training(
        "linear_probe", run, datalist, out, seed=seed, settings={**PROBE, **dict(settings or {})}
    )
    macro = found.metrics["test"]["macro"]
    return {words: macro[name] for name, words in MEASURES.items() if name in macro}
