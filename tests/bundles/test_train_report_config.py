"""train_report.json: the shell command, what it leaves, its properties, exact resume, and two processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from monai_place.data.sources import prepare_source
from monai_place.engines import read_history
from monai_place.inference.report_writer import load_report_generator
from tests.bundles.conftest import BUNDLE, ROOT, overrides
from tests.bundles.test_train_config import last_checkpoint
from tests.support.commands import Ended, bundle_command, missing_properties
from tests.support.models import save_tiny_place
from tests.support.training import assert_same

CONFIG = BUNDLE / "configs" / "train_report.json"
MULTI = BUNDLE / "configs" / "multi_gpu_train.json"
SETTINGS: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 8,
    "val_batch_size": 6,
    "sections": ["impression"],
    "max_tokens": 64,
    "max_prompt_tokens": 16,
    "decoder": {"width": 32, "depth": 1, "heads": 2, "dropout": 0.1},
    "amp": False,
}


def words(trained: Path, datalist: Path, output: Path, *configs: Path, **changes: Any) -> list[str]:
    files = [str(path) for path in (CONFIG, *configs)]
    places = {"bundle_root": str(BUNDLE), "checkpoint": str(trained), "datalist": str(datalist)}
    chosen = files[0] if len(files) == 1 else repr(files)
    settings = {**places, "output_dir": str(output), **SETTINGS, **changes}
    return ["run", "--config_file", chosen, *overrides(settings)]


def train(trained: Path, datalist: Path, output: Path, **changes: Any) -> Ended:
    ended = bundle_command(*words(trained, datalist, output, **changes), log=output.with_suffix(".log"))
    assert ended.code == 0, ended.output
    return ended


@pytest.fixture(scope="module")
def written(trained: Path, datalist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run of two epochs."""
    folder = tmp_path_factory.mktemp("report") / "run"
    train(trained, datalist, folder)
    return folder


def test_the_command_leaves_a_generator_that_writes(written: Path, datalist: Path) -> None:
    assert {path.name for path in (written / "generator").iterdir()} == {"model.pt", "tokenizer", "generator.json"}
    rows = read_history(written / "history.jsonl")
    assert {"loss", "token_accuracy"} <= rows[0].keys()
    validations = [row for row in rows if row["kind"] == "validation"]
    assert validations[1]["val_loss"] < validations[0]["val_loss"]
    extra = json.loads((written / "generator" / "generator.json").read_text())["extra"]
    assert extra["best"] == {"metric": "val_loss", "value": validations[1]["val_loss"], "epoch": 2}
    assert extra["reading"] == {"reader": None, "image_steps": []}
    image = next((datalist.parent / "images").iterdir())
    report = load_report_generator(written, device="cpu").generate(image).results[0]
    assert report.sections == ("impression",)


def test_no_property_is_missing(trained: Path, datalist: Path, tmp_path: Path) -> None:
    settings = {"checkpoint": str(trained), "datalist": str(datalist), "output_dir": str(tmp_path), **SETTINGS}
    assert missing_properties([CONFIG], "train", log=tmp_path / "log", **settings) == []


def test_a_run_that_goes_on_equals_the_one_that_never_stopped(
    written: Path, trained: Path, datalist: Path, tmp_path: Path
) -> None:
    # The schedule is that of two epochs; the trainer ends after the first.
    train(trained, datalist, tmp_path / "run", **{"train#trainer#max_epochs": 1})
    train(trained, datalist, tmp_path / "run", resume="auto")
    assert (tmp_path / "run" / "history.jsonl").read_text() == (written / "history.jsonl").read_text()
    assert_same(last_checkpoint(tmp_path / "run"), last_checkpoint(written))
    weights = [torch.load(run / "generator" / "model.pt", weights_only=True) for run in (tmp_path / "run", written)]
    assert_same(*weights)


def test_an_encoder_that_is_trained_sees_augmented_images(trained: Path, datalist: Path, tmp_path: Path) -> None:
    train(trained, datalist, tmp_path / "run", train_encoder=True, augment_prob=0.5, epochs=1, limit=16)
    place = torch.load(trained / "models" / "model.pt", weights_only=True)
    state = torch.load(tmp_path / "run" / "generator" / "model.pt", weights_only=True)
    own = [key for key in place if not key.startswith("prompt_bank.")]  # of the zero-shot classifier, beside the model
    moved = {key for key in own if not torch.equal(place[key], state[f"place.{key}"])}
    assert moved
    assert all(key.startswith(("image_encoder.", "extractor.")) for key in moved)


@pytest.mark.dist
@pytest.mark.slow
def test_two_processes_see_the_losses_of_one(trained: Path, datalist: Path, tmp_path: Path) -> None:
    # Dropout is drawn by each process for itself. Plain SGD, since Adam makes a whole step of the last digit.
    config = tmp_path / "same_work.json"
    sgd = {"_target_": "torch.optim.SGD", "params": "$[p for p in @network.parameters() if p.requires_grad]", "lr": 0.1}
    config.write_text(json.dumps({"optimizer": sgd}))
    same = {"decoder": {**SETTINGS["decoder"], "dropout": 0.0}}
    one, two = tmp_path / "one", tmp_path / "two"
    alone = bundle_command(*words(trained, datalist, one, config, **same), log=tmp_path / "one.log")
    assert alone.code == 0, alone.output
    chosen = words(trained, datalist, two, MULTI, config, batch_size=4, val_batch_size=2, **same)  # 2 and 1 of 3
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m"]
    done = subprocess.run(
        [*torchrun, "monai.bundle", *chosen],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows, others = (read_history(run / "history.jsonl") for run in (one, two))
    assert [row["kind"] for row in rows] == [row["kind"] for row in others]
    for row, other in zip(rows, others, strict=True):
        names = row.keys() - {"kind"}
        assert {n: other[n] for n in names} == pytest.approx({n: row[n] for n in names}, rel=1e-5, abs=2e-5)
    first, last = (last_checkpoint(run)["model"] for run in (one, two))
    assert first.keys() == last.keys()
    assert max(float((first[key] - last[key]).abs().max()) for key in first) < 1e-5


@pytest.mark.shared
def test_notes_of_the_real_data_are_learnt_as_findings(covid19_cxr: Path, tmp_path: Path) -> None:
    save_tiny_place(tmp_path / "model")
    report = prepare_source("covid19-cxr", covid19_cxr, tmp_path / "datalist")
    options = {"sections": ["findings"], "epochs": 1, "limit": 16}
    ended = train(tmp_path / "model", report.datalist, tmp_path / "run", **options)
    assert "lack 'report': left out" in ended.output
    values = [
        row["val_loss"] for row in read_history(tmp_path / "run" / "history.jsonl") if row["kind"] == "validation"
    ]
    assert len(values) == 1
    assert values[0] > 1
    assert (tmp_path / "run" / "generator" / "model.pt").is_file()
