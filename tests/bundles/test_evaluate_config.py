"""evaluate.json: the numbers of a trained bundle on a split, as a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.commands import bundle_command


def test_the_numbers_of_a_split_are_written(trained: Path, datalist: Path, tmp_path: Path) -> None:
    words = ["run", "--config_file", str(trained / "configs" / "evaluate.json"), "--bundle_root", str(trained)]
    words += [
        "--datalist",
        str(datalist),
        "--output_dir",
        str(tmp_path / "out"),
        "--bootstrap",
        "50",
        "--device",
        "cpu",
    ]
    ended = bundle_command(*words, log=tmp_path / "log", cwd=tmp_path)
    assert ended.code == 0, ended.output
    values = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert values["studies"] == 12
    assert {"retrieval", "zero_shot", "grounding", "diagnostics", "note"} <= values.keys()
    for mode in ("global", "local"):
        macro = values["zero_shot"][mode]["macro"]
        assert macro["low"] <= macro["value"] <= macro["high"]
    assert {"model", "prior"} <= values["grounding"]["pointing"].keys()
    assert "pcma_gap" in values["diagnostics"]


@pytest.mark.parametrize("split", ["validation"])
def test_another_split_can_be_chosen(trained: Path, datalist: Path, tmp_path: Path, split: str) -> None:
    words = ["run", "--config_file", str(trained / "configs" / "evaluate.json"), "--bundle_root", str(trained)]
    words += ["--datalist", str(datalist), "--output_dir", str(tmp_path), "--split", split, "--limit", "3"]
    ended = bundle_command(*words, "--bootstrap", "10", log=tmp_path / "log")
    assert ended.code == 0, ended.output
    assert json.loads((tmp_path / "metrics.json").read_text(encoding="utf-8"))["studies"] == 3
