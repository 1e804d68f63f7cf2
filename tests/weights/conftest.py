"""A saved tiny model for the tests of weights."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.models import save_tiny_place


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a tiny model drawn from seed 0; tests do not change it."""
    folder = tmp_path_factory.mktemp("weights") / "model"
    save_tiny_place(folder)
    return folder
