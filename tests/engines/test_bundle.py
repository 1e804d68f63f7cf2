"""A run's folder as a bundle of its own."""

from __future__ import annotations

import ast
import json
import shlex
from pathlib import Path

import pytest

from monai_place.engines.bundle import (
    add_bundle_files,
    bundle_folder,
    bundle_run_command,
    new_bundle,
    read_run_settings,
    run_bundle,
)


def test_the_bundle_that_comes_with_the_package_is_found() -> None:
    assert (bundle_folder() / "configs" / "train.json").is_file()
    with pytest.raises(FileNotFoundError, match="no bundle 'nothing'"):
        bundle_folder("nothing")


def test_new_folder_becomes_a_bundle_without_weights(tmp_path: Path) -> None:
    run = new_bundle(tmp_path / "run")
    for name in ("train.json", "inference.json", "metadata.json"):
        assert (run / "configs" / name).read_bytes() == (bundle_folder() / "configs" / name).read_bytes()
    assert (run / "LICENSE").is_file()
    assert not (run / "models").exists()


def test_a_run_keeps_its_own_configs(tmp_path: Path) -> None:
    run = new_bundle(tmp_path / "run")
    (run / "configs" / "train.json").write_text("{}", encoding="utf-8")
    new_bundle(run)
    assert (run / "configs" / "train.json").read_text(encoding="utf-8") == "{}"


def test_folder_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(FileExistsError, match="is not empty and is no run"):
        new_bundle(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_missing_parts_alone_are_added(tmp_path: Path) -> None:
    (tmp_path / "LICENSE").write_text("another", encoding="utf-8")
    add_bundle_files(tmp_path)
    assert (tmp_path / "LICENSE").read_text(encoding="utf-8") == "another"
    assert (tmp_path / "configs" / "metadata.json").is_file()


def test_command_survives_a_shell_and_says_python_values(tmp_path: Path) -> None:
    line = bundle_run_command(tmp_path / "a run", {"model_overrides": {"queries": 3}, "limit": None})
    words = shlex.split(line)
    assert str(tmp_path / "a run" / "configs" / "train.json") in words
    assert words[words.index("--model_overrides") + 1] == "{'queries': 3}"
    assert words[words.index("--limit") + 1] == "None"


def test_settings_are_kept_without_resume_and_read_back(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "tiny.json").write_text(json.dumps({"number": 1, "run": ["$@number + 1"]}), "utf-8")
    run_bundle(tmp_path, {"number": 2, "resume": "auto"}, config="tiny.json")
    assert read_run_settings(tmp_path) == {"number": 2}
    with pytest.raises(FileNotFoundError, match="no run"):
        read_run_settings(tmp_path / "configs")


def test_error_of_a_run_arrives_without_the_wrapping_of_the_parser(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "tiny.json").write_text(json.dumps({"run": ["$int('many')"]}), "utf-8")
    with pytest.raises(ValueError, match="invalid literal for int"):
        run_bundle(tmp_path, {}, config="tiny.json")


@pytest.mark.parametrize("written", [False, True])
def test_settings_of_a_run_that_failed_stay_only_with_what_it_wrote(tmp_path: Path, written: bool) -> None:
    (tmp_path / "configs").mkdir()
    run = ["$pathlib.Path(@output_dir, 'history.jsonl').touch()"] if written else []
    config = {"imports": ["$import pathlib"], "number": 1, "run": [*run, "$int('many')"]}
    (tmp_path / "configs" / "tiny.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(ValueError, match="invalid literal for int"):
        run_bundle(tmp_path, {}, config="tiny.json", output=tmp_path / "out")
    assert (tmp_path / "out" / "run.json").is_file() == (tmp_path / "out").exists() == written
    (tmp_path / "out").mkdir(exist_ok=True)
    (tmp_path / "out" / "run.json").write_text('{"number": 3}', "utf-8")
    with pytest.raises(ValueError, match="invalid literal for int"):
        run_bundle(tmp_path, {"number": 2}, config="tiny.json", output=tmp_path / "out")
    assert read_run_settings(tmp_path / "out") == {"number": 2 if written else 3}


def test_several_configs_run_on_top_of_each_other_and_write_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "one.json").write_text(
        json.dumps(
            {"imports": ["$import pathlib"], "number": 1, "run": ["$pathlib.Path(@output_dir, str(@number)).touch()"]}
        )
    )
    (tmp_path / "configs" / "two.json").write_text(json.dumps({"number": 2}))
    (tmp_path / "out").mkdir()
    run_bundle(tmp_path, {"resume": "never"}, config=("one.json", "two.json"), output=tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"2", "run.json"}
    line = bundle_run_command(tmp_path, {}, config=("one.json", "two.json"), output="OUT")
    words = shlex.split(line)
    assert ast.literal_eval(words[words.index("--config_file") + 1]) == [
        str(tmp_path / "configs" / name) for name in ("one.json", "two.json")
    ]
    assert words[-2:] == ["--output_dir", "OUT"]
