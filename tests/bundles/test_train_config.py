"""train.json: the shell command, what it leaves, its properties, and runs that are stopped and go on."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from monai_place.engines import EXIT_RESUMABLE, load_training_state, read_history
from tests.bundles.conftest import BUNDLE, SETTINGS, Train, Words
from tests.support.commands import end, missing_properties, start_bundle_command
from tests.support.training import assert_same


def test_the_command_leaves_a_whole_bundle(trained: Path) -> None:
    models = {path.name for path in (trained / "models").iterdir()}
    assert models == {"model.pt", "backbone.safetensors", "place.json", "tokenizer"}
    assert (trained / "LICENSE").is_file()
    configs = {path.name for path in (trained / "configs").iterdir()}
    assert {"metadata.json", "train.json", "inference.json", "evaluate.json", "logging.conf"} <= configs
    assert not list(trained.rglob(".*")), "temporary files"
    assert list((trained / "checkpoints").glob("checkpoint_*.pt"))
    assert list((trained / "tensorboard").iterdir())


def test_the_history_names_every_term_and_diagnostic(trained: Path) -> None:
    rows = read_history(trained / "history.jsonl")
    steps = [row for row in rows if row["kind"] == "train"]
    assert [row["iteration"] for row in steps] == list(range(1, len(steps) + 1))
    assert {"loss", "ita", "pcma", "cce"} <= steps[0].keys()
    validations = [row for row in rows if row["kind"] == "validation"]
    assert [row["epoch"] for row in validations] == [1, 2]
    expected = {"val_loss", "pcma_gap", "slot_perplexity", "slot_cosine", "cce_explained", "cce_explained_shuffled"}
    assert expected <= validations[0].keys()
    assert json.loads((trained / "models" / "place.json").read_text())["extra"]["best"]["metric"] == "val_loss"


def test_training_leaves_the_bundle_that_it_came_from_alone(trained: Path) -> None:
    assert not (BUNDLE / "checkpoints").exists()
    assert {path.name for path in (BUNDLE / "models").iterdir()} <= {"README.md"}


def test_no_property_is_missing(datalist: Path, tmp_path: Path) -> None:
    settings = {"datalist": str(datalist), "output_dir": str(tmp_path), **SETTINGS}
    assert missing_properties([BUNDLE / "configs" / "train.json"], "train", log=tmp_path / "log", **settings) == []


def test_a_run_that_goes_on_equals_the_one_that_never_stopped(trained: Path, train: Train, tmp_path: Path) -> None:
    # The schedule is that of two epochs; the trainer ends after the first.
    first = train(tmp_path / "run", **{"train#trainer#max_epochs": 1})
    assert first.code == 0, first.output
    assert_not_finished(tmp_path / "run")
    second = train(tmp_path / "run", resume="auto")
    assert second.code == 0, second.output
    assert_equal_runs(tmp_path / "run", trained)


@pytest.mark.slow
def test_a_run_that_is_stopped_by_a_signal_says_so_and_goes_on(
    trained: Path, train: Train, train_words: Words, tmp_path: Path
) -> None:
    # With worker processes, too; batches do not depend on their number, so that the other run has none.
    log, history = tmp_path / "log", tmp_path / "run" / "history.jsonl"
    process = start_bundle_command(*train_words(tmp_path / "run", num_workers=2), log=log)
    limit = time.monotonic() + 300
    while process.is_alive() and time.monotonic() < limit and not (history.exists() and read_history(history)):
        time.sleep(0.02)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGTERM)
    ended = end(process, log)
    assert ended.code == EXIT_RESUMABLE, ended.output
    assert_not_finished(tmp_path / "run")
    assert not (tmp_path / "run" / "configs").exists(), "only a run that has ended becomes a bundle"
    again = train(tmp_path / "run", resume="auto", num_workers=2)
    assert again.code == 0, again.output
    assert_equal_runs(tmp_path / "run", trained)


def test_a_second_run_into_the_same_folder_is_refused(trained: Path, train: Train) -> None:
    before = (trained / "history.jsonl").read_bytes()
    ended = train(trained)
    assert ended.code == 1
    assert "take it up with resume='auto'" in ended.output
    assert (trained / "history.jsonl").read_bytes() == before


def assert_not_finished(run: Path) -> None:
    steps = [row for row in read_history(run / "history.jsonl") if row["kind"] == "train"]
    assert 0 < len(steps) < 10


def assert_equal_runs(one: Path, other: Path) -> None:
    assert (one / "history.jsonl").read_text() == (other / "history.jsonl").read_text()
    assert_same(last_checkpoint(one), last_checkpoint(other))
    weights = [torch.load(run / "models" / "model.pt", weights_only=True) for run in (one, other)]
    assert_same(*weights)


def last_checkpoint(run: Path) -> dict[str, Any]:
    return load_training_state(sorted((run / "checkpoints").glob("checkpoint_*.pt"))[-1])
