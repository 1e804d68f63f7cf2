"""The checkpoints of one run: their names, the latest, and how many are kept."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from monai_place.engines.checkpoint import CorruptCheckpointError, load_training_state, save_training_state

__all__ = ["CheckpointManager", "CorruptPolicy"]

CorruptPolicy = Literal["raise", "previous"]

logger = logging.getLogger(__name__)

NAME = re.compile(r"checkpoint_(\d{9,})\.pt")
TEMPORARY = ".checkpoint_*.tmp*"


class CheckpointManager:
    """Training states in a folder, `checkpoint_000000120.pt` for the one after 120 iterations.

    Args:
        folder: made with the first checkpoint.
        keep: how many of the latest stay. Older ones go once the new one is there, never before.

    Raises:
        ValueError: `keep` is below 1.

    Example:
        >>> import tempfile
        >>> manager = CheckpointManager(tempfile.mkdtemp(), keep=1)
        >>> for iteration in (5, 10):
        ...     _ = manager.save({"iteration": iteration}, iteration=iteration)
        >>> [path.name for path in manager.paths()]
        ['checkpoint_000000010.pt']
    """

    def __init__(self, folder: str | os.PathLike[str], *, keep: int = 3) -> None:
        if keep < 1:
            raise ValueError(f"keep must be at least 1, got {keep}")
        self.folder = Path(folder)
        self.keep = keep

    def path(self, iteration: int) -> Path:
        """Return the name of the checkpoint after `iteration` iterations."""
        return self.folder / f"checkpoint_{iteration:09d}.pt"

    def paths(self) -> list[Path]:
        """Return the checkpoints that are there, earliest first; temporary and set-aside files are none."""
        found = self.folder.iterdir() if self.folder.is_dir() else []
        return sorted((path for path in found if NAME.fullmatch(path.name)), key=_iteration)

    def latest(self) -> Path | None:
        """Return the checkpoint of the highest iteration, None where there is none."""
        return next(reversed(self.paths()), None)

    def save(self, state: Mapping[str, Any], *, iteration: int) -> Path:
        """Write a checkpoint, whole or not at all, then remove the ones beyond `keep`."""
        path = self.path(iteration)
        save_training_state(path, state)
        for old in self.paths()[: -self.keep]:
            old.unlink(missing_ok=True)
        return path

    def load_latest(self, *, on_corrupt: CorruptPolicy = "raise") -> tuple[Path, dict[str, Any]] | None:
        """Return the latest checkpoint with its path, None where there is none.

        Args:
            on_corrupt: `raise`, or go back to the `previous` one, which costs the work since then.

        Raises:
            CorruptCheckpointError: the latest is corrupt (`raise`), or all of them are (`previous`).
            ValueError: `on_corrupt` is unknown.
        """
        if on_corrupt not in get_args(CorruptPolicy):
            raise ValueError(f"on_corrupt must be one of {get_args(CorruptPolicy)}, got {on_corrupt!r}")
        paths = self.paths()
        while paths:
            path = paths.pop()
            try:
                return path, load_training_state(path)
            except CorruptCheckpointError as error:
                if on_corrupt == "raise" or not paths:
                    raise
                logger.warning("%s; going back to the one before", error)
        return None

    def set_aside_after(self, iteration: int) -> None:
        """Rename checkpoints of later iterations, which a run that goes on from `iteration` will make anew."""
        for path in self.paths():
            if _iteration(path) > iteration:
                aside = path.with_name(path.name + ".superseded")
                logger.warning("the run goes on from iteration %d: %s is now %s", iteration, path.name, aside.name)
                path.replace(aside)

    def remove_temporary(self) -> None:
        """Remove what killed processes left half written; only while no other process saves here."""
        for path in self.folder.glob(TEMPORARY) if self.folder.is_dir() else []:
            path.unlink(missing_ok=True)


def _iteration(path: Path) -> int:
    match = NAME.fullmatch(path.name)
    return int(match[1]) if match else -1
