"""The checks before a training; the training itself runs in tests/bundles and tests/cli."""

from __future__ import annotations

import json

import pytest

from monai_place.inference.generator_training import report_settings, train_report_generator


def write(path, **splits):
    path.write_text(json.dumps({"name": "x", "training": [], "validation": [], "test": [], **splits}))
    return path


def test_settings_name_the_checkpoint_and_how_to_go_on(tmp_path):
    record = {"id": "a", "image": "a.png", "report": "No edema."}
    datalist = write(tmp_path / "list.json", training=[record], validation=[record])
    found = report_settings("run", datalist, {"epochs": 2}, resume=True)
    assert found == {"checkpoint": "run", "datalist": str(datalist), "resume": "auto", "epochs": 2}


def test_a_split_without_reports_is_told_before_anything_is_written(tmp_path):
    datalist = write(tmp_path / "list.json", training=[{"id": "a", "image": "a.png"}])
    with pytest.raises(ValueError, match="no study of split 'training' has a report"):
        train_report_generator("run", datalist, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_that_is_there_is_not_overwritten(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "checkpoint_000000001.pt").touch()
    with pytest.raises(FileExistsError, match="holds a run already"):
        train_report_generator("run", tmp_path / "list.json", tmp_path)
