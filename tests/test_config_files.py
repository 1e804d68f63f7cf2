from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import monai_place
from monai_place.config_files import config_folder, config_names, config_path

KNOWN = "placevit-tiny_upernet_1xb8-2k_phantom-224x224"


def test_every_file_that_is_no_base_is_found_by_its_name_with_and_without_suffix() -> None:
    files = [file for file in config_folder().rglob("*.py") if "_base_" not in file.parts]
    assert sorted(file.stem for file in files) == config_names()  # no name twice
    for file in files:
        assert config_path(file.stem) == config_path(file.name) == str(file)


@pytest.mark.parametrize("name", ["placevit-tiny_upernet_1xb8-2k_phantom-224", "upernet phantom", "", "seg_2k", "../x"])
def test_an_unknown_name_is_refused_with_the_nearest_ones(name: str) -> None:
    with pytest.raises(ValueError, match="there is no config") as error:
        config_path(name)
    if "upernet" in name:
        assert KNOWN in str(error.value)
    assert "none" not in str(error.value)


def test_for_a_name_unlike_all_others_the_command_that_lists_them_is_named() -> None:
    with pytest.raises(ValueError, match="`monai-place config-path` lists them all"):
        config_path("zzz")


def test_the_package_hands_the_function_out_without_any_framework() -> None:
    program = (
        "import sys, monai_place; print(monai_place.config_path('" + KNOWN + "'));"
        "print([name for name in ('mmengine', 'torch', 'monai') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [config_path(KNOWN), "[]"]
    assert "config_path" in monai_place.__all__


def test_the_path_is_absolute() -> None:
    assert Path(config_path(KNOWN)).is_absolute()
