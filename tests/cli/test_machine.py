from __future__ import annotations

import platform

import pytest
import torch

from monai_place.cli.machine import EXTRAS, OPENMMLAB, check_machine


def test_versions_are_those_that_are_installed() -> None:
    found = check_machine()
    assert found["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert found["python"] == platform.python_version()


def test_what_is_missing_of_an_extra_is_named() -> None:
    found = check_machine()["extras"]
    assert set(found) == set(EXTRAS)
    assert found["dicom"] == []
    assert all(set(missing) <= set(EXTRAS[extra]) for extra, missing in found.items())


def test_a_package_that_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    # The one thing that cannot be had for real: a machine on which a part is missing.
    monkeypatch.setattr("monai_place.cli.machine.CORE", ("torch", "no-such-package"))
    assert check_machine()["versions"]["no-such-package"] is None


def test_openmmlab_is_named_by_its_distribution_fork_or_upstream() -> None:
    pytest.importorskip("mmengine")
    found = check_machine()["openmmlab"]
    assert set(found) == set(OPENMMLAB)
    assert set(found["mmengine"]) <= set(OPENMMLAB["mmengine"])
    assert found["mmengine"]
