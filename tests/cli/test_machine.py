from __future__ import annotations

import platform
from typing import Any

import torch

from monai_place.cli.machine import EXTRAS, check_machine


def test_json_holds_the_versions_that_are_installed(call: Any) -> None:
    done = call("doctor", "--json")
    found = done.json()
    assert done.code == 0
    assert found["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert found["python"] == platform.python_version()
    assert found["devices"][0] == "cpu"
    assert found["problems"] == []
    assert set(found["extras"]) == set(EXTRAS)


def test_for_people_there_is_a_line_each(call: Any) -> None:
    done = call("doctor")
    first = [line.split()[0] for line in done.out.splitlines()]
    assert {"python", "monai-place", "torch", "devices"} <= set(first)
    assert done.err == ""


def test_what_is_missing_of_an_extra_is_named() -> None:
    found = check_machine()["extras"]
    assert found["dicom"] == []
    assert all(set(missing) <= set(EXTRAS[extra]) for extra, missing in found.items())


def test_a_missing_package_is_a_problem_that_says_what_mends_it(call: Any, monkeypatch: Any) -> None:
    # The one thing that cannot be had for real: a machine on which a part is missing.
    monkeypatch.setattr("monai_place.cli.machine.CORE", ("monai-place", "torch", "torchvision", "no-such-package"))
    done = call("doctor")
    assert done.code == 1
    assert done.err == "PROBLEM: no-such-package is missing: pip install monai-place\n"
    assert "no-such-package      missing" in done.out


def test_without_torch_the_doctor_still_answers(call: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(
        "monai_place.cli.machine._version", lambda name: None if name in ("torch", "torchvision") else "1.0"
    )
    found = call("doctor", "--json")
    assert found.code == 1
    assert found.json()["devices"] == ["cpu"]
    assert [problem.partition(" ")[0] for problem in found.json()["problems"]] == ["torch", "torchvision"]
