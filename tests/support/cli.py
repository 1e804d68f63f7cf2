"""`monai-place` in this process: what it printed, how it ended, and settings that make a pretraining take seconds."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from typing import Any

from typer.testing import CliRunner

from monai_place.cli.app import app

__all__ = ["TINY_SETTINGS", "Done", "call_command"]

TINY = {
    "image_size": 64,
    "image_kwargs": {"embed_dim": 48, "depth": 1, "num_heads": 2},
    "report_width": 32,
    "report_depth": 1,
    "joint_dim": 24,
    "queries": 5,
    "correlation_dim": 16,
}
TINY_SETTINGS = ["--set", "epochs=1", "--set", "batch_size=8", "--set", f"model_overrides={json.dumps(TINY)}"]


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        """Read stdout, which must be JSON and nothing else."""
        return json.loads(self.out)


def call_command(*words: object) -> Done:
    """Run `monai-place WORDS`; an error that would be a traceback is raised."""
    root, ours, runner = logging.getLogger(), logging.getLogger("monai_place.cli"), CliRunner()
    handlers, level = root.handlers[:], root.level
    try:
        result = runner.invoke(app, [str(word) for word in words])
    finally:
        # Commands set logging up for a process of their own.
        root.handlers[:] = handlers
        root.setLevel(level)
        ours.setLevel(logging.NOTSET)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Done(result.exit_code, result.stdout, result.stderr)
