"""The run's numbers in whole lines, cut and gone on with."""

from __future__ import annotations

import json
import logging
import os
import resource
from pathlib import Path

import pytest

from monai_place.engines import TrainingHistoryHandler, read_history
from tests.support.training import build_run


def test_there_is_a_line_for_each_step_and_each_validation(tmp_path: Path) -> None:
    build_run(tmp_path, epochs=2).go()
    rows = read_history(tmp_path / "history.jsonl")
    assert [(row["kind"], row["epoch"], row["iteration"]) for row in rows] == [
        *[("train", 1, iteration) for iteration in range(1, 6)],
        ("validation", 1, 5),
        *[("train", 2, iteration) for iteration in range(6, 11)],
        ("validation", 2, 10),
    ]
    assert {"loss", "ita", "size", "lr/base.decay", "lr/base.no_decay", "gradient_norm", "skipped_steps"} < set(rows[0])
    assert {"val_loss", "val_loss_ita", "val_loss_size"} < set(rows[5])


def test_steps_can_be_left_out(tmp_path: Path) -> None:
    run = build_run(tmp_path, epochs=1, validate=False)
    sparse = TrainingHistoryHandler(tmp_path / "sparse.jsonl", every=2)
    sparse.attach(run.trainer)
    run.go()
    assert [row["iteration"] for row in read_history(tmp_path / "sparse.jsonl")] == [2, 4]


def test_a_new_run_replaces_the_file_and_a_taken_up_one_cuts_it(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text("old\n")
    history = TrainingHistoryHandler(path)
    assert history.state_dict() == {"bytes": 0}
    history._write({"step": 1})
    state = history.state_dict()
    history._write({"step": 2})
    again = TrainingHistoryHandler(path)
    again.load_state_dict(state)
    assert read_history(path) == [{"step": 1}]
    again._write({"step": 2, "loss": float("nan"), "other": float("inf")})
    assert read_history(path) == [{"step": 1}, {"step": 2, "loss": None, "other": None}]


def test_missing_lines_are_logged_and_the_run_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    history = TrainingHistoryHandler(tmp_path / "history.jsonl")
    with caplog.at_level(logging.WARNING):
        history.load_state_dict({"bytes": 100})
    assert "history.jsonl lacks lines: 0 bytes, the checkpoint knew 100" in caplog.text
    history._write({"step": 9})
    assert read_history(tmp_path / "history.jsonl") == [{"step": 9}]


def test_a_line_that_does_not_fit_on_the_disk_leaves_no_half_behind(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    history = TrainingHistoryHandler(path)
    history._write({"step": 1})
    whole = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # The system writes what fits, and refuses the rest: as a full disk does.
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(whole) + 10, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            history._write({"step": 2, "text": "x" * 50})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == whole
    history._write({"step": 2})
    assert [row["step"] for row in read_history(path)] == [1, 2]


def test_a_last_line_without_its_end_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    path.write_text('{"step": 1}\n{"step": 2, "lo')
    assert read_history(path) == [{"step": 1}]


def test_what_the_checkpoint_counts_on_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    history = TrainingHistoryHandler(tmp_path / "history.jsonl")
    history._write({"step": 1})
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    assert history.state_dict() == {"bytes": (tmp_path / "history.jsonl").stat().st_size}
    assert len(synced) == 1


def test_every_line_is_strict_json(tmp_path: Path) -> None:
    build_run(tmp_path, epochs=1).go()
    for line in (tmp_path / "history.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_at_least_every_step_is_possible() -> None:
    with pytest.raises(ValueError, match="every must be at least 1, got 0"):
        TrainingHistoryHandler("x", every=0)
