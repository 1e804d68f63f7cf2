from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from monai_place.weights.description import read_description
from monai_place.weights.reading import WeightsError


def name_of(content: Mapping[str, Any]) -> str:
    return str(content["name"])


def read(path: Path) -> str:
    return read_description(path, name_of, version=2, what="a thing")


def test_the_builder_gets_the_content(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"format_version": 2, "package_version": "0.1", "name": "b"}))
    assert read(path) == "b"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param("{", "a.json: not the description of a thing: JSONDecodeError", id="cut"),
        pytest.param("[]", "not the description of a thing: TypeError", id="no object"),
        pytest.param('{"format_version": 1, "package_version": "0.1"}', "a thing: KeyError: 'name'", id="lacks a key"),
        pytest.param(
            '{"format_version": 3, "package_version": "9.1"}',
            "a.json: format 3 is newer than 2, which this version reads; it was written by monai-place 9.1",
            id="newer",
        ),
    ],
)
def test_what_it_is_not_is_said(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(WeightsError, match=message):
        read(tmp_path / "a.json")


def test_a_missing_file_is_named_with_its_folder_alone(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(FileNotFoundError, match=r"^'a.json' does not exist in folder 'model'$"):
        read(tmp_path / "model" / "a.json")
