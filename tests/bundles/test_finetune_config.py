"""finetune.json, and the published probe on top of it: results, properties, resuming, two processes, real data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from monai.bundle import ConfigParser

from monai_place.data.sources import prepare_source
from monai_place.engines import load_training_state, read_history
from tests.bundles.classification import MULTI, SAME_WORK, assert_equal_runs, assert_same_numbers, metrics, run, run_two
from tests.bundles.conftest import BUNDLE
from tests.support.commands import missing_properties
from tests.support.models import save_tiny_place

CONFIG = "finetune.json"
PROBE = [CONFIG, "mgca_probe.json"]
LIMITED: dict[str, Any] = {"limit": 16}
ALONE = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "0"}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny model."""
    folder = tmp_path_factory.mktemp("finetuned") / "model"
    save_tiny_place(folder)
    return folder


@pytest.fixture(scope="module")
def tuned(checkpoint: Path, datalist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run of three epochs. Tests do not change it."""
    folder = tmp_path_factory.mktemp("finetune") / "run"
    ended = run(CONFIG, folder, checkpoint=str(checkpoint), datalist=str(datalist), **LIMITED)
    assert ended.code == 0, ended.output
    return folder


@pytest.fixture(scope="module")
def published(checkpoint: Path, datalist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the published probe, of three epochs. Tests do not change it."""
    folder = tmp_path_factory.mktemp("published") / "run"
    ended = run(PROBE, folder, checkpoint=str(checkpoint), datalist=str(datalist), **LIMITED)
    assert ended.code == 0, ended.output
    return folder


def test_the_command_trains_the_whole_encoder(tuned: Path, checkpoint: Path) -> None:
    values = metrics(tuned)
    assert (values["kind"], values["mode"], values["training_studies"]) == ("finetune", "clean", 16)
    trained = load_training_state(tuned / "best.pt")
    before = torch.load(checkpoint / "model.pt", weights_only=True)
    encoder = {key.removeprefix("encoder."): value for key, value in trained.items() if key.startswith("encoder.")}
    assert encoder
    moved = [key for key, value in encoder.items() if not torch.equal(value, before[key])]
    assert {"image_encoder.vit.patch_embed.proj.layers.0.weight", "image_encoder.vit.norm.weight"} <= set(moved)
    step = read_history(tuned / "history.jsonl")[0]
    assert step["lr/layer_00.decay"] < step["lr/layer_03.decay"] == pytest.approx(0.0005, rel=0.1)


@pytest.mark.parametrize("config", [CONFIG, "linear_probe.json"])
def test_what_is_selected_by_auroc_has_the_greatest(config: str) -> None:
    parser = ConfigParser()
    parser.read_config(str(BUNDLE / "configs" / config))
    for part in ("best", "stopping"):
        assert parser.get(f"{part}#mode") == "@selection"
    assert parser.get_parsed_content("selection") == "min"
    parser.update({"select": "val_auroc"})
    assert parser.get_parsed_content("selection") == "max"
    parser.update({"select": "val_aurocc"})
    with pytest.raises(RuntimeError, match="selection_mode"):
        parser.get_parsed_content("selection")


@pytest.mark.parametrize(
    "configs",
    [
        pytest.param([CONFIG], id="finetune"),
        pytest.param(PROBE, id="mgca_probe"),
        pytest.param([CONFIG, MULTI.name], id="finetune_multi_gpu"),
        pytest.param([*PROBE, MULTI.name], id="mgca_probe_multi_gpu"),
    ],
)
def test_no_property_is_missing(configs: list[str], checkpoint: Path, datalist: Path, tmp_path: Path) -> None:
    settings = {"datalist": str(datalist), "output_dir": str(tmp_path / "run"), "checkpoint": str(checkpoint)}
    files = [BUNDLE / "configs" / name for name in configs]
    assert missing_properties(files, "train", log=tmp_path / "log", environment=ALONE, batch_size=8, **settings) == []


@pytest.mark.parametrize(
    ("config", "whole"), [pytest.param(CONFIG, "tuned", id="finetune"), pytest.param(PROBE, "published", id="mgca")]
)
def test_a_run_that_goes_on_equals_the_one_that_never_stopped(
    config: str | list[str],
    whole: str,
    checkpoint: Path,
    datalist: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    options = {"checkpoint": str(checkpoint), "datalist": str(datalist), **LIMITED}
    # The schedule is that of three epochs; the trainer ends after the first.
    first = run(config, tmp_path / "run", **{"train#trainer#max_epochs": 1}, **options)
    assert first.code == 0, first.output
    second = run(config, tmp_path / "run", resume="auto", **options)
    assert second.code == 0, second.output
    assert_equal_runs(tmp_path / "run", request.getfixturevalue(whole))


def test_the_published_probe_freezes_crops_and_keeps_its_rate(published: Path, checkpoint: Path) -> None:
    values = metrics(published)
    assert (values["mode"], values["seed"]) == ("mgca", 42)
    trained = load_training_state(published / "best.pt")
    before = torch.load(checkpoint / "model.pt", weights_only=True)
    encoder = {key.removeprefix("encoder."): value for key, value in trained.items() if key.startswith("encoder.")}
    assert all(torch.equal(value, before[key]) for key, value in encoder.items())
    steps = [row for row in read_history(published / "history.jsonl") if row["kind"] == "train"]
    assert {value for row in steps for key, value in row.items() if key.startswith("lr/")} == {0.0005}


@pytest.mark.dist
@pytest.mark.slow
@pytest.mark.parametrize("configs", [pytest.param([CONFIG], id="finetune"), pytest.param(PROBE, id="mgca_probe")])
def test_two_processes_have_the_numbers_of_one(
    configs: list[str], checkpoint: Path, datalist: Path, tmp_path: Path
) -> None:
    (tmp_path / "same.json").write_text(json.dumps(SAME_WORK))
    options = {"checkpoint": str(checkpoint), "datalist": str(datalist), "epochs": 2, **LIMITED}
    ended = run([*configs, f"{tmp_path}/same.json"], tmp_path / "one", **options)
    assert ended.code == 0, ended.output
    run_two([*configs, str(MULTI), f"{tmp_path}/same.json"], tmp_path / "two", **{**options, "batch_size": 4})
    assert_same_numbers(tmp_path / "one", tmp_path / "two")


@pytest.mark.shared
@pytest.mark.parametrize("config", [pytest.param(CONFIG, id="finetune"), pytest.param(PROBE, id="mgca_probe")])
def test_one_finding_of_the_real_data_is_learnt(
    config: str | list[str], checkpoint: Path, covid19_cxr: Path, tmp_path: Path
) -> None:
    report = prepare_source("covid19-cxr", covid19_cxr, tmp_path / "datalist")
    options = {"checkpoint": str(checkpoint), "datalist": str(report.datalist), "epochs": 1, "limit": 40}
    ended = run(config, tmp_path / "run", task="binary", target_class="COVID-19", **options)
    assert ended.code == 0, ended.output
    values = metrics(tmp_path / "run")
    assert list(values["test"]["per_class"]) == ["COVID-19"]
    assert values["mode"] == ("clean" if config == CONFIG else "mgca")
