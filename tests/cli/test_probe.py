from __future__ import annotations

import importlib
import sys
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from monai_place.cli.probe import _operators, probe_packages

BROKEN = {
    "place_talks": "print('a word on stdout, { \"place_talks\": 1 }')",
    "place_raises": "raise RuntimeError('operator x::y does not exist\\nand more')",
    "place_exits": "raise SystemExit('no display')",
    "place_crashes": "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)",
    "place_tells": "open('/some/folder of mine/lib.so.1')",
}


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of packages that are broken each in its way, which new processes find."""
    for name, code in BROKEN.items():
        (tmp_path / f"{name}.py").write_text(code, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("packages")
def test_each_package_answers_for_itself_whatever_the_others_do() -> None:
    found = probe_packages(["place_raises", "json", "place_crashes", "place_talks", "place_exits", "place_gone"])
    assert found == {
        "place_raises": {"error": "RuntimeError: operator x::y does not exist and more"},
        "json": {"value": None},
        "place_crashes": {"error": "the process that tried it ended with -11"},
        "place_talks": {"value": None},
        "place_exits": {"error": "SystemExit: no display"},
        "place_gone": {"error": "ModuleNotFoundError: No module named 'place_gone'"},
    }


@pytest.mark.usefixtures("packages")
def test_an_error_holds_no_folder_of_the_machine() -> None:
    assert probe_packages(["place_tells"])["place_tells"]["error"].endswith("No such file or directory: 'lib.so.1'")


def test_what_hangs_is_given_up(packages: Path) -> None:
    (packages / "place_hangs.py").write_text("import time; time.sleep(600)", encoding="utf-8")
    found = probe_packages(["place_hangs"], timeout_s=3)
    assert found == {"place_hangs": {"error": "no answer within 3 s"}}


def test_a_stray_file_in_the_folder_of_the_caller_is_not_taken_for_a_package(
    packages: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH")
    monkeypatch.chdir(packages)
    assert "ModuleNotFoundError" in probe_packages(["place_talks"])["place_talks"]["error"]


def test_compiled_operators_that_do_not_load_are_told_beside_what_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mmcv = pytest.importorskip("mmcv")
    importlib.import_module("monai_place.mm.ops")
    monkeypatch.setattr(mmcv, "_ext", sys.modules["mmcv._ext"])  # what is put there in the test is taken away again
    monkeypatch.delitem(sys.modules, "mmcv._ext")
    monkeypatch.setattr(mmcv, "__path__", [str(tmp_path), *mmcv.__path__])
    name = f"_ext{EXTENSION_SUFFIXES[0]}"
    (tmp_path / name).write_bytes(b"of another torch")
    told = _operators("operators")
    assert (told["serving"], told["cuda"]) == ("stand-in", None)
    assert told["error"].startswith(f"ImportError: {name}: ")


def test_nothing_is_asked_for_nothing() -> None:
    assert probe_packages([]) == {}
