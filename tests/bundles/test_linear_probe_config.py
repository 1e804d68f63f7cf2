"""linear_probe.json: the shell command, what it leaves, its properties, resuming, two processes, real data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from monai_place.data.sources import prepare_source
from monai_place.engines import read_history
from tests.bundles.classification import MULTI, SAME_WORK, assert_equal_runs, assert_same_numbers, metrics, run, run_two
from tests.bundles.conftest import BUNDLE
from tests.support.commands import missing_properties
from tests.support.models import save_tiny_place

CONFIG = "linear_probe.json"
ALONE = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "0"}


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny model."""
    folder = tmp_path_factory.mktemp("probed") / "model"
    save_tiny_place(folder)
    return folder


@pytest.fixture(scope="module")
def probed(checkpoint: Path, datalist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a probe of three epochs. Tests do not change it."""
    folder = tmp_path_factory.mktemp("probe") / "run"
    ended = run(CONFIG, folder, checkpoint=str(checkpoint), datalist=str(datalist))
    assert ended.code == 0, ended.output
    return folder


def test_the_command_leaves_scores_measures_and_the_features(probed: Path) -> None:
    values = metrics(probed)
    assert (values["kind"], values["mode"], values["features"], values["training_studies"]) == (
        "linear_probe",
        "clean",
        "global",
        42,
    )
    assert "Not a medical device" in values["note"]
    assert values["test"]["studies"] == 12
    assert values["test"]["thresholds"] == values["validation"]["thresholds"]
    scores = json.loads((probed / "scores.json").read_text())["splits"]["test"]
    assert len(scores["ids"]) == len(scores["labels"]) == len(scores["probabilities"]) == 12
    blocks = list((probed / "features").rglob("*.safetensors"))
    assert len(blocks) == 3, "one a split"
    assert not list(probed.rglob(".*")), "temporary files"
    rows = read_history(probed / "history.jsonl")
    assert {"val_loss", "val_auroc", "val_auprc"} <= rows[-1].keys()
    assert values["best"]["metric"] == "val_loss"
    assert values["best"]["value"] == min(row["val_loss"] for row in rows if row["kind"] == "validation")


@pytest.mark.parametrize("more", [pytest.param([], id="alone"), pytest.param([MULTI], id="multi_gpu")])
def test_no_property_is_missing(more: list[Path], checkpoint: Path, datalist: Path, tmp_path: Path) -> None:
    settings = {"datalist": str(datalist), "output_dir": str(tmp_path / "run"), "checkpoint": str(checkpoint)}
    configs = [BUNDLE / "configs" / CONFIG, *more]
    assert missing_properties(configs, "train", log=tmp_path / "log", environment=ALONE, batch_size=8, **settings) == []


def test_a_run_that_goes_on_equals_the_one_that_never_stopped(
    probed: Path, checkpoint: Path, datalist: Path, tmp_path: Path
) -> None:
    options = {"checkpoint": str(checkpoint), "datalist": str(datalist), "cache_dir": str(probed / "features")}
    first = run(CONFIG, tmp_path / "run", **{"train#trainer#max_epochs": 1}, **options)
    assert first.code == 0, first.output
    second = run(CONFIG, tmp_path / "run", resume="auto", **options)
    assert second.code == 0, second.output
    assert "features of 42 images: 0 computed" in second.output, "the cache of another run serves"
    assert_equal_runs(tmp_path / "run", probed)


@pytest.mark.dist
@pytest.mark.slow
def test_two_processes_have_the_numbers_of_one(probed: Path, checkpoint: Path, datalist: Path, tmp_path: Path) -> None:
    (tmp_path / "same.json").write_text(json.dumps(SAME_WORK))
    options = {
        "checkpoint": str(checkpoint),
        "datalist": str(datalist),
        "limit": 40,  # batches of 8, and of 4 twice
        "features": "observations",
    }
    ended = run([CONFIG, f"{tmp_path}/same.json"], tmp_path / "one", **options)
    assert ended.code == 0, ended.output
    run_two([CONFIG, str(MULTI), f"{tmp_path}/same.json"], tmp_path / "two", **{**options, "batch_size": 4})
    assert_same_numbers(tmp_path / "one", tmp_path / "two")
    one, two = (json.loads((tmp_path / name / "scores.json").read_text())["splits"]["test"] for name in ("one", "two"))
    assert one["ids"] == two["ids"]
    assert np.allclose(one["probabilities"], two["probabilities"], atol=1e-5)


@pytest.mark.shared
def test_one_finding_of_the_real_data_is_probed(checkpoint: Path, covid19_cxr: Path, tmp_path: Path) -> None:
    report = prepare_source("covid19-cxr", covid19_cxr, tmp_path / "datalist")
    options = {"checkpoint": str(checkpoint), "datalist": str(report.datalist), "epochs": 2}
    ended = run(CONFIG, tmp_path / "run", task="binary", target_class="COVID-19", **options)
    assert ended.code == 0, ended.output
    values = metrics(tmp_path / "run")
    assert list(values["test"]["per_class"]) == ["COVID-19"]
    assert values["test"]["positives"]["COVID-19"] > 0
