"""Datalists in the layout that we write are read record by record; the result and the errors are the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from monai_place.data import datalist as datalists
from monai_place.data.datalist import SPLITS, Datalist, DatalistError, read_datalist, write_datalist
from monai_place.data.datalist_lines import read_record_lines

RECORDS = {
    "training": [{"id": str(index), "image": f"{index}.png", "report": "A\nB\u2028C é 😀"} for index in range(3)],
    "validation": [],
    "test": [{"id": "t", "image": "t.png", "findings": [{"class": "a", "box": [0, 1, 2, 3.5]}], "label": [1, None]}],
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    extra = {"mask_root": ".", "training_note": {"a": [1, "x: ["]}, "odd": ": ["}
    write_datalist(Datalist("n", "1", "s: [", ".", ["c", "d"], RECORDS, extra=extra), tmp_path / "d.json")
    return tmp_path / "d.json"


def read_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> Datalist:
    with monkeypatch.context() as patch:
        patch.setattr(datalists, "read_record_lines", lambda *_: None)
        return read_datalist(path)


def test_what_was_written_is_read_by_lines_and_is_the_same(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = read_record_lines(path, SPLITS)
    assert content == json.loads(path.read_text(encoding="utf-8"))
    assert content is not None
    assert list(content) == list(json.loads(path.read_text(encoding="utf-8")))
    assert read_datalist(path) == read_whole(path, monkeypatch)


def test_records_share_the_memory_of_their_keys(path: Path) -> None:
    first, second = read_datalist(path).splits["training"][:2]
    assert all(one is other for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize(
    "rewrite",
    [
        pytest.param(lambda text: json.dumps(json.loads(text)), id="one line"),
        pytest.param(lambda text: json.dumps(json.loads(text), indent=2), id="indented"),
        pytest.param(lambda text: text.replace("\n", "\r\n"), id="Windows line ends"),
        pytest.param(lambda text: "\ufeff" + text, id="byte order mark"),
        pytest.param(lambda text: text + "\n\n", id="blank lines"),
        pytest.param(lambda text: text.rstrip("\n"), id="no line end"),
    ],
)
def test_other_layouts_are_read_all_the_same(rewrite: Any, path: Path) -> None:
    expected = read_datalist(path)
    path.write_bytes(rewrite(path.read_text(encoding="utf-8")).encode())
    assert read_datalist(path) == expected


def variants(text: str) -> list[str]:
    """Return the text with each single line taken out or doubled, each comma dropped, and each cut at a line."""
    lines = text.splitlines(keepends=True)
    found = []
    for index, line in enumerate(lines):
        found.append("".join(lines[:index] + lines[index + 1 :]))
        found.append("".join([*lines[:index], line, *lines[index:]]))
        found.append("".join(lines[:index]))
        for old, new in ((",\n", "\n"), ("\n", ",\n"), ("}", "}}"), ("]", "")):
            found.append("".join([*lines[:index], line.replace(old, new), *lines[index + 1 :]]))
    return found


def outcome(path: Path) -> Any:
    try:
        return read_datalist(path)
    except DatalistError as error:
        return str(error)


def test_every_fault_has_the_outcome_of_reading_the_file_whole(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = 0
    for text in variants(path.read_text(encoding="utf-8")):
        path.write_text(text, encoding="utf-8")
        found = outcome(path)
        with monkeypatch.context() as patch:
            patch.setattr(datalists, "read_record_lines", lambda *_: None)
            assert found == outcome(path), text
        faults += isinstance(found, str)
    assert faults > 30


def test_what_json_does_not_know_is_refused_in_a_record_too(path: Path) -> None:
    path.write_text(path.read_text(encoding="utf-8").replace('"t.png"', "NaN"), encoding="utf-8")
    with pytest.raises(DatalistError, match=r"d\.json: not JSON: NaN is not JSON"):
        read_datalist(path)
