from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from monai_place.data import read_datalist


@pytest.mark.slow
def test_the_whole_path_ends_with_one_page(call: Any, tiny_settings: list[str], tmp_path: Path) -> None:
    out = tmp_path / "demo"
    done = call("demo", "--out", out, "--studies", 100, "--seed", 4, *tiny_settings)
    assert done.code == 0, done.err
    assert done.out.splitlines()[-1] == f"report: {out / 'report.html'}"
    values = json.loads((out / "metrics.json").read_text())
    assert values["studies"] == len(read_datalist(out / "data" / "datalist.json").splits["test"])
    assert set(values["linear_probe"]) == {"pretrained", "untrained"}
    assert "value" in values["linear_probe"]["pretrained"]["1.0"]
    for title in ("Zero-shot AUROC", "Classification", "Retrieval", "Grounding beside", "Findings that are asserted"):
        assert title in done.out
    page = (out / "report.html").read_text()
    assert "PLACE on the built-in phantom" in page
    assert "not a medical device" in page.lower()
    assert str(tmp_path) not in page
    # The next demo replaces it, and what a user put beside it stays.
    (out / "notes.txt").write_text("mine")
    again = call("demo", "--out", out, "--studies", 100, "--set", "nonsense=1")
    assert again.code == 2
    assert (out / "report.html").exists()


def test_a_folder_of_the_user_is_never_removed(call: Any, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thesis.txt").write_text("mine")
    done = call("demo", "--out", tmp_path, "--studies", 100)
    assert done.code == 1
    assert "holds 'data', and no demo wrote it" in done.err
    assert (tmp_path / "data" / "thesis.txt").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["data", "thesis.txt"]


@pytest.mark.parametrize("words", [("--studies", 99), ("--set", "epoch=1"), ("--seed", -1)])
def test_bad_usage_begins_nothing(words: Any, call: Any, tmp_path: Path) -> None:
    assert call("demo", "--out", tmp_path / "demo", *words).code == 2
    assert not (tmp_path / "demo").exists()
