"""A saved tiny model, loaded once, and what it makes of a small phantom, for the tests of inference."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from monai_place.data.datalist import load_records
from monai_place.data.phantom import PHANTOM_CLASSES, write_phantom
from monai_place.data.tokens import ReportTokenizer
from monai_place.inference import LoadedPLACE, PLACEPredictor, load, load_place
from monai_place.inference.collect import CollectedStudies, collect_studies, fit_location_prior
from monai_place.metrics.location_prior import LocationPrior
from monai_place.preprocess import PreprocessSpec
from monai_place.weights import save_model_folder
from tests.support.models import CLASSES, save_tiny_place, tiny_place


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


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the datalist of thirty phantom studies, twelve to fit a prior and eighteen to evaluate."""
    return write_phantom(tmp_path_factory.mktemp("phantom"), studies=30, size=80, seed=3, fractions=(0.4, 0.0, 0.6))


@pytest.fixture(scope="session")
def records(phantom: Path) -> list[dict[str, Any]]:
    """Return the eighteen records."""
    return load_records(phantom, "test")


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, Any]]) -> PLACEPredictor:
    """Return a predictor of a tiny random model that reads whole phantom reports."""
    tokenizer = ReportTokenizer.train([record["report"] for record in records], vocab_size=400, max_tokens=200)
    network = tiny_place(vocab_size=tokenizer.vocab_size, max_tokens=200)
    folder = tmp_path_factory.mktemp("evaluate")
    spec = PreprocessSpec(image_size=64)
    save_model_folder(folder, network, preprocess=spec, tokenizer=tokenizer, classes=CLASSES)
    return load(folder, device="cpu")


@pytest.fixture(scope="session")
def prior(phantom: Path) -> LocationPrior | None:
    """Return the location prior of the other twelve studies."""
    return fit_location_prior(load_records(phantom, "training"))


@pytest.fixture(scope="session")
def collected(model: PLACEPredictor, records: list[dict[str, Any]], prior: LocationPrior | None) -> CollectedStudies:
    """Return what that model makes of the records, in batches of seven."""
    return collect_studies(model.loaded, records, classes=PHANTOM_CLASSES, prior=prior, batch_size=7)
