"""A small phantom on disk, for everything that reads, trains and evaluates through the toolboxes."""

from __future__ import annotations

from pathlib import Path

import pytest

from monai_place.data.phantom import write_phantom


@pytest.fixture(scope="session")
def phantom_mm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of eight phantom studies of 64 pixels (datalist, images, masks, COCO files).

    Four are for training, one of them without findings; two each, with findings, for validation and test. Tests only
    read it.
    """
    folder = tmp_path_factory.mktemp("phantom_mm")
    write_phantom(folder, studies=8, size=64, seed=0, fractions=(0.5, 0.25, 0.25))
    return folder
