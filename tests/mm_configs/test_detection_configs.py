"""Every config of detection: parsed, built, trained for a step, validated and resumed, on tiny data."""

from __future__ import annotations

from pathlib import Path

import pytest

import monai_place.mm  # noqa: F401
from monai_place.config_files import config_folder

pytest.importorskip("mmdet")

from tests.support.mm_configs import train_and_resume

NAMES = sorted(file.stem for file in (config_folder() / "detection").glob("*.py"))


@pytest.mark.parametrize("name", NAMES)
def test_a_config_trains_validates_and_resumes(name: str, tiny_configs: Path, data_here: Path, tmp_path: Path) -> None:
    train_and_resume(tiny_configs / "detection" / f"{name}.py", tmp_path)
