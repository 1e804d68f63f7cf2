from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import torch
from PIL import Image

from monai_place.data import PHANTOM_CLASSES, render_study, write_phantom
from monai_place.weights import read_safetensors
from tests.support.models import CLASSES

PRIVATE = ("DOE^JANE", "HOSP-4711", "19551231", "ACC-99")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with three radiographs of different shapes, one of them in a folder of its own."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "late").mkdir()
    for number, (name, shape) in enumerate({"a.png": (64, 64), "b.png": (50, 80), "late/c.png": (90, 40)}.items()):
        pixels = (render_study(0, number, size=96).image[: shape[0], : shape[1]] * 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return folder


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_classify_prints_a_table_of_probabilities(model: Path, pictures: Path, call: Any) -> None:
    done = call("classify", model, pictures)
    assert done.code == 0
    header, _, *lines = done.out.splitlines()
    assert header.split()[0] == "image"
    assert [line.split()[0] for line in lines] == ["a.png", "b.png", "late/c.png"]
    assert all(0 <= float(value) <= 1 for line in lines for value in line.split()[1:])
    assert done.err == "Research use only. Not a medical device.\n"


def test_classify_as_json_and_as_files_say_the_same(model: Path, pictures: Path, call: Any, tmp_path: Path) -> None:
    printed = call("classify", model, pictures, "--json").json()
    assert call("classify", model, pictures, "-o", tmp_path / "a.csv").out == ""
    assert call("classify", model, pictures, "-o", tmp_path / "a.json").code == 0
    written = json.loads((tmp_path / "a.json").read_text())
    assert [entry["source"] for entry in printed["results"]] == ["a.png", "b.png", "late/c.png"]
    for row, one, other in zip(rows_of(tmp_path / "a.csv"), printed["results"], written["results"], strict=True):
        assert row["source"] == one["source"] == other["source"]
        assert one["probabilities"] == other["probabilities"]
        assert {name: float(row[name]) for name in CLASSES} == pytest.approx(one["probabilities"], abs=1e-6)


def test_classify_looks_for_the_findings_that_are_named(model: Path, pictures: Path, call: Any) -> None:
    found = call("classify", model, pictures / "a.png", "--finding", "edema", "--finding", "rib fracture", "--json")
    assert list(found.json()["results"][0]["probabilities"]) == ["edema", "rib fracture"]


def test_modes_differ_and_an_unknown_one_is_bad_usage(model: Path, pictures: Path, call: Any) -> None:
    values = [
        call("classify", model, pictures / "a.png", "--mode", mode, "--json").json()["results"][0]["probabilities"]
        for mode in ("global", "local")
    ]
    assert values[0] != values[1]
    assert call("classify", model, pictures / "a.png", "--mode", "best").code == 2


def test_a_broken_file_is_listed_once_and_the_others_are_done(
    model: Path, pictures: Path, call: Any, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    out = tmp_path / "found.csv"
    done = call("classify", model, pictures / "a.png", tmp_path / "broken.png", "--out", out)
    assert done.code == 1
    failed = [line for line in done.err.splitlines() if "broken.png" in line]
    assert len(failed) == 1
    assert failed[0].startswith("failed: ")
    good, bad = rows_of(out)
    assert good["error"] == ""
    assert float(good[CLASSES[0]]) > 0
    assert bad["error"] != ""
    assert bad[CLASSES[0]] == ""
    listed = call("classify", model, tmp_path / "broken.png", "--json")
    assert listed.code == 1
    assert listed.json()["results"] == []
    assert listed.json()["failed"][0]["source"] == "broken.png"


@pytest.fixture
def private(tmp_path: Path) -> Path:
    """Return a folder with a DICOM file that names a patient, and another one, which is damaged."""
    path = write_phantom(tmp_path / "made", studies=2, size=64, seed=0, image_format="dicom")
    files = sorted((path.parent / "images").rglob("*.dcm"))
    folder = tmp_path / "incoming"
    folder.mkdir()
    for number, file in enumerate(files):
        dataset = pydicom.dcmread(file)
        dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate, dataset.AccessionNumber = PRIVATE
        if number:
            dataset.PixelData = dataset.PixelData[:100]
        dataset.save_as(folder / f"{number}.dcm")
    return folder


def test_nothing_that_a_dicom_file_says_of_the_patient_comes_out(
    model: Path, private: Path, call: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    said = [
        call("--verbose", "classify", model, private, "--out", out / "a.csv"),
        call("classify", model, private, "--out", out / "a.json"),
        call("classify", model, private, "--json"),
        call("embed", model, private, "--out", out / "index"),
        call("retrieve", model, out / "index", "--image", private / "0.dcm"),
        call("ground", model, private / "0.dcm", "--text", "Nodule.", "--out", out / "maps"),
        call("ground", model, private / "1.dcm", "--text", "Nodule.", "--out", out / "maps"),
    ]
    assert [done.code for done in said] == [1, 1, 1, 1, 0, 0, 1]
    text = "".join(done.out + done.err for done in said).encode()
    text += b"".join(path.read_bytes() + str(path).encode() for path in out.rglob("*") if path.is_file())
    assert b"0.dcm" in text
    assert not [word for word in PRIVATE if word.encode() in text]


def test_ground_writes_an_overlay_of_the_image_s_own_size_for_each_sentence(
    model: Path, pictures: Path, call: Any, tmp_path: Path
) -> None:
    texts = ("Nodule in the right upper zone.", "No pleural effusion.")
    words = [word for text in texts for word in ("--text", text)]
    found = call("ground", model, pictures / "b.png", *words, "--out", tmp_path, "--json").json()
    assert [entry["text"] for entry in found] == list(texts)
    for entry in found:
        with Image.open(entry["file"]) as picture:
            assert (picture.size, picture.mode) == ((80, 50), "RGB")
        assert 0 <= entry["peak"][0] < 50
        assert 0 <= entry["peak"][1] < 80
    assert len(list(tmp_path.iterdir())) == 2
    assert not [path for path in tmp_path.iterdir() if "effusion" in path.name]
    done = call("ground", model, pictures / "b.png", *words, "--out", tmp_path)
    assert done.out.splitlines()[0].split()[0] == "overlay"
    assert "Not a medical device" in done.err


def test_ground_needs_a_sentence(model: Path, pictures: Path, call: Any, tmp_path: Path) -> None:
    assert call("ground", model, pictures / "a.png", "--out", tmp_path / "maps").code == 2
    done = call("ground", model, pictures / "a.png", "--text", " ", "--out", tmp_path / "maps")
    assert done.code == 1
    assert not (tmp_path / "maps").exists()


def test_the_backbone_is_exported_with_its_metadata(model: Path, call: Any, tmp_path: Path) -> None:
    out = tmp_path / "backbone.safetensors"
    done = call("export", model, out, "--to", "backbone")
    assert (done.code, done.out) == (0, f"{out}\n")
    tensors, metadata = read_safetensors(out)
    assert tensors
    assert metadata


def test_the_classifier_is_exported_as_torchscript(model: Path, call: Any, tmp_path: Path) -> None:
    out = tmp_path / "place.ts"
    words = ("--to", "torchscript", "--finding", "edema", "--finding", "nodule")
    assert call("export", model, out, *words).code == 0
    assert torch.jit.load(out)(torch.zeros(2, 1, 64, 64)).shape == (2, 2)


def test_the_classifier_is_exported_as_onnx(model: Path, call: Any, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    out = tmp_path / "place.onnx"
    assert call("export", model, out, "--to", "onnx").code == 0
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    found = session.run(None, {"image": np.zeros((3, 1, 64, 64), dtype=np.float32)})[0]
    assert found.shape == (3, len(CLASSES))


@pytest.mark.parametrize(
    ("words", "code"),
    [
        pytest.param(("out.bin", "--to", "caffe"), 2, id="unknown form"),
        pytest.param(("out.safetensors",), 2, id="no form"),
        pytest.param(("out.safetensors", "--to", "backbone", "--finding", "edema"), 2, id="backbone has no findings"),
        pytest.param(("out.onnx", "--to", "torchscript"), 1, id="suffix of another form"),
    ],
)
def test_an_export_that_cannot_be_is_refused(
    words: Any, code: int, model: Path, call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("export", model, *words).code == code
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("classify", "{model}", "{pictures}", "--device", "cuda:99"), id="classify"),
        pytest.param(("classify", "{model}", "{pictures}", "-o", "found.txt"), id="suffix"),
    ],
)
def test_bad_usage_is_found_before_the_work_begins(words: Any, model: Path, pictures: Path, call: Any) -> None:
    assert call(*(word.format(model=model, pictures=pictures) for word in words)).code == 2


def test_a_missing_image_or_model_is_named(model: Path, pictures: Path, call: Any, tmp_path: Path) -> None:
    done = call("classify", model, tmp_path / "gone.dcm")
    assert (done.code, done.err) == (1, "error: 'gone.dcm' does not exist\n")
    done = call("classify", tmp_path, pictures)
    assert done.code == 1
    assert "holds no model of PLACE" in done.err


def test_a_trained_run_serves_as_a_model(trained: Any, pictures: Path, call: Any) -> None:
    found = call("classify", trained[0], pictures / "a.png", "--json").json()
    assert set(found["results"][0]["probabilities"]) == set(PHANTOM_CLASSES)
