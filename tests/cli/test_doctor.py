from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from monai_place.cli import machine
from monai_place.cli.machine import EXTRAS


@pytest.fixture(scope="module")
def answer(call: Any) -> Any:
    """Return how `doctor --json` ended; it tries every package in a new process, which takes a while."""
    return call("doctor", "--json")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the doctor try a few packages alone."""
    monkeypatch.setattr("monai_place.cli.doctor.CORE_IMPORTS", ("nibabel",))
    monkeypatch.setattr("monai_place.cli.doctor.EXTRAS", {"dicom": EXTRAS["dicom"]})


def break_package(name: str, code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / f"{name}.py").write_text(code, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_on_this_machine_everything_that_is_installed_works(answer: Any) -> None:
    found = answer.json()
    assert answer.code == 0
    assert found["works"] is True
    assert found["problems"] == []
    assert {"torch", "torchvision", "monai", "monai_place"} <= set(found["imports"])
    assert {name: error for name, error in found["imports"].items() if error} == {}
    assert found["devices"][0] == "cpu"


def test_it_tells_which_operators_serve_mmcv(answer: Any) -> None:
    pytest.importorskip("mmcv")
    assert answer.json()["operators"] in ("compiled", "stand-in")


@pytest.mark.usefixtures("quick")
def test_for_people_there_is_a_line_each(call: Any) -> None:
    done = call("doctor", "--for", "dicom")
    first = [line.split()[0] for line in done.out.splitlines()]
    assert {"python", "monai-place", "torch", "mmcv", "operators", "devices"} <= set(first)
    assert (done.code, done.err) == (0, "")


@pytest.mark.usefixtures("quick")
def test_what_is_broken_is_told_with_what_mends_it_and_fails_who_asks_for_it(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_package("highdicom", "raise OSError('no libopenjp2')", tmp_path, monkeypatch)
    mends = "\n    pip install --force-reinstall --no-deps --no-cache-dir highdicom\n"
    told = "(dicom): highdicom does not import (OSError: no libopenjp2)" + mends
    done = call("doctor")
    assert (done.code, done.err) == (0, "note " + told)
    done = call("doctor", "--for", "dicom")
    assert (done.code, done.err) == (1, "PROBLEM " + told)


@pytest.mark.usefixtures("quick")
def test_a_core_that_crashes_fails_everybody_and_the_answer_is_still_json(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_package("nibabel", "import os; os.abort()", tmp_path, monkeypatch)
    done = call("doctor", "--json", "--for", "dicom")
    assert done.code == 1
    assert done.json()["works"] is False
    assert [problem["part"] for problem in done.json()["problems"]] == ["core"]
    assert done.json()["imports"]["highdicom"] is None


@pytest.mark.usefixtures("quick")
def test_a_package_of_the_core_that_is_missing_is_not_tried(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # The one thing that cannot be had for real: a machine on which a part is missing.
    version = machine._version
    gone = ("torch", "torchvision", "nibabel")
    monkeypatch.setattr(machine, "_version", lambda name: None if name in gone else version(name))
    done = call("doctor", "--json")
    assert done.code == 1
    assert "nibabel" not in done.json()["imports"]
    assert [entry["fix"] for entry in done.json()["problems"]] == ["pip install monai-place"] * 3


def test_a_part_that_there_is_not_is_bad_usage(call: Any) -> None:
    assert call("doctor", "--for", "everything").code == 2
