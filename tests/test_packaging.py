"""What an installed package holds besides its modules."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the modules and data that go into a wheel, from a copy of the project in which a run has left files."""
    copy = tmp_path_factory.mktemp("copy")
    for name in ("setup.py", "pyproject.toml", "README.md"):
        shutil.copy(ROOT / name, copy)
    for name in ("monai_place", "bundles", "mm_configs"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for left in ("models/model.pt", "checkpoints/checkpoint_000000001.pt", "history.jsonl"):
        path = copy / "bundles" / "place" / left
        path.parent.mkdir(exist_ok=True)
        path.write_text("of a run")
    command = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", "lib"]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return copy / "lib"


def test_the_bundle_is_inside_without_what_a_run_has_left(built: Path) -> None:
    inside, outside = built / "monai_place" / "bundles" / "place", ROOT / "bundles" / "place"
    found = {path.relative_to(inside).as_posix() for path in inside.rglob("*") if path.is_file()}
    parts = [*(outside / "configs").rglob("*"), *(outside / "docs").rglob("*"), outside / "LICENSE"]
    assert found == {path.relative_to(outside).as_posix() for path in parts if path.is_file()}
    assert "configs/train.json" in found


def test_prompts_templates_and_the_mark_of_types_are_inside(built: Path) -> None:
    package = built / "monai_place"
    assert (package / "py.typed").is_file()
    assert {path.name for path in (package / "inference" / "prompts").glob("*.json")}
    outside = {path.name for path in (ROOT / "monai_place" / "visualize" / "templates").iterdir()}
    assert {path.name for path in (package / "visualize" / "templates").iterdir()} == outside


def test_an_installed_package_finds_its_bundle(built: Path) -> None:
    program = "from monai_place.engines.bundle import bundle_folder; print(bundle_folder())"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(built)},
        cwd=built,
        capture_output=True,
        text=True,
        check=False,
    )
    assert Path(done.stdout.strip()) == built / "monai_place" / "bundles" / "place", done.stderr


def test_the_configs_of_the_toolboxes_are_inside_and_found(built: Path) -> None:
    inside, outside = built / "monai_place" / "mm_configs", ROOT / "mm_configs"
    expected = {path.relative_to(outside) for path in outside.rglob("*") if path.suffix in {".py", ".md"}}
    assert {path.relative_to(inside) for path in inside.rglob("*") if path.is_file()} == expected
    name = next(path.stem for path in (outside / "detection").glob("*.py"))
    program = f"import monai_place; print(monai_place.config_path({name!r}))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"PYTHONPATH": str(built)},
        cwd=built,
        capture_output=True,
        text=True,
        check=False,
    )
    assert Path(done.stdout.strip()) == inside / "detection" / f"{name}.py", done.stderr
