"""A saved tiny model, loaded once, for the tests of inference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monai_place.inference import LoadedPLACE, PLACEPredictor, load, load_place
from tests.support.models import save_tiny_place


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny model drawn from seed 0; tests do not change it."""
    folder = tmp_path_factory.mktemp("inference") / "model"
    save_tiny_place(folder)
    return folder


@pytest.fixture(scope="session")
def loaded(model_folder: Path) -> LoadedPLACE:
    """Return the tiny model."""
    return load_place(model_folder)


@pytest.fixture
def predictor(model_folder: Path) -> PLACEPredictor:
    """Return a predictor of the tiny model on the CPU."""
    return load(model_folder, device="cpu")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return five PNG files of different, mostly non-square sizes."""
    folder = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    files = []
    for number, shape in enumerate([(64, 64), (50, 80), (90, 40), (64, 63), (33, 120)]):
        files.append(folder / f"{number}.png")
        Image.fromarray(generator.integers(0, 255, shape, dtype=np.uint8)).save(files[-1])
    return files
