"""multi_gpu_train.json on two processes of a CPU: the run is that of one process with the whole batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from monai_place.engines import load_training_state, read_history
from tests.bundles.conftest import BUNDLE, ROOT, SETTINGS, Train, Words
from tests.support.commands import missing_properties

MULTI = BUNDLE / "configs" / "multi_gpu_train.json"
# Dropout and hidden patches are drawn by each process for itself. Plain SGD, since Adam makes a whole step of the last
# digit of a gradient that is next to nothing.
SAME_WORK: dict[str, Any] = {
    "plain": {"_target_": "tests.support.equal_ranks.without_dropout", "network": "@network_def"},
    "optimizer": {"_target_": "torch.optim.SGD", "params": "$@network.parameters()", "lr": 0.05},
}
# In bfloat16 a gradient's last digits depend on how many studies were summed at a time.
SAME_SETTINGS = {"amp": False, "model_overrides": {**SETTINGS["model_overrides"], "correlation_mask_ratio": 0.0}}

# What is measured with the image or report of a neighbor in the batch, and each process has a batch of its own.
WITH_NEIGHBORS = ("pcma_swapped", "pcma_gap", "cce_explained_shuffled")


@pytest.fixture(scope="module")
def one_process(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of one process, with batches of 8."""
    folder = tmp_path_factory.mktemp("one")
    config = folder / "same_work.json"
    config.write_text(json.dumps({**SAME_WORK, "network": "$@plain.to(@device)"}))
    ended = train(folder / "run", config, **SAME_SETTINGS)
    assert ended.code == 0, ended.output
    return folder / "run"


@pytest.fixture(scope="module")
def two_processes(train_words: Words, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run of two processes under torchrun, with batches of 4 each."""
    folder = tmp_path_factory.mktemp("two")
    config = folder / "same_work.json"
    config.write_text(json.dumps({**SAME_WORK, "network#network": "@plain"}))
    words = train_words(folder / "run", MULTI, config, batch_size=4, val_batch_size=3, **SAME_SETTINGS)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m"]
    done = subprocess.run(
        [*torchrun, "monai.bundle", *words],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "run"


def weights(run: Path, checkpoint: int = -1) -> dict[str, torch.Tensor]:
    state = load_training_state(sorted((run / "checkpoints").glob("checkpoint_*.pt"))[checkpoint])
    return dict(state["model"])


@pytest.mark.dist
@pytest.mark.slow
def test_two_processes_see_the_losses_of_one(one_process: Path, two_processes: Path) -> None:
    one, two = (read_history(run / "history.jsonl") for run in (one_process, two_processes))
    assert [row["kind"] for row in one] == [row["kind"] for row in two]
    for row, other in zip(one, two, strict=True):
        names = row.keys() - {"kind", *WITH_NEIGHBORS}
        found = {name: other[name] for name in names}
        assert found == pytest.approx({name: row[name] for name in names}, rel=1e-5, abs=2e-5)


@pytest.mark.dist
@pytest.mark.slow
def test_two_processes_learn_the_weights_of_one(one_process: Path, two_processes: Path) -> None:
    one, two = weights(one_process), weights(two_processes)
    assert one.keys() == two.keys(), "DistributedDataParallel's prefix is no part of the weights"
    largest = max(float((one[key] - two[key]).abs().max()) for key in one)
    assert largest < 1e-6
    before = weights(one_process, 0)
    moved = min(float((one[key] - before[key]).abs().max()) for key in one if key.endswith("proj.weight"))
    assert moved > 100 * largest, "the weights have hardly moved, so that nothing is shown"


@pytest.mark.dist
@pytest.mark.slow
def test_two_processes_leave_one_whole_bundle(two_processes: Path) -> None:
    assert {"metadata.json", "inference.json"} <= {path.name for path in (two_processes / "configs").iterdir()}
    extra = json.loads((two_processes / "models" / "place.json").read_text())["extra"]
    assert len(extra["prompt_bank"]["classes"]) == 7
    assert not list(two_processes.rglob(".*"))


def test_no_property_is_missing_in_the_merged_config(datalist: Path, tmp_path: Path) -> None:
    settings = {"datalist": str(datalist), "output_dir": str(tmp_path), **SETTINGS}
    alone = {"RANK": "0", "WORLD_SIZE": "1", "LOCAL_RANK": "0", "MASTER_ADDR": "localhost", "MASTER_PORT": "0"}
    configs = [BUNDLE / "configs" / "train.json", MULTI]
    assert missing_properties(configs, "train", log=tmp_path / "log", environment=alone, **settings) == []
