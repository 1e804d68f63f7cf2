from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from monai_place.data.datalist import read_datalist


def sizes(folder: Path) -> set[tuple[str, str, int]]:
    found = set()
    for path in (folder / "images").iterdir():
        with Image.open(path) as image:
            found.add((str(image.format), image.mode, min(image.size)))
    return found


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        pytest.param((), ("JPEG", "L", 64), id="small enough"),
        pytest.param(("--side", 32, "--format", "png"), ("PNG", "L", 32), id="8 bits, lossless"),
        pytest.param(("--side", 32, "--depth", 16), ("PNG", "I;16", 32), id="16 bits"),
        pytest.param(("--side", 32, "--workers", 1), ("JPEG", "L", 32), id="8 bits"),
    ],
)
def test_a_datalist_is_converted(options: Any, expected: Any, datalist: Path, call: Any, tmp_path: Path) -> None:
    done = call("convert", datalist, tmp_path / "out", *options)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1] == str(tmp_path / "out" / "datalist.json")
    assert sizes(tmp_path / "out") == {expected}
    assert call("verify", tmp_path / "out" / "datalist.json").code == 0


def test_counts_and_statistics_come_as_json(datalist: Path, call: Any, tmp_path: Path) -> None:
    found = call("convert", datalist, tmp_path / "out", "--limit", 2, "--json").json()
    assert found["splits"] == {"training": 2, "validation": 2, "test": 2}
    assert found["pixel_mean"] == read_datalist(found["datalist"]).extra["pixel_mean"]


def test_a_broken_file_is_named_and_the_others_are_done(call: Any, tmp_path: Path) -> None:
    call("phantom", tmp_path / "in", "--studies", 4, "--size", 48)
    picture = next((tmp_path / "in" / "images").rglob("*.png"))
    picture.write_bytes(picture.read_bytes()[:100])
    done = call("convert", tmp_path / "in" / "datalist.json", tmp_path / "out", "--json")
    assert done.code == 1
    assert done.err == f"failed: {picture.stem}: image file unreadable: {picture.name}: the PNG file is truncated\n"
    assert sum(done.json()["splits"].values()) == 3


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("--side", 0), id="side"),
        pytest.param(("--depth", 12), id="depth"),
        pytest.param(("--format", "gif"), id="format"),
        pytest.param(("--format", "jpeg", "--depth", 16), id="jpeg of 16 bits"),
    ],
)
def test_an_impossible_conversion_is_bad_usage(words: Any, datalist: Path, call: Any, tmp_path: Path) -> None:
    assert call("convert", datalist, tmp_path / "out", *words).code == 2
    assert not (tmp_path / "out").exists()


def test_the_folder_of_the_datalist_is_refused(datalist: Path, call: Any) -> None:
    before = datalist.read_bytes()
    done = call("convert", datalist, datalist.parent)
    assert done.code == 1
    assert done.err.startswith("error: output must be another folder")
    assert datalist.read_bytes() == before
