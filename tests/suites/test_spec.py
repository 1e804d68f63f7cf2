from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from monai_place.suites.spec import SuiteSpec, read_suite

TASKS = {"probe": True, "zero": False}
SUITE: dict[str, Any] = {
    "name": "demo",
    "seeds": [0, 1],
    "fractions": [0.1, 1],
    "checkpoints": [
        {"name": "PLACE", "run": "run"},
        {"name": "timm", "timm": "vit_tiny_patch16_224", "weights": "w.pt"},
    ],
    "datasets": [{"name": "phantom", "datalist": "data/datalist.json"}],
    "tasks": [
        {"task": "probe"},
        {"task": "probe", "title": "few", "fractions": [0.1], "seeds": [3], "lr": 1},
        {"task": "zero"},
    ],
}


def read(folder: Path, **changes: Any) -> SuiteSpec:
    path = folder / "suite.json"
    path.write_text(json.dumps(SUITE | changes), encoding="utf-8-sig")
    return read_suite(path, tasks=TASKS)


def test_the_matrix_is_enumerated_in_the_order_of_the_file(tmp_path: Path) -> None:
    cells = list(read(tmp_path).cells(trains=TASKS, shares=TASKS))
    assert len(cells) == 2 * 2 * 2 + 2 + 2
    assert str(cells[0]) == "probe, phantom, PLACE, 10 %, seed 0"
    assert str(cells[8]) == "few, phantom, PLACE, 10 %, seed 3"
    assert str(cells[-1]) == "zero, phantom, timm"
    assert (cells[-1].fraction, cells[-1].seed) == (None, None)


def test_paths_are_relative_to_the_suite_and_names_of_presets_are_not_paths(tmp_path: Path) -> None:
    spec = read(tmp_path, checkpoints=[{"name": "a", "run": "runs/x"}, {"name": "b", "timm": "vit", "weights": "timm"}])
    assert spec.checkpoints[0].value == str(tmp_path / "runs/x")
    assert (spec.checkpoints[1].value, spec.checkpoints[1].weights) == ("vit", "timm")
    assert read(tmp_path).checkpoints[1].weights == str(tmp_path / "w.pt")
    assert spec.datasets[0].datalist == str(tmp_path / "data/datalist.json")
    for given, expected in (("rsna", "rsna"), ("mine.json", str(tmp_path / "mine.json"))):
        found = read(tmp_path, datasets=[{"name": "a", "datalist": "d.json", "prompts": given}])
        assert found.datasets[0].prompts == expected


def test_a_key_changes_with_whatever_can_change_the_result(tmp_path: Path) -> None:
    cells = list(read(tmp_path).cells(trains=TASKS, shares=TASKS))
    identity = {"weights": "w", "datalist": "d", "version": "1"}
    keys = [cell.key(identity) for cell in cells]
    # A checkpoint is told by its weights, which are the same for both here.
    assert len(set(keys)) == len(keys) / 2
    assert cells[0].key(identity) == keys[0]
    for name in identity:
        assert cells[0].key({**identity, name: "other"}) != keys[0]
    renamed = list(
        read(tmp_path, datasets=[{"name": "other", "datalist": "data/datalist.json"}]).cells(trains=TASKS, shares=TASKS)
    )
    assert renamed[0].key(identity) == keys[0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param({"checkpoint": []}, r"unknown keys \['checkpoint'\]", id="typo"),
        pytest.param({"tasks": []}, r"key 'tasks' must be a list of at least one", id="none"),
        pytest.param(
            {"tasks": [{"task": "prob"}]}, r"tasks\[0\]: unknown task 'prob'; known: \['probe', 'zero'\]", id="task"
        ),
        pytest.param({"tasks": [{"task": "probe"}] * 2}, r"\['probe'\] stand twice; a task has `title`", id="twice"),
        pytest.param({"fractions": [0]}, r"'fractions' must be shares above 0", id="fraction"),
        pytest.param({"fractions": 1}, r"'fractions' must be shares .* in a list, got 1$", id="one fraction"),
        pytest.param({"seeds": [-1]}, r"'seeds' must be whole numbers", id="seed"),
        pytest.param({"seeds": 3}, r"'seeds' must be whole numbers .* in a list, got 3", id="one seed"),
        pytest.param({"seeds": [0, 0]}, r"'seeds' must be .* each once, in a list, got \[0, 0\]", id="seed twice"),
        pytest.param({"seeds": [True]}, r"'seeds' must be whole numbers", id="no seed"),
        pytest.param({"split": "tset"}, r"key 'split' must be one of .*, got 'tset'", id="split"),
        pytest.param(
            {"checkpoints": [{"name": "a", "timm": "x", "weights": "timm", "image_size": "224"}]},
            r"checkpoints\[0\]: key 'image_size' must be a whole number of at least 1, got '224'",
            id="image size",
        ),
        pytest.param(
            {"datasets": [{"name": "a", "datalist": "d.json", "prompts": 5}]}, "'prompts' must be text", id="prompts"
        ),
        pytest.param({"checkpoints": [{"name": "a"}]}, r"checkpoints\[0\]: expected one of the keys", id="no kind"),
        pytest.param(
            {"checkpoints": [{"name": "a", "run": "x", "timm": "y"}]}, r"got \['run', 'timm'\]", id="two kinds"
        ),
        pytest.param(
            {"checkpoints": [{"name": "a", "run": "x", "weights": "y"}]}, "of a run is 'random'", id="weights"
        ),
        pytest.param(
            {"datasets": [{"name": "a"}]}, r"datasets\[0\]: key 'datalist' must be text, got None", id="datalist"
        ),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read(tmp_path, **changes)


def test_a_file_that_is_no_suite_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "suite.json"
    path.write_text("[1]")
    with pytest.raises(ValueError, match=r"suite\.json: a suite is a JSON object, got list"):
        read_suite(path, tasks=TASKS)
    path.write_text("{")
    with pytest.raises(ValueError, match=r"suite\.json: not JSON"):
        read_suite(path, tasks=TASKS)
    with pytest.raises(FileNotFoundError):
        read_suite(tmp_path / "none.json", tasks=TASKS)
