from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from monai_place.suites.run import plan_suite, run_suite
from monai_place.suites.tables import SuiteTable
from tests.suites.conftest import SUITE

Measured = tuple[SuiteTable, Path]


def rewrite(source: Path, folder: Path, **changes: Any) -> Path:
    """A copy of the suite elsewhere, its paths absolute."""
    content = json.loads(json.dumps({**SUITE, **changes}).replace('"model"', f'"{source}/model"'))
    content["datasets"][0]["datalist"] = str(source / "phantom" / "datalist.json")
    folder.mkdir(exist_ok=True)
    (folder / "suite.json").write_text(json.dumps(content))
    return folder / "suite.json"


def cell_times(out: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (out / "cells").iterdir()}


def test_every_line_has_every_checkpoint_that_it_applies_to(measured: Measured) -> None:
    table, _ = measured
    assert [(row.title, list(row.estimates)) for row in table.rows] == [
        ("logistic_probe, 50 %", ["trained", "random", "timm"]),
        ("logistic_probe, 100 %", ["trained", "random", "timm"]),
        ("zero_shot", ["trained"]),
        ("retrieval", ["trained"]),
    ]
    assert table.failed == []
    assert len(table.skipped) == 4
    assert {reason for _, reason in table.skipped} == {"needs a pretrained text side, which this network has not"}
    assert len(table.rows[0].differences) == 3
    assert table.rows[0].studies == 16


def test_files_of_the_results_say_the_same(measured: Measured) -> None:
    table, out = measured
    assert json.loads((out / "results.json").read_text())["rows"] == json.loads(json.dumps(table.to_dict()))["rows"]
    assert (out / "results.md").read_text() == table.to_markdown()
    rows = list(csv.DictReader((out / "results.csv").read_text().splitlines()))
    assert {row["checkpoint"] for row in rows} == {"trained", "random", "timm"}
    assert "Not a medical device" in table.note
    assert not (out / "work").exists()


def test_a_finished_suite_measures_nothing_again(measured: Measured, suite_folder: Path) -> None:
    table, out = measured
    before = cell_times(out)
    again = run_suite(suite_folder / "suite.json", out, resamples=50)
    assert cell_times(out) == before
    assert again.to_dict() == table.to_dict()


def test_one_more_checkpoint_costs_only_its_own_cells(measured: Measured, suite_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(measured[1] / "cells", tmp_path / "out" / "cells")
    before = cell_times(tmp_path / "out")
    more = {"name": "other", "timm": "test_vit.r160_in1k", "weights": "random", "image_size": 48}
    suite = rewrite(suite_folder, tmp_path / "s", checkpoints=[*SUITE["checkpoints"], more])
    run_suite(suite, tmp_path / "out", resamples=10)
    after = cell_times(tmp_path / "out")
    assert {name: after[name] for name in before} == before
    assert len(after) - len(before) == 2 * 4


def test_a_suite_that_lost_a_cell_measures_it_to_the_same_numbers(
    measured: Measured, suite_folder: Path, tmp_path: Path
) -> None:
    table, out = measured
    shutil.copytree(out / "cells", tmp_path / "out" / "cells")
    lost = sorted((tmp_path / "out" / "cells").glob("*.json"))[:3]
    for path in lost:
        path.unlink()
    again = run_suite(rewrite(suite_folder, tmp_path / "s"), tmp_path / "out", resamples=50)
    assert [row.to_dict() for row in again.rows] == [row.to_dict() for row in table.rows]


def test_a_cell_that_fails_is_listed_and_the_others_go_on(suite_folder: Path, tmp_path: Path) -> None:
    broken = {"name": "broken", "run": str(tmp_path / "nowhere")}
    suite = rewrite(
        suite_folder,
        tmp_path / "s",
        checkpoints=[broken, SUITE["checkpoints"][0]],
        tasks=[{"task": "logistic_probe"}],
        fractions=[1.0],
        seeds=[0],
    )
    table = run_suite(suite, tmp_path / "out", resamples=10)
    assert [cell for cell, _ in table.failed] == ["logistic_probe, phantom, broken, 100 %, seed 0"]
    assert "FileNotFoundError" in table.failed[0][1]
    assert list(table.rows[0].estimates) == ["trained"]


def test_a_setting_that_a_task_does_not_know_is_refused_before_anything_runs(
    suite_folder: Path, tmp_path: Path
) -> None:
    suite = rewrite(suite_folder, tmp_path / "s", tasks=[{"task": "zero_shot", "modes": "global"}])
    with pytest.raises(ValueError, match=r"task 'zero_shot': unknown settings \['modes'\]; known: \['mode'\]"):
        plan_suite(suite)
