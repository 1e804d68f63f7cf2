"""evaluate.json: the numbers of a trained bundle on a split, as a file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from monai_place.data.sources import prepare_source
from tests.bundles.conftest import BUNDLE
from tests.support.commands import bundle_command
from tests.support.models import save_tiny_place


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


@pytest.mark.shared
def test_the_real_data_is_evaluated(covid19_cxr: Path, tmp_path: Path) -> None:
    save_tiny_place(tmp_path / "model")
    report = prepare_source("covid19-cxr", covid19_cxr, tmp_path / "datalist")
    words = ["run", "--config_file", str(BUNDLE / "configs" / "evaluate.json"), "--bundle_root", str(BUNDLE)]
    words += ["--model_dir", str(tmp_path / "model"), "--datalist", str(report.datalist), "--limit", "24"]
    ended = bundle_command(
        *words, "--output_dir", str(tmp_path / "out"), "--bootstrap", "10", "--device", "cpu", log=tmp_path / "log"
    )
    assert ended.code == 0, ended.output
    values = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert values["studies"] == 24
    assert {"retrieval", "zero_shot", "note"} <= values.keys()
    assert not values["failed"]
