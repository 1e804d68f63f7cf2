"""Which checkpoint is the latest, which are kept, and what a killed process leaves."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
import torch

from monai_place.engines import CheckpointManager, CorruptCheckpointError
from tests.support.processes import start

STAGES = ["serializing", "before rename", "after rename", "before pruning", "while pruning"]


def state(iteration: int) -> dict[str, Any]:
    return {"iteration": iteration, "weights": torch.full((5000,), float(iteration))}


def filled(folder: Path, *, keep: int = 3, iterations: tuple[int, ...] = (1, 2, 3)) -> CheckpointManager:
    manager = CheckpointManager(folder, keep=keep)
    for iteration in iterations:
        manager.save(state(iteration), iteration=iteration)
    return manager


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_last_ones_are_kept(tmp_path: Path) -> None:
    filled(tmp_path, keep=2, iterations=(1, 2, 3, 4))
    assert names(tmp_path) == ["checkpoint_000000003.pt", "checkpoint_000000004.pt"]


def test_the_latest_is_the_one_of_the_highest_iteration(tmp_path: Path) -> None:
    manager = filled(tmp_path, iterations=(2, 999_999_999, 1_000_000_000))
    assert manager.latest() == manager.path(1_000_000_000)
    assert CheckpointManager(tmp_path / "missing").latest() is None
    assert CheckpointManager(tmp_path / "missing").load_latest() is None


def test_temporary_and_foreign_files_are_never_the_latest(tmp_path: Path) -> None:
    manager = filled(tmp_path)
    for name in (".checkpoint_000000009.pt.x1.tmp.pt", "checkpoint_000000009.pt.tmp", "checkpoint_9.pt", "model.pt"):
        (tmp_path / name).write_bytes(b"")
    assert manager.latest() == manager.path(3)
    manager.remove_temporary()
    assert ".checkpoint_000000009.pt.x1.tmp.pt" not in names(tmp_path)
    assert "model.pt" in names(tmp_path)


def test_a_corrupt_latest_is_an_error_or_is_passed_over(tmp_path: Path) -> None:
    manager = filled(tmp_path)
    manager.path(3).write_bytes(b"not a checkpoint")
    with pytest.raises(CorruptCheckpointError, match=r"checkpoint_000000003\.pt"):
        manager.load_latest()
    found = manager.load_latest(on_corrupt="previous")
    assert found is not None
    assert found[1]["iteration"] == 2
    for iteration in (1, 2):
        manager.path(iteration).write_bytes(b"")
    with pytest.raises(CorruptCheckpointError, match=r"checkpoint_000000001\.pt"):
        manager.load_latest(on_corrupt="previous")
    with pytest.raises(ValueError, match=r"on_corrupt must be one of .*, got 'hope'"):
        manager.load_latest(on_corrupt="hope")  # type: ignore[arg-type]


def test_later_ones_are_set_aside_not_removed(tmp_path: Path) -> None:
    manager = filled(tmp_path)
    manager.set_aside_after(2)
    assert manager.latest() == manager.path(2)
    assert "checkpoint_000000003.pt.superseded" in names(tmp_path)


def test_at_least_one_is_kept(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keep must be at least 1, got 0"):
        CheckpointManager(tmp_path, keep=0)


@pytest.mark.dist
@pytest.mark.parametrize("stage", STAGES)
def test_a_process_killed_while_saving_leaves_the_previous_or_the_new(tmp_path: Path, stage: str) -> None:
    process = start(save_and_die, tmp_path, stage)
    process.join(600)
    assert process.exitcode == -signal.SIGKILL
    manager = CheckpointManager(tmp_path, keep=2)
    found = manager.load_latest()
    assert found is not None
    assert found[1]["iteration"] == (2 if stage in STAGES[:2] else 3)
    assert torch.equal(found[1]["weights"], torch.full((5000,), float(found[1]["iteration"])))
    assert any(".tmp" in name for name in names(tmp_path)) == (stage in STAGES[:2])
    # The next run cleans up and goes on.
    manager.remove_temporary()
    manager.save(state(4), iteration=4)
    assert names(tmp_path) == [f"checkpoint_{i:09d}.pt" for i in ((2, 4) if stage in STAGES[:2] else (3, 4))]


def save_and_die(folder: Path, stage: str) -> None:
    """Save three checkpoints, keep two, and be killed at a stage of the third."""
    manager = filled(folder, keep=2, iterations=(1, 2))
    write, replace, unlink = torch.save, Path.replace, Path.unlink

    def half(value: Any, file: Any) -> None:
        import io

        buffer = io.BytesIO()
        write(value, buffer)
        file.write(buffer.getvalue()[: buffer.tell() // 2])
        file.flush()
        die()

    def renamed(path: Path, target: Path) -> None:
        if stage == "after rename":
            replace(path, target)
        die()

    def unlinked(path: Path, missing_ok: bool = False) -> None:
        if stage == "while pruning":
            unlink(path, missing_ok=missing_ok)
        die()

    if stage == "serializing":
        torch.save = half
    elif "rename" in stage:
        Path.replace = renamed  # type: ignore[method-assign,assignment]
    else:
        Path.unlink = unlinked  # type: ignore[method-assign]
    manager.save(state(3), iteration=3)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
