"""A phantom, a run on it and a tiny model, all made by the commands; and a way to call them in this process."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from monai_place.cli.app import app
from tests.support.models import save_tiny_place

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


Call = Callable[..., Done]


def call_command(*words: object) -> Done:
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


@pytest.fixture(scope="session")
def call() -> Call:
    """Return what runs `monai-place` with some words in this process; an error that would be a traceback is raised."""
    return call_command


@pytest.fixture(scope="session")
def datalist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the datalist of a phantom of 30 studies at 64 pixels; tests do not change it."""
    out = tmp_path_factory.mktemp("cli") / "phantom"
    done = call_command("phantom", out, "--studies", 30, "--size", 64, "--seed", 3)
    assert done.code == 0, done.err
    return out / "datalist.json"


@pytest.fixture(scope="session")
def trained(datalist: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """Return the folder of a run of one epoch, and what the command said; tests do not change it."""
    out = tmp_path_factory.mktemp("cli") / "run"
    done = call_command("pretrain", datalist, "--out", out, "--preset", "place_tiny", *TINY_SETTINGS)
    assert done.code == 0, done.err
    return out, done


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny model that was never trained."""
    folder = tmp_path_factory.mktemp("cli") / "model"
    save_tiny_place(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_settings() -> list[str]:
    """Return the options of `pretrain` for a run of seconds."""
    return TINY_SETTINGS
