"""A classification from checkpoint to numbers as one call: the bundle's config, run in this process.

The configs are the one place that says how a probe or a fine-tuning goes; a call, the commands `monai-place probe` and
`monai-place finetune`, and `python -m monai.bundle run` do the same. Not a medical device.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from monai_place.engines.bundle import SETTINGS, bundle_folder, run_bundle
from monai_place.inference.classification import METRICS, SplitScores, read_scores

__all__ = ["ClassificationKind", "ClassificationResult", "classification_configs", "classify_by_training"]

ClassificationKind = Literal["linear_probe", "finetune"]
ProtocolMode = Literal["clean", "mgca"]

# The published linear probe sees its images anew in each epoch, cropped at random, so that no features can be kept:
# it is a fine-tuning whose encoder is frozen.
CONFIGS: dict[tuple[str, str], tuple[str, ...]] = {
    ("linear_probe", "clean"): ("linear_probe.json",),
    ("linear_probe", "mgca"): ("finetune.json", "mgca_probe.json"),
    ("finetune", "clean"): ("finetune.json",),
}
PATHS = ("checkpoint", "datalist", "weights", "ids")
WITHOUT_EFFECT = ("resume", "cache_dir", "device", "num_workers", "checkpoint_interval_iterations")


@dataclass(frozen=True, eq=False)
class ClassificationResult:
    """What a run leaves.

    Args:
        folder: of the run.
        metrics: content of `metrics.json`: measures of `validation` and `test` with intervals, and what was run.
        scores: probabilities and labels by split and study.
    """

    folder: Path
    metrics: dict[str, Any]
    scores: dict[str, SplitScores]


def classification_configs(kind: str, mode: str = "clean") -> tuple[str, ...]:
    """Return the bundle's configs of a kind and a mode, a later one on top of those before it.

    Args:
        kind: `linear_probe` or `finetune`.
        mode: `clean`, or `mgca` for the linear probe as it was published.

    Raises:
        ValueError: there is no such pair.

    Example:
        >>> classification_configs("linear_probe", "mgca")
        ('finetune.json', 'mgca_probe.json')
    """
    if kind not in get_args(ClassificationKind) or mode not in get_args(ProtocolMode):
        known = f"{get_args(ClassificationKind)} and {get_args(ProtocolMode)}"
        raise ValueError(f"kind is {kind!r} and mode is {mode!r}, expected of {known}")
    if (kind, mode) not in CONFIGS:
        raise ValueError(f"there is no mode {mode!r} of {kind!r}: the published protocol only probes")
    return CONFIGS[kind, mode]


def classify_by_training(
    kind: ClassificationKind,
    checkpoint: str | os.PathLike[str],
    datalist: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    weights: str | os.PathLike[str] | None = None,
    mode: ProtocolMode = "clean",
    fraction: float | None = None,
    seed: int | None = None,
    settings: Mapping[str, Any] | None = None,
    resume: bool = False,
) -> ClassificationResult:
    """Train a classifier on an encoder, and return its scores and measures.

    A folder that holds a whole result of the same settings is read and nothing is done, so that a matrix of runs can be
    taken up.

    Args:
        kind: `linear_probe` (the encoder stays as it is) or `finetune`.
        checkpoint: see `monai_place.inference.encoders.load_encoder`.
        datalist: with labels; `training` is learnt from, `validation` chooses weights and thresholds.
        output: folder of the run.
        weights: see `load_encoder`.
        mode: `clean`, or `mgca` (linear probe).
        fraction: share of the labeled training records; None is the config's.
        seed: of everything that is drawn, the share among it; None is the config's.
        settings: any other setting of the config. A `cache_dir` that several linear probes share lets each image be
            seen once.
        resume: go on where an interrupted run stopped.

    Raises:
        ValueError: a setting does not fit, or the folder holds the result of other settings.
        FileNotFoundError: there is no checkpoint, or no validation gave a finite loss.
    """
    folder, configs = Path(output), classification_configs(kind, mode)
    given = {"weights": None if weights is None else str(weights), "fraction": fraction, "seed": seed}
    values: dict[str, Any] = {"checkpoint": str(checkpoint), "datalist": str(datalist), "mode": mode}
    values |= {key: value for key, value in given.items() if value is not None}
    values |= {key: "$None" if value is None else value for key, value in (settings or {}).items()}
    if (folder / METRICS).is_file():
        _require_same_settings(folder, values, configs)
    else:
        run_bundle(bundle_folder(), {**values, "resume": "auto" if resume else "never"}, config=configs, output=folder)
    metrics = json.loads((folder / METRICS).read_text(encoding="utf-8"))
    return ClassificationResult(folder, metrics, read_scores(folder))


def _require_same_settings(folder: Path, values: Mapping[str, Any], configs: Sequence[str]) -> None:
    """Raise where a finished run was made with other settings than are asked for now."""
    if not (folder / SETTINGS).is_file():
        return
    defaults: dict[str, Any] = {}
    for name in configs:
        defaults |= json.loads((bundle_folder() / "configs" / name).read_text(encoding="utf-8"))
    was = {**defaults, **json.loads((folder / SETTINGS).read_text(encoding="utf-8"))}
    now = {**defaults, **json.loads(json.dumps(values))}  # as `run.json` has them
    for key in sorted({*was, *now} - {*WITHOUT_EFFECT}):
        old, new = (None if each.get(key) == "$None" else each.get(key) for each in (was, now))
        if old != new and not (key in PATHS and _same_path(old, new)):
            old, new = (Path(each).name if key in PATHS and each else each for each in (old, new))
            raise ValueError(
                f"the run in {folder.name!r} is finished, with {key} {old!r}, not {new!r}; choose another folder"
            )


def _same_path(old: Any, new: Any) -> bool:
    """Tell whether two paths lead to one place; one that was relative to a folder of the past counts by its name."""
    if not (isinstance(old, str) and isinstance(new, str)):
        return False
    if Path(old).exists() and Path(new).exists():
        return Path(old).samefile(new)
    return not Path(old).exists() and not Path(old).is_absolute() and Path(old).name == Path(new).name
