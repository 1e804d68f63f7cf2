"""A bundle trained once on a small phantom, by the same command that a user types."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
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


Train = Callable[..., Ended]


@pytest.fixture(scope="session")
def train(datalist: Path, tmp_path_factory: pytest.TempPathFactory) -> Train:
    """Return a function of (output folder, settings) that runs train.json as a command."""

    def run(output: Path, *, timeout_s: float = 600, **changes: Any) -> Ended:
        settings = {"bundle_root": str(BUNDLE), "datalist": str(datalist), "output_dir": str(output), **SETTINGS}
        words = overrides({**settings, **changes})
        log = tmp_path_factory.mktemp("log") / "train.log"
        config = str(BUNDLE / "configs" / "train.json")
        return bundle_command("run", "--config_file", config, *words, log=log, timeout_s=timeout_s)

    return run


@pytest.fixture(scope="session")
def trained(train: Train, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run of two epochs; it is a whole bundle. Tests do not change it."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    ended = train(folder)
    assert ended.code == 0, ended.output
    return folder


@pytest.fixture
def metadata(trained: Path) -> dict[str, Any]:
    """Return the metadata of the trained bundle."""
    values: dict[str, Any] = json.loads((trained / "configs" / "metadata.json").read_text(encoding="utf-8"))
    return values
