from __future__ import annotations

import json
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

from monai_place.cli.classification import classification_tables
from monai_place.inference.classification import SplitScores, measure_splits
from tests.cli.conftest import Call

QUICK = ["--set", "epochs=1", "--set", "bootstrap=10"]


@pytest.fixture(scope="module")
def probed(call: Call, model: Path, datalist: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return the folder of a probe and how the command ended."""
    folder = tmp_path_factory.mktemp("probe") / "run"
    return folder, call("probe", model, datalist, "--out", folder, "--fraction", 0.5, "--seed", 3, *QUICK)


def test_probe_prints_the_line_of_monai_that_does_the_same_and_a_table(probed: Any, datalist: Path) -> None:
    folder, done = probed
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    words = shlex.split(lines[0])
    assert words[:4] == ["python", "-m", "monai.bundle", "run"]
    assert words[words.index("--output_dir") + 1] == str(folder)
    assert words[words.index("--datalist") + 1] == str(datalist)
    assert words[words.index("--fraction") + 1] == "0.5"
    assert "thresholds from the validation" in lines[2]
    assert lines[3].split()[:3] == ["class", "auroc", "auprc"]
    assert any(line.startswith("macro") for line in lines)
    assert "Not a medical device" in done.err
    assert {"metrics.json", "scores.json", "run.json"} <= {path.name for path in folder.iterdir()}


def test_a_folder_with_a_run_is_refused_and_can_be_resumed(
    call: Call, probed: Any, model: Path, datalist: Path
) -> None:
    folder, first = probed
    done = call("probe", model, datalist, "--out", folder)
    assert (done.code, "is not empty; go on with --resume" in done.err) == (1, True)
    again = call("probe", model, datalist, "--out", folder, "--resume")
    assert again.code == 0, again.err
    assert again.out.splitlines()[1:] == first.out.splitlines()[1:]
    other = call("probe", model, datalist, "--out", folder, "--resume", "--mode", "mgca")
    assert (other.code, "is of mode 'clean', not 'mgca'" in other.err) == (1, True)


@pytest.mark.parametrize(
    ("verb", "options", "configs"),
    [
        ("probe", [], ["linear_probe.json"]),
        ("probe", ["--mode", "mgca", "--set", "flip_prob=0.5"], ["finetune.json", "mgca_probe.json"]),
        ("finetune", ["--set", "layer_decay=0.5", "--weights", "random"], ["finetune.json"]),
    ],
)
def test_a_dry_run_prints_the_configs_and_writes_nothing(
    call: Call, model: Path, datalist: Path, tmp_path: Path, verb: str, options: list[str], configs: list[str]
) -> None:
    done = call(verb, model, datalist, "--out", tmp_path / "run", "--dry-run", *options)
    assert done.code == 0, done.err
    for name in configs:
        assert name in done.out
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("verb", "options", "message"),
    [
        ("probe", ["--mode", "paper"], "is not one of clean, mgca"),
        ("probe", ["--set", "layer_decay=0.5"], "linear_probe.json has no setting 'layer_decay'"),
        ("finetune", ["--set", "fraction=0.5"], "'fraction' is given by --fraction"),
        ("finetune", ["--fraction", "2"], "less than or equal to 1"),
    ],
)
def test_bad_usage_begins_nothing(
    call: Call, model: Path, datalist: Path, tmp_path: Path, verb: str, options: list[str], message: str
) -> None:
    done = call(verb, model, datalist, "--out", tmp_path / "run", *options)
    assert done.code == 2
    assert message in " ".join(done.err.replace("│", " ").split())
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("verb", ["probe", "finetune", "train-report"])
def test_a_command_that_failed_leaves_nothing_that_refuses_the_corrected_one(
    call: Call, model: Path, datalist: Path, tmp_path: Path, verb: str
) -> None:
    done = call(verb, tmp_path / "gone", datalist, "--out", tmp_path / "run")
    assert (done.code, "'gone' does not exist" in done.err) == (1, True)
    assert not (tmp_path / "run").exists()


def test_a_probe_that_failed_after_its_features_leaves_them_alone_and_can_be_given_again(
    call: Call, model: Path, datalist: Path, tmp_path: Path
) -> None:
    bare = shutil.copytree(datalist.parent, tmp_path / "phantom") / datalist.name
    bare.write_text(json.dumps({**json.loads(bare.read_text()), "validation": []}))
    done = call("probe", model, bare, "--out", tmp_path / "run", *QUICK)
    assert (done.code, "split 'validation' has no record with a label" in done.err) == (1, True)
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["features"]
    again = call("probe", model, datalist, "--out", tmp_path / "run", *QUICK)
    assert again.code == 0, again.err


def test_a_resumed_probe_that_fails_keeps_the_settings_of_the_run(
    call: Call, probed: Any, datalist: Path, tmp_path: Path
) -> None:
    shutil.copytree(probed[0], tmp_path / "run")
    (tmp_path / "run" / "metrics.json").unlink()
    done = call("probe", tmp_path / "gone", datalist, "--out", tmp_path / "run", "--resume")
    assert (done.code, "'gone' does not exist" in done.err) == (1, True)
    assert (tmp_path / "run" / "run.json").read_bytes() == (probed[0] / "run.json").read_bytes()


def test_what_the_data_lacks_is_one_line(call: Call, model: Path, datalist: Path, tmp_path: Path) -> None:
    done = call("probe", model, datalist, "--out", tmp_path / "run", "--set", "task=multiclass", *QUICK)
    assert done.code == 1
    assert "a record of task 'multiclass' has exactly one" in done.err
    gone = call("probe", tmp_path / "gone", datalist, "--out", tmp_path / "other", *QUICK)
    assert (gone.code, "'gone' does not exist" in gone.err) == (1, True)


def test_a_table_of_exclusive_classes_has_their_accuracy() -> None:
    import numpy as np

    scores = SplitScores(("a", "b"), np.array([[0.7, 0.3], [0.4, 0.6]]), np.eye(2), ("x", "y"))
    metrics = measure_splits({"validation": scores}, task="multiclass", bootstrap=5)
    (table,) = classification_tables(json.loads(json.dumps(metrics)))
    assert "2 studies of the validation split" in table.title
    assert [row[0] for row in table.rows] == ["x", "y", "macro", "accuracy"]
    assert table.rows[-1][1].startswith("1.000")
    assert table.rows[0][-1] == "1/2"
