"""Training of a report generator as one call: what `monai-place train-report` and the demo run."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_place.data.datalist import read_datalist
from monai_place.engines.bundle import bundle_folder, run_bundle

__all__ = ["CONFIG", "report_settings", "train_report_generator"]

CONFIG = "train_report.json"


def train_report_generator(
    checkpoint: str | os.PathLike[str],
    datalist: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
) -> Path:
    """Train a report generator on a pretrained PLACE through the bundle's `train_report.json`.

    Args:
        checkpoint: a run, a bundle or a model folder.
        datalist: with reports in training and validation.
        out: folder of the run.
        settings: overrides of the config, such as `epochs` or `sections`.
        resume: go on where the run in `out` stopped.

    Returns:
        The generator's folder, for `load_report_generator`.

    Raises:
        FileExistsError: `out` holds a run, and `resume` is False.
        ValueError: a split has no report.
    """
    out = Path(out)
    if not resume and any((out / "checkpoints").glob("checkpoint_*.pt")):
        raise FileExistsError(f"{out.name!r} holds a run already; go on with resume, or choose another folder")
    given = report_settings(checkpoint, datalist, settings, resume=resume)
    run_bundle(bundle_folder(), given, config=CONFIG, output=out)
    return out / "generator"


def report_settings(
    checkpoint: str | os.PathLike[str],
    datalist: str | os.PathLike[str],
    settings: Mapping[str, Any] | None = None,
    *,
    resume: bool = False,
) -> dict[str, Any]:
    """Return the settings of the bundle for a training, checked before anything is written.

    Args:
        checkpoint: see `train_report_generator`.
        datalist: see there.
        settings: see there.
        resume: see there.

    Raises:
        ValueError: a split has no report.
    """
    splits = read_datalist(datalist).splits
    for split in ("training", "validation"):
        if not any(record.get("report") or record.get("report_path") for record in splits[split]):
            name = Path(datalist).name
            raise ValueError(f"{name}: no study of split {split!r} has a report; a generator needs some in each")
    known = {"checkpoint": str(checkpoint), "datalist": str(datalist), "resume": "auto" if resume else "never"}
    return {**known, **dict(settings or {})}
