"""What the tests of linear_probe.json and finetune.json share: a tiny pretrained model, settings, runs."""

from __future__ import annotations

import json
import runpy
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch.distributed as dist

from monai_place.engines import load_training_state, read_history
from tests.bundles.conftest import BUNDLE, overrides
from tests.support.commands import Ended, bundle_command
from tests.support.processes import run_ranks
from tests.support.training import assert_same

__all__ = ["MULTI", "SAME_WORK", "assert_equal_runs", "assert_same_numbers", "metrics", "run", "run_two", "words"]

MULTI = BUNDLE / "configs" / "multi_gpu_classify.json"
SETTINGS: dict[str, Any] = {"bootstrap": 20, "epochs": 3, "batch_size": 8, "val_batch_size": 4, "amp": False}
# Plain SGD, since Adam makes a whole step of the last digit of a gradient that is next to nothing.
SAME_WORK = {"optimizer": {"_target_": "torch.optim.SGD", "params": "$@network.parameters()", "lr": 0.05}}


def words(config: str | list[str], output: Path, **settings: Any) -> list[str]:
    """Return the words of the command that trains; a config is of the bundle by its name, or another's path."""
    names = [config] if isinstance(config, str) else config
    files = [str(BUNDLE / "configs" / name) if "/" not in name else name for name in names]
    chosen = files[0] if len(files) == 1 else repr(files)
    values = {"bundle_root": str(BUNDLE), "output_dir": str(output), **SETTINGS, **settings}
    return ["run", "--config_file", chosen, *overrides(values)]


def run(config: str | list[str], output: Path, **settings: Any) -> Ended:
    """Train in a process of its own."""
    output.parent.mkdir(parents=True, exist_ok=True)
    return bundle_command(*words(config, output, **settings), log=output.parent / f"{output.name}.log")


def run_two(config: str | list[str], output: Path, **settings: Any) -> None:
    """Train on two processes of one group; test_multi_gpu_config.py does it under torchrun, which takes longer."""
    output.mkdir(parents=True)
    run_ranks(_run_rank, output, words(config, output, **settings))


def _run_rank(rank: int, folder: Path, command: list[str]) -> None:
    meeting = f"file://{folder / 'meeting'}"
    dist.init_process_group("gloo", meeting, rank=rank, world_size=2, timeout=timedelta(seconds=600))
    sys.argv = ["monai.bundle", *command]
    runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)  # the config's finalize leaves the group


def metrics(folder: Path) -> dict[str, Any]:
    """Return the content of a run's metrics.json."""
    values: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return values


def assert_equal_runs(one: Path, other: Path) -> None:
    """Compare what two runs left, to the last bit."""
    assert (one / "history.jsonl").read_text() == (other / "history.jsonl").read_text()
    last = [sorted((folder / "checkpoints").glob("checkpoint_*.pt"))[-1] for folder in (one, other)]
    assert_same(*(load_training_state(path) for path in last))
    assert_same(*(load_training_state(folder / "best.pt") for folder in (one, other)))
    assert (one / "scores.json").read_text() == (other / "scores.json").read_text()
    assert metrics(one) == metrics(other)


def assert_same_numbers(one: Path, other: Path) -> None:
    """Compare the histories and scores of runs that did the same sums in another order."""
    rows = [read_history(folder / "history.jsonl") for folder in (one, other)]
    assert [row["kind"] for row in rows[0]] == [row["kind"] for row in rows[1]]
    for row, twin in zip(*rows, strict=True):
        names = row.keys() - {"kind"}
        expected = {name: row[name] for name in names}
        assert {name: twin[name] for name in names} == pytest.approx(expected, rel=1e-5, abs=2e-5)
