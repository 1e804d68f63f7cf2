"""A tiny model, a small phantom and a suite over them, measured once for the tests of suites."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from monai_place.data.phantom import write_phantom
from monai_place.suites.run import run_suite
from monai_place.suites.tables import SuiteTable
from tests.support.models import save_tiny_place

SUITE: dict[str, Any] = {
    "name": "tiny",
    "seeds": [0, 1],
    "fractions": [0.5, 1.0],
    "checkpoints": [
        {"name": "trained", "run": "model"},
        {"name": "random", "run": "model", "weights": "random"},
        {"name": "timm", "timm": "test_vit.r160_in1k", "weights": "random", "image_size": 64},
    ],
    "datasets": [{"name": "phantom", "datalist": "phantom/datalist.json"}],
    "tasks": [{"task": "logistic_probe"}, {"task": "zero_shot", "mode": "global"}, {"task": "retrieval", "k": 3}],
}


@pytest.fixture(scope="session")
def suite_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a model, a phantom and `suite.json`."""
    folder = tmp_path_factory.mktemp("suites")
    save_tiny_place(folder / "model")
    write_phantom(folder / "phantom", studies=40, size=64, seed=1, fractions=(0.5, 0.1, 0.4))
    (folder / "suite.json").write_text(json.dumps(SUITE))
    return folder


@pytest.fixture(scope="session")
def measured(suite_folder: Path) -> tuple[SuiteTable, Path]:
    """Return the suite's table and the folder of its results."""
    return run_suite(suite_folder / "suite.json", suite_folder / "out", resamples=50), suite_folder / "out"
