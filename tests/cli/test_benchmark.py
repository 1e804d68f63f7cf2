from __future__ import annotations

import io
import json
import logging
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def suite(tmp_path: Path, model: Path, datalist: Path) -> Path:
    content: dict[str, Any] = {
        "name": "two starts",
        "checkpoints": [
            {"name": "drawn", "run": str(model), "weights": "random"},
            {"name": "gone", "run": str(tmp_path / "nowhere")},
        ],
        "datasets": [{"name": "phantom", "datalist": str(datalist)}],
        "tasks": [{"task": "logistic_probe"}],
    }
    path = tmp_path / "suite.json"
    path.write_text(json.dumps(content))
    return path


def test_a_dry_run_lists_the_cells_and_writes_nothing(suite: Path, call: Any, tmp_path: Path) -> None:
    done = call("benchmark", suite, "--out", tmp_path / "out", "--dry-run")
    assert done.code == 0
    assert done.out.splitlines()[0] == "logistic_probe, phantom, drawn, 100 %, seed 0"
    assert "2 cells, 0 do not apply" in done.err
    assert not (tmp_path / "out").exists()


def test_it_writes_a_page_and_a_table_and_ends_with_1_where_a_cell_failed(
    suite: Path, call: Any, tmp_path: Path
) -> None:
    done = call("benchmark", suite, "--out", tmp_path / "out", "--device", "cpu", "--bootstrap", 10)
    assert done.code == 1
    assert "| logistic_probe, 100 %: macro AUROC |" in done.out
    assert "failed: logistic_probe, phantom, gone, 100 %, seed 0" in done.err
    page = (tmp_path / "out" / "report.html").read_text()
    assert "two starts" in page
    assert "FileNotFoundError" in page
    assert str(tmp_path) not in page
    assert {path.name for path in (tmp_path / "out").iterdir()} >= {"results.json", "results.csv", "results.md"}


def test_json_is_the_table_and_nothing_of_a_training_s_log(
    suite: Path, call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import monai.bundle.scripts as scripts

    (handler,) = (one for one in scripts.logger.handlers if type(one) is logging.StreamHandler)
    monkeypatch.setattr(handler, "stream", heard := io.StringIO())  # where MONAI writes by itself: stdout
    short = {"task": "linear_probe", "epochs": 1, "batch_size": 8, "val_interval": 1}
    content = json.loads(suite.read_text())
    suite.write_text(json.dumps({**content, "tasks": [*content["tasks"], short]}))
    found = call("benchmark", suite, "--out", tmp_path / "out", "--device", "cpu", "--bootstrap", 10, "--json").json()
    assert found["rows"][0]["estimates"]["drawn"]["seeds"] == 1
    assert found["failed"][0]["cell"] == "logistic_probe, phantom, gone, 100 %, seed 0"
    assert heard.getvalue() == ""


def test_a_file_that_is_no_suite_is_an_error_of_one_line(call: Any, tmp_path: Path) -> None:
    (tmp_path / "suite.json").write_text("[]")
    done = call("benchmark", tmp_path / "suite.json", "--out", tmp_path / "out")
    assert done.code == 1
    assert done.err.startswith("error: suite.json: a suite is a JSON object")
