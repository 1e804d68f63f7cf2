from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import typer

from monai_place.cli.train import read_settings
from monai_place.data import load_records
from monai_place.engines import read_history

COMMAND = Path(sys.executable).parent / "monai-place"
LINE = "python -m monai.bundle run --config_file "


def copy_datalist(source: Path, target: Path, **changes: Any) -> Path:
    """Write a datalist of the same images with other keys at its top."""
    content = json.loads(source.read_text()) | {"image_root": str(source.parent)} | changes
    target.write_text(json.dumps(content))
    return target


def test_pretrain_prints_the_line_of_monai_that_does_the_same(trained: Any, datalist: Path) -> None:
    run, done = trained
    line = done.out.splitlines()[0]
    assert line.startswith(LINE)
    words = shlex.split(line)
    assert words[words.index("--config_file") + 1] == str(run / "configs" / "train.json")
    assert words[words.index("--bundle_root") + 1] == str(run)
    assert words[words.index("--datalist") + 1] == str(datalist)
    assert words[words.index("--preset") + 1] == "place_tiny"
    assert words[words.index("--epochs") + 1] == "1"


def test_stdout_holds_the_line_and_the_table_and_no_log(trained: Any) -> None:
    _, done = trained
    assert done.out.splitlines()[1:3] == ["", "Validation"]
    assert "INFO" not in done.out
    assert "INFO - > batch_size: 8" in done.err


def test_a_run_is_a_bundle_with_all_that_its_use_needs(trained: Any) -> None:
    run, _ = trained
    made = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    assert {
        "LICENSE",
        "configs/metadata.json",
        "configs/train.json",
        "models/model.pt",
        "models/backbone.safetensors",
        "models/place.json",
        "models/tokenizer/tokenizer.json",
        "history.jsonl",
        "run.json",
    } <= made
    assert len(list((run / "checkpoints").glob("checkpoint_*.pt"))) == 1
    assert list((run / "tensorboard").iterdir())
    assert json.loads((run / "run.json").read_text())["epochs"] == 1


def test_pretrain_ends_with_the_numbers_of_the_last_validation(trained: Any) -> None:
    run, done = trained
    last = read_history(run / "history.jsonl")[-1]
    cells = dict(line.split() for line in done.out.splitlines() if line.startswith(("val_loss ", "pcma_gap ")))
    assert cells == {"val_loss": f"{last['val_loss']:.3f}", "pcma_gap": f"{last['pcma_gap']:.3f}"}
    assert "not a medical device" in done.err.lower()


def test_resume_goes_on_with_the_settings_of_the_run(trained: Any, datalist: Path, call: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(trained[0], run)
    done = call("pretrain", datalist, "--out", run, "--resume", "--set", "epochs=2")
    assert done.code == 0, done.err
    rows = read_history(run / "history.jsonl")
    assert rows[: len(read_history(trained[0] / "history.jsonl"))] == read_history(trained[0] / "history.jsonl")
    assert [row["epoch"] for row in rows if row["kind"] == "validation"] == [1, 2]
    assert "--resume auto" in done.out
    assert "--batch_size 8" in done.out
    assert json.loads((run / "run.json").read_text())["epochs"] == 2


def test_a_run_is_not_begun_anew_over_an_old_one(trained: Any, datalist: Path, call: Any) -> None:
    run, _ = trained
    before = (run / "run.json").read_bytes()
    done = call("pretrain", datalist, "--out", run, "--set", "epochs=9")
    assert done.code == 1
    assert done.err == "error: 'run' holds a run already; go on with --resume, or choose another folder\n"
    assert (run / "run.json").read_bytes() == before


def test_a_foreign_folder_is_refused_and_left_alone(datalist: Path, call: Any, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    done = call("pretrain", datalist, "--out", tmp_path)
    assert done.code == 1
    assert "is not empty and is no run" in done.err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_resume_without_a_run_is_an_error(datalist: Path, call: Any, tmp_path: Path) -> None:
    done = call("pretrain", datalist, "--out", tmp_path / "run", "--resume")
    assert done.code == 1
    assert "holds no run" in done.err
    assert not (tmp_path / "run").exists()


def test_a_dry_run_makes_a_folder_in_which_the_line_can_be_run(datalist: Path, call: Any, tmp_path: Path) -> None:
    run = tmp_path / "my run"
    done = call("pretrain", datalist, "--out", run, "--dry-run", "--set", "amp=false", "--set", "limit=null")
    assert done.code == 0
    words = shlex.split(done.out)
    assert Path(words[words.index("--config_file") + 1]).is_file()
    assert words[words.index("--amp") + 1] == "False"
    assert words[words.index("--limit") + 1] == "$None"
    assert not (run / "checkpoints").exists()
    assert not (run / "models").exists()


@pytest.mark.slow
@pytest.mark.parametrize("way", ["line", "signal"])
def test_in_a_process_of_its_own(way: str, datalist: Path, call: Any, tmp_path: Path) -> None:
    """The printed line trains; and a run that a signal stops ends with 75 and goes on."""
    from monai_place.weights import read_place_json

    run = tmp_path / "run"
    tiny = json.dumps({"image_size": 64, "image_kwargs": {"embed_dim": 48, "depth": 1, "num_heads": 2}})
    words = ["pretrain", datalist, "--out", run, "--set", "batch_size=8", "--set", f"model_overrides={tiny}"]
    if way == "line":
        line = call(*words, "--set", "epochs=1", "--set", "amp=false", "--dry-run").out
        assert line.startswith("python ")
        subprocess.run([sys.executable, *shlex.split(line)[1:]], check=True, capture_output=True, timeout=300)
        assert read_place_json(run / "models" / "place.json").model["image_kwargs"]["depth"] == 1
        return
    process = subprocess.Popen([str(word) for word in (COMMAND, *words, "--set", "epochs=100000")])
    history = run / "history.jsonl"
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and not (history.exists() and len(read_history(history)) > 5):
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=120) == 75
    stopped = read_history(history)[-1]["epoch"]
    assert call("pretrain", datalist, "--out", run, "--resume", "--set", f"epochs={stopped + 1}").code == 0
    assert read_history(history)[-1]["epoch"] == stopped + 1


def test_an_unknown_preset_is_bad_usage(datalist: Path, call: Any, tmp_path: Path) -> None:
    done = call("pretrain", datalist, "--out", tmp_path / "run", "--preset", "place_huge")
    assert done.code == 2
    assert "place_tiny" in done.err
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        pytest.param("epoch=3", "train.json has no setting 'epoch'; did you mean 'epochs'?", id="misspelled"),
        pytest.param("los#pcma_weight=0", "did you mean 'loss'?", id="misspelled part"),
        pytest.param("train#handlers#99#interval=3", "has no setting", id="no such handler"),
        pytest.param("resume=auto", "is given by --resume", id="resume"),
        pytest.param("datalist=a.json", "is given by DATALIST", id="datalist"),
        pytest.param("epochs", "is not of the form key=value", id="no value"),
        pytest.param("lr=fast", "'lr' is 'fast', expected such as 0.0005", id="text for a number"),
        pytest.param("train#dataloader#shuffle=no", "expected such as true", id="text for true or false"),
    ],
)
def test_a_setting_that_would_change_nothing_is_bad_usage(pair: str, message: str) -> None:
    with pytest.raises(typer.BadParameter) as error:
        read_settings([pair], None)
    assert message in str(error.value)


def test_the_settings_of_an_override_are_taken_and_a_pair_wins() -> None:
    override = {"reader": "ours.Reader", "epochs": 3, "limit": None}
    assert read_settings(["epochs=5"], None, override=override) == {
        "reader": "ours.Reader",
        "epochs": 5,
        "limit": "$None",
    }
    for wrong, message in (({"epohcs": 3}, "did you mean 'epochs'"), ({"datalist": "a"}, "is given by DATALIST")):
        with pytest.raises(typer.BadParameter, match=message) as error:
            read_settings([], None, override=wrong)
        assert error.value.param_hint == "--override"


def test_an_override_is_part_of_the_run_and_of_its_line(datalist: Path, call: Any, tmp_path: Path) -> None:
    steps = [{"_target_": "monai.transforms.Identityd", "keys": "image"}]
    (tmp_path / "ours.json").write_text(json.dumps({"image_steps": steps}))
    done = call("pretrain", datalist, "--out", tmp_path / "run", "--override", tmp_path / "ours.json", "--dry-run")
    assert done.code == 0, done.err
    words = shlex.split(done.out.splitlines()[0])
    assert words[words.index("--image_steps") + 1] == repr(steps)


def test_settings_inside_the_config_are_found(tmp_path: Path) -> None:
    pairs = ["loss#cce_weight=0", "train::dataset::on_error=skip", "train#handlers#0#interval=5", "lr=$1e-3 / 2"]
    assert len(read_settings(pairs, tmp_path)) == 4


def test_the_config_of_a_run_decides_what_a_setting_is(tmp_path: Path) -> None:
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "train.json").write_text('{"ours": 1}')
    assert read_settings(["ours=2"], tmp_path) == {"ours": 2}
    with pytest.raises(typer.BadParameter):
        read_settings(["epochs=2"], tmp_path)


def test_a_bad_datalist_is_named_without_a_traceback_and_nothing_is_written(call: Any, tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text('{"training": [{"id": 3}]}')
    done = call("pretrain", bad, "--out", tmp_path / "run")
    assert done.code == 1
    assert done.err.startswith("error: bad.json: training[0] (id 3)")
    assert done.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("split", ["training", "validation"])
def test_a_split_without_reports_is_named_before_anything_is_written(
    split: str, datalist: Path, call: Any, tmp_path: Path
) -> None:
    records = [{"id": record["id"], "image": record["image"]} for record in json.loads(datalist.read_text())[split]]
    path = copy_datalist(datalist, tmp_path / "list.json", **{split: records if split == "training" else []})
    done = call("pretrain", path, "--out", tmp_path / "run")
    assert (done.code, done.out) == (1, "")
    assert done.err == (f"error: list.json: no study of split {split!r} has a report; pretraining needs some in each\n")
    assert not (tmp_path / "run").exists()


@pytest.fixture
def spoiled(datalist: Path, tmp_path: Path) -> Path:
    """Return a datalist beside a copy of the phantom in which the first training image is damaged."""
    shutil.copytree(datalist.parent, tmp_path / "phantom")
    path = tmp_path / "phantom" / "datalist.json"
    Path(load_records(path, "training")[0]["image"]).write_bytes(b"no picture")
    return path


def test_a_damaged_image_stops_a_run_by_its_id(spoiled: Path, call: Any, tmp_path: Path, tiny_settings: Any) -> None:
    done = call("pretrain", spoiled, "--out", tmp_path / "run", *tiny_settings)
    assert done.code == 1
    name = load_records(spoiled, "training")[0]["id"]
    assert f"error: study {name!r} could not be prepared: RadiographError" in done.err
    assert "Traceback" not in done.err
    assert str(tmp_path) not in done.err.splitlines()[-1]


def test_a_damaged_image_can_be_left_out(spoiled: Path, call: Any, tmp_path: Path, tiny_settings: Any) -> None:
    words = ("--out", tmp_path / "run", *tiny_settings, "--set", "train#dataset#on_error=skip")
    assert call("pretrain", spoiled, *words).code == 0


@pytest.mark.parametrize("workers", [0, 1], ids=["cached", "in a worker, without a cache"])
def test_a_run_names_the_studies_that_it_left_out(
    workers: int, spoiled: Path, call: Any, tmp_path: Path, tiny_settings: Any
) -> None:
    bad = [load_records(spoiled, split)[0] for split in ("training", "validation")]
    Path(bad[1]["image"]).write_bytes(b"no picture")
    # 21 studies in three batches: none is dropped with a last, smaller one.
    settings = [*tiny_settings, "--set", "batch_size=7", "--set", "on_error=skip", "--set", f"num_workers={workers}"]
    if workers:
        settings += ["--set", "train#dataset#cache=false", "--set", "validate#dataset#cache=false"]
    done = call("pretrain", spoiled, "--out", tmp_path / "run", *settings)
    assert done.code == 0, done.err
    rows = [row for row in read_history(tmp_path / "run" / "history.jsonl") if row["kind"] == "skipped"]
    assert {(row["split"], row["id"]) for row in rows} == {("training", bad[0]["id"]), ("validation", bad[1]["id"])}
    assert len(rows) == 2
    assert all(row["reason"].endswith("not a DICOM, NIfTI, PNG or JPEG file by its content") for row in rows)
    assert f"1 studies of training were left out: ['{bad[0]['id']}']" in done.err
    assert f"1 studies of validation were left out: ['{bad[1]['id']}']" in done.err
    assert str(tmp_path) not in json.dumps(rows)


def test_more_bad_studies_than_allowed_stop_a_run_by_their_ids(
    spoiled: Path, call: Any, tmp_path: Path, tiny_settings: Any
) -> None:
    done = call(
        "pretrain", spoiled, "--out", tmp_path / "run", *tiny_settings, "--set", "on_error=skip", "--set", "max_bad=0"
    )
    assert done.code == 1
    assert "1 studies could not be prepared, max_bad is 0" in done.err
    assert load_records(spoiled, "training")[0]["id"] in done.err


def test_a_field_that_the_model_does_not_have_is_one_line(datalist: Path, call: Any, tmp_path: Path) -> None:
    done = call("pretrain", datalist, "--out", tmp_path / "run", "--set", 'model_overrides={"quries": 3}')
    assert done.code == 1
    assert "quries" in done.err.splitlines()[-1]


def test_evaluate_prints_tables_and_writes_all_numbers(trained: Any, datalist: Path, call: Any, tmp_path: Path) -> None:
    file = tmp_path / "test.json"
    done = call("evaluate", trained[0], datalist, "--json", file, "--bootstrap", 20, "--device", "cpu")
    assert done.code == 0, done.err
    values = json.loads(file.read_text())
    assert values["studies"] == len(load_records(datalist, "test"))
    for title in ("Zero-shot AUROC", "Retrieval", "Grounding beside", "Diagnostics"):
        assert f"\n{title}" in done.out
    macro = values["zero_shot"]["global"]["macro"]
    assert f"{macro['value']:.3f} [{macro['low']:.3f}" in done.out
    assert values["grounding"]["pointing"]["prior"]["value"] is not None
    assert "not a medical device" in done.err.lower()


def test_evaluate_measures_retrieval_by_class_when_asked(
    model: Path, datalist: Path, call: Any, tmp_path: Path
) -> None:
    content = json.loads(datalist.read_text())
    records = [record for split in ("training", "test") for record in content[split]][:14]
    labelled = [
        dict(record, label=[int(place == number % 7) for place in range(7)]) for number, record in enumerate(records)
    ]
    path = copy_datalist(datalist, tmp_path / "list.json", training=[], test=labelled)
    words = ("evaluate", model, path, "--bootstrap", 10, "--json", tmp_path / "numbers.json", "--per-class")
    done = call(*words, 2)
    assert done.code == 0, done.err
    assert "\nRetrieval by class, 5 x 2 studies, 5 draws, by chance 0.200" in done.out
    found = json.loads((tmp_path / "numbers.json").read_text())["class_retrieval"]
    value = found["sides"]["image_to_text"]["precision_at_5"]
    assert f"{value['value']:.3f} [{value['low']:.3f}, {value['high']:.3f}] ({value['std']:.3f})" in done.out
    refused = call(*words, 3)
    assert refused.code == 1
    assert "3 rows of each class are wanted, there are 2 with" in refused.err


def test_evaluate_leaves_out_what_the_data_cannot_answer(
    trained: Any, datalist: Path, call: Any, tmp_path: Path
) -> None:
    content = json.loads(datalist.read_text())
    bare = [{"id": record["id"], "image": record["image"]} for record in content["test"]]
    path = copy_datalist(datalist, tmp_path / "bare.json", test=bare, classes=[])
    done = call("evaluate", trained[0], path, "--bootstrap", 10, "--json", tmp_path / "numbers.json")
    assert done.code == 0, done.err
    assert [line for line in done.out.splitlines() if line and " " not in line.strip("-")][:1] == ["Diagnostics"]
    for title in ("Zero-shot", "Retrieval", "Grounding"):
        assert title not in done.out
    numbers = json.loads((tmp_path / "numbers.json").read_text())
    assert (numbers["retrieval"], numbers["grounding"], numbers["studies_with_text"]) == ({}, {}, 0)


def test_evaluate_without_labels_but_with_classes_works(
    trained: Any, datalist: Path, call: Any, tmp_path: Path
) -> None:
    records = json.loads(datalist.read_text())["test"]
    for record in records:
        del record["label"], record["findings"], record["sentences"]
    done = call("evaluate", trained[0], copy_datalist(datalist, tmp_path / "list.json", test=records), "--limit", 3)
    assert done.code == 0, done.err
    assert "Retrieval" in done.out
    assert "Zero-shot" not in done.out
    assert "3 studies" in done.err


def test_evaluate_lists_images_that_cannot_be_read_and_ends_with_1(
    trained: Any, datalist: Path, call: Any, tmp_path: Path
) -> None:
    shutil.copytree(datalist.parent, tmp_path / "phantom")
    path = tmp_path / "phantom" / "datalist.json"
    Path(load_records(path, "test")[0]["image"]).write_bytes(b"no picture")
    done = call("evaluate", trained[0], path, "--bootstrap", 10)
    assert done.code == 1
    assert "Diagnostics" in done.out
    assert len([line for line in done.err.splitlines() if line.startswith("failed: ")]) == 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        pytest.param(("--split", "all"), 2, "training, validation, test", id="split"),
        pytest.param(("--device", "tpu"), 2, "'tpu' is not one of cpu", id="device"),
        pytest.param(("--bootstrap", 1), 2, "--bootstrap", id="bootstrap"),
    ],
)
def test_bad_arguments_of_evaluate(words: Any, code: int, message: str, model: Path, datalist: Path, call: Any) -> None:
    done = call("evaluate", model, datalist, *words)
    assert done.code == code
    assert message in " ".join(done.err.replace("│", " ").split())


def test_evaluate_names_an_empty_split_and_a_missing_model(
    model: Path, datalist: Path, call: Any, tmp_path: Path
) -> None:
    done = call("evaluate", model, copy_datalist(datalist, tmp_path / "list.json", test=[]))
    assert (done.code, done.err) == (1, "error: list.json: split 'test' is empty\n")
    done = call("evaluate", tmp_path, datalist)
    assert done.code == 1
    assert "holds no model of PLACE" in done.err
