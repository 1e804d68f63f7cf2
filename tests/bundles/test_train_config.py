"""train.json: the shell command, what it leaves, its properties, and runs that are stopped and go on."""

from __future__ import annotations

import json
from pathlib import Path

from monai_place.engines import read_history


def test_the_command_leaves_a_whole_bundle(trained: Path) -> None:
    models = {path.name for path in (trained / "models").iterdir()}
    assert models == {"model.pt", "backbone.safetensors", "place.json", "tokenizer"}
    assert (trained / "LICENSE").is_file()
    configs = {path.name for path in (trained / "configs").iterdir()}
    assert {"metadata.json", "train.json", "inference.json", "evaluate.json", "logging.conf"} <= configs
    assert not [path for path in trained.rglob(".*")], "temporary files"
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
