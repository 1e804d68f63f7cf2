"""A bundle trained once on a small phantom, by the same command that a user types."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from monai_place.data.phantom import write_phantom
from tests.support.commands import Ended, bundle_command

ROOT = Path(__file__).resolve().parents[2]
BUNDLE = ROOT / "bundles" / "place"
# place_tiny, a hundred times cheaper.
SETTINGS: dict[str, Any] = {
    "epochs": 2,
    "batch_size": 8,
    "val_batch_size": 6,
    "model_overrides": {
        "image_size": 64,
        "image_kwargs": {"embed_dim": 48, "depth": 2, "num_heads": 3},
        "report_width": 32,
        "report_depth": 1,
        "joint_dim": 32,
        "queries": 6,
        "correlation_dim": 32,
    },
}


def overrides(settings: Mapping[str, Any]) -> list[str]:
    """Return settings as MONAI's command line takes them."""
    words = []
    for key, value in settings.items():
        words += [f"--{key}", value if isinstance(value, str) else repr(value)]
    return words


@pytest.fixture(scope="session")
def datalist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the datalist of 60 phantom studies of 64 pixels: 42 to train, 6 to validate, 12 to test."""
    return write_phantom(tmp_path_factory.mktemp("phantom"), studies=60, size=64, seed=3)


Words = Callable[..., list[str]]
Train = Callable[..., Ended]


@pytest.fixture(scope="session")
def train_words(datalist: Path) -> Words:
    """Return a function of (output folder, settings) that gives the words of the command that trains."""

    def words(output: Path, *more: Path, **changes: Any) -> list[str]:
        configs = [str(BUNDLE / "configs" / "train.json"), *(str(path) for path in more)]
        settings = {"bundle_root": str(BUNDLE), "datalist": str(datalist), "output_dir": str(output), **SETTINGS}
        chosen = configs[0] if len(configs) == 1 else repr(configs)
        return ["run", "--config_file", chosen, *overrides({**settings, **changes})]

    return words


@pytest.fixture(scope="session")
def train(train_words: Words, tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Return a function of (output folder, settings) that trains by a command."""

    def run(output: Path, *more: Path, **changes: Any) -> Ended:
        log = tmp_path_factory.mktemp("log") / "train.log"
        return bundle_command(*train_words(output, *more, **changes), log=log)

    return run


@pytest.fixture(scope="session")
def trained(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run of two epochs; it is a whole bundle. Tests do not change it."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    ended = train(folder)
    assert ended.code == 0, ended.output
    return folder


@pytest.fixture
def unchanged_logging() -> Iterator[None]:
    """Give the root logger its handlers and level back: MONAI sets them as a bundle's logging.conf says."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


@pytest.fixture
def metadata(trained: Path) -> dict[str, Any]:
    """Return the metadata of the trained bundle."""
    values: dict[str, Any] = json.loads((trained / "configs" / "metadata.json").read_text(encoding="utf-8"))
    return values
