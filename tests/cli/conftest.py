"""A phantom, a run on it and a tiny model, all made by the commands; and a way to call them in this process."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.cli import TINY_SETTINGS, Done, call_command
from tests.support.models import save_tiny_place

Call = Callable[..., Done]


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
