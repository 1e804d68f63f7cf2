"""train-report, generate and evaluate-report on the tiny model of these tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.cli.conftest import Call, Done

SETTINGS = ["--set", "epochs=1", "--set", "batch_size=8", "--set", "max_tokens=48", "--set", "max_prompt_tokens=8"]
SETTINGS += ["--set", 'decoder={"width":32,"heads":2,"depth":1}']


@pytest.fixture(scope="module")
def written(
    call: Call, trained: tuple[Path, Done], datalist: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Done]:
    out = tmp_path_factory.mktemp("reports") / "run"
    done = call("train-report", trained[0], datalist, "--out", out, "--section", "impression", *SETTINGS)
    assert done.code == 0, done.err
    return out, done


def test_training_prints_its_bundle_command_and_leaves_a_generator(written: tuple[Path, Done]) -> None:
    out, done = written
    assert done.out.startswith("python -m monai.bundle run --config_file")
    assert "train_report.json" in done.out
    assert "val_loss" in done.out
    assert (out / "generator" / "generator.json").is_file()
    assert json.loads((out / "run.json").read_text())["sections"] == ["impression"]


def test_a_second_training_is_refused_and_goes_on_with_resume(
    call: Call, trained: tuple[Path, Done], datalist: Path, written: tuple[Path, Done]
) -> None:
    again = call("train-report", trained[0], datalist, "--out", written[0], *SETTINGS)
    assert again.code == 1
    assert "holds a run already" in again.err
    dry = call("train-report", trained[0], datalist, "--out", written[0], "--resume", "--dry-run")
    assert dry.code == 0
    assert "--resume auto" in dry.out
    assert "--max_tokens 48" in dry.out, "the settings of the run are kept"


def test_reports_are_printed_written_and_shown(
    call: Call, written: tuple[Path, Done], datalist: Path, tmp_path: Path
) -> None:
    images = sorted((datalist.parent / "images").iterdir())[:2]
    plain = call("generate", written[0], *images)
    assert plain.code == 0
    assert images[0].name in plain.out
    out = tmp_path / "reports"
    settings = ["--min-tokens", 6, "--beams", 2, "--max-tokens", 12, "--no-repeat-ngram", 2]
    done = call("generate", written[0], *images, "--json", "--out", out, "--indication", "Cough.", *settings)
    values = done.json()
    assert values == json.loads((out / "reports.json").read_text())
    assert [entry["source"] for entry in values["results"]] == [path.name for path in images]
    assert values["settings"]["beams"] == 2
    sentences = [sentence for entry in values["results"] for sentence in entry["sentences"]]
    assert len(list(out.glob("*.png"))) == len(sentences) > 0
    assert all(sentence["peak"] for sentence in sentences)
    assert "Not a medical device" in values["note"]


def test_length_penalty_makes_the_beams_prefer_longer_or_shorter_reports(
    call: Call, written: tuple[Path, Done], datalist: Path, tmp_path: Path
) -> None:
    images = sorted((datalist.parent / "images").iterdir())[:4]
    lengths = {}
    for penalty in (-20.0, 20.0):
        words = ["--beams", 4, "--length-penalty", penalty, "--max-tokens", 12, "--json"]
        values = call("generate", written[0], *images, *words).json()
        assert values["settings"]["length_penalty"] == penalty
        lengths[penalty] = [len(entry["text"]) for entry in values["results"]]
    assert sum(lengths[-20.0]) < sum(lengths[20.0])
    wrong = call("generate", written[0], images[0], "--length-penalty", "nan")
    assert (wrong.code, "length_penalty is nan" in wrong.err) == (1, True)


def test_an_own_reader_and_steps_are_those_of_every_command(
    call: Call, trained: tuple[Path, Done], written: tuple[Path, Done], datalist: Path, tmp_path: Path
) -> None:
    ours = tmp_path / "ours.json"
    crop = {"_target_": "CenterSpatialCropd", "keys": "image", "roi_size": [40, 48]}
    ours.write_text(json.dumps({"reader": "monai.data.NumpyReader", "image_steps": [crop]}))
    np.save(tmp_path / "a.npy", np.random.default_rng(0).random((64, 56), dtype=np.float32))
    words = [written[0], tmp_path / "a.npy", "--max-tokens", 8, "--min-tokens", 4, "--out", tmp_path / "out"]
    assert call("generate", *words).code == 1, "our reader takes no such file"
    done = call("generate", *words, "--override", ours)
    assert done.code == 0, done.err
    (entry,) = json.loads((tmp_path / "out" / "reports.json").read_text())["results"]
    assert len(list((tmp_path / "out").glob("*.png"))) == len(entry["sentences"]) > 0
    judged = ["--split", "validation", "--limit", 2, "--bootstrap", 10, "--max-tokens", 4, "--override", ours]
    assert "none of the 2 images could be read" in call("evaluate-report", written[0], datalist, *judged).err
    dry = call("train-report", trained[0], datalist, "--out", tmp_path / "run", "--override", ours, "--dry-run")
    assert "--reader monai.data.NumpyReader" in dry.out
    assert "CenterSpatialCropd" in dry.out


def test_a_bad_file_is_listed_and_the_exit_code_is_one(call: Call, written: tuple[Path, Done], tmp_path: Path) -> None:
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"none")
    done = call("generate", written[0], bad)
    assert done.code == 1
    assert "failed: bad.png" in done.err


def test_evaluation_stands_beside_constant_reports(
    call: Call, written: tuple[Path, Done], datalist: Path, tmp_path: Path
) -> None:
    file = tmp_path / "numbers.json"
    words: list[Any] = ["--split", "validation", "--json", file, "--bootstrap", 20, "--max-tokens", 10]
    words += ["--length-penalty", 0.5]
    done = call("evaluate-report", written[0], datalist, *words)
    assert done.code == 0, done.err
    assert "Generator minus constant, paired" in done.out
    values = json.loads(file.read_text())
    assert values["split"] == "validation"
    assert values["settings"]["length_penalty"] == 0.5
    assert set(values["differences"]) == {"most_frequent", "best_f1"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        pytest.param(["train-report", "R", "D", "--out", "O", "--section", "other"], "findings, impression", id="part"),
        pytest.param(["train-report", "R", "D", "--out", "O", "--set", "epoch=1"], "did you mean 'epochs'", id="key"),
        pytest.param(["train-report", "R", "D", "--out", "O", "--set", "sections=x"], "given by --section", id="given"),
        pytest.param(["generate", "M", "I", "--evidence", "saliency"], "attention, grounding", id="evidence"),
        pytest.param(["evaluate-report", "M", "D", "--split", "all"], "training, validation, test", id="split"),
    ],
)
def test_wrong_usage_is_told_with_exit_code_two(call: Call, words: list[str], message: str) -> None:
    done = call(*words)
    assert done.code == 2
    assert message.replace(" ", "") in done.err.replace(" ", "").replace("\n", "").replace("│", "")
