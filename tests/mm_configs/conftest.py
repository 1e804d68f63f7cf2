"""Every data set that the configs name, tiny, and the configs with a tiny encoder."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.mm_configs import copy_tiny_configs, write_tiny_data


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the data sets; tests only read it."""
    return write_tiny_data(tmp_path_factory.mktemp("mm_data"))


@pytest.fixture(scope="session")
def tiny_configs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of `mm_configs` with a tiny encoder, slim heads and small pictures."""
    return copy_tiny_configs(tmp_path_factory.mktemp("mm_configs"))


@pytest.fixture
def data_here(tiny_data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let the configs find the tiny data as a user would: by PLACE_DATA."""
    monkeypatch.setenv("PLACE_DATA", str(tiny_data))
    return tiny_data
