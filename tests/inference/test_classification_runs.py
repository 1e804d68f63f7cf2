"""A classification as one call; the configs' own tests are in tests/bundles."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from monai_place.data.phantom import write_phantom
from monai_place.inference.classification_runs import classification_configs, classify_by_training

SETTINGS = {"epochs": 1, "bootstrap": 10, "target_class": None}


@pytest.fixture(scope="module")
def datalist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the datalist of 30 small phantom studies."""
    return write_phantom(tmp_path_factory.mktemp("small"), studies=30, size=64, seed=1, fractions=(0.5, 0.2, 0.3))


@pytest.fixture(autouse=True)
def _unchanged_logging() -> Iterator[None]:
    """Give the root logger its handlers and level back: MONAI sets them as a bundle's logging.conf says."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


def test_a_call_gives_scores_and_measures_and_a_second_one_reads_them(
    model_folder: Path, datalist: Path, tmp_path: Path
) -> None:
    options = {"fraction": 0.5, "seed": 3, "settings": SETTINGS | {"cache_dir": str(tmp_path / "cache")}}
    one = classify_by_training("linear_probe", model_folder, datalist, tmp_path / "one", **options)  # type: ignore[arg-type]
    half = round(0.5 * len(json.loads(datalist.read_text())["training"]))
    found = (one.metrics["seed"], one.metrics["fraction_seed"], one.metrics["training_studies"])
    assert found == (3, 3, half)
    assert len(one.scores["test"].ids) == one.metrics["test"]["studies"]
    written = (tmp_path / "one" / "metrics.json").stat().st_mtime_ns
    again = classify_by_training("linear_probe", model_folder, datalist, tmp_path / "one", **options)  # type: ignore[arg-type]
    assert again.metrics == one.metrics
    assert (tmp_path / "one" / "metrics.json").stat().st_mtime_ns == written
    assert json.loads((tmp_path / "one" / "run.json").read_text())["seed"] == 3
    changes = {
        "fraction 0.5, not 0.2": {"fraction": 0.2},
        "seed 3, not 4": {"seed": 4},
        "weights None, not 'random'": {"weights": "random"},
        "epochs 1, not 2": {"settings": {**SETTINGS, "epochs": 2}},
    }
    for said, change in changes.items():
        with pytest.raises(ValueError, match=f"^the run in 'one' is finished, with {said}; choose another folder$"):
            classify_by_training("linear_probe", model_folder, datalist, tmp_path / "one", **{**options, **change})  # type: ignore[arg-type]
    moved = datalist.parent / ".." / datalist.parent.name / datalist.name
    classify_by_training("linear_probe", model_folder, moved, tmp_path / "one", **options)  # type: ignore[arg-type]
    random = classify_by_training(
        "linear_probe",
        model_folder,
        datalist,
        tmp_path / "random",
        weights="random",
        **options,  # type: ignore[arg-type]
    )
    assert random.metrics["encoder"] == "random 3"


def test_pairs_of_kind_and_mode() -> None:
    assert classification_configs("linear_probe") == ("linear_probe.json",)
    assert classification_configs("finetune") == ("finetune.json",)
    with pytest.raises(ValueError, match="there is no mode 'mgca' of 'finetune'"):
        classification_configs("finetune", "mgca")
    with pytest.raises(ValueError, match="kind is 'probe' and mode is 'clean', expected of"):
        classification_configs("probe")
