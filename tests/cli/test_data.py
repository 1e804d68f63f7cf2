from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

COLUMNS = ["patientid", "offset", "finding", "view", "modality", "folder", "filename", "license", "clinical_notes"]


@pytest.mark.parametrize(("image_format", "suffix"), [("png", ".png"), ("dicom", ".dcm"), ("nifti", ".nii.gz")])
def test_a_phantom_of_each_format_passes_verification(
    image_format: str, suffix: str, call: Any, tmp_path: Path
) -> None:
    out = tmp_path / "phantom"
    done = call("phantom", out, "--studies", 6, "--size", 48, "--seed", 5, "--format", image_format)
    assert (done.code, done.out) == (0, f"{out / 'datalist.json'}\n")
    assert len([path for path in (out / "images").rglob("*") if path.name.endswith(suffix)]) == 6
    checked = call("verify", out / "datalist.json")
    assert (checked.code, checked.out, checked.err) == (0, "", "no fault found\n")
    assert call("verify", out / "datalist.json", "--json").json() == []


def test_a_data_set_is_replaced_only_when_asked(call: Any, tmp_path: Path) -> None:
    words = ("phantom", tmp_path, "--studies", 2, "--size", 48)
    assert call(*words).code == 0
    before = (tmp_path / "datalist.json").read_bytes()
    refused = call(*words, "--seed", 9)
    assert refused.code == 1
    assert refused.err.startswith("error: ")
    assert (tmp_path / "datalist.json").read_bytes() == before
    assert call(*words, "--seed", 9, "--overwrite").code == 0
    assert (tmp_path / "datalist.json").read_bytes() != before


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(("--format", "jpeg"), id="format"),
        pytest.param(("--studies", 0), id="no studies"),
        pytest.param(("--size", 12), id="too small"),
        pytest.param(("--seed", -1), id="negative seed"),
    ],
)
def test_an_impossible_phantom_is_bad_usage_and_writes_nothing(words: Any, call: Any, tmp_path: Path) -> None:
    assert call("phantom", tmp_path / "out", *words).code == 2
    assert not (tmp_path / "out").exists()


@pytest.fixture
def spoiled(call: Any, tmp_path: Path) -> Path:
    """Return the datalist of a phantom with one fault of each kind."""
    call("phantom", tmp_path, "--studies", 12, "--size", 48, "--seed", 2)
    path = tmp_path / "datalist.json"
    content = json.loads(path.read_text())
    first, second, third, fourth, fifth = content["training"][:5]
    first["image"] = "images/gone.png"
    second["image"] = "../outside.png"
    third["report"] = " "
    fourth["label"][0] = 2
    fifth["id"] = first["id"]
    path.write_text(json.dumps(content))
    return path


def test_every_planted_fault_is_listed_with_its_record_and_key(spoiled: Path, call: Any) -> None:
    records = json.loads(spoiled.read_text())["training"][:5]
    done = call("verify", spoiled)
    assert done.code == 1
    listed = [line.split("\t")[:3] for line in done.out.splitlines()]
    keys = ["image", "image", "report", "label", "id"]
    assert listed == [["training", record["id"], key] for record, key in zip(records, keys, strict=True)]
    assert done.err == "5 faults\n"


def test_faults_as_json_say_the_same(spoiled: Path, call: Any) -> None:
    done = call("verify", spoiled, "--json")
    assert done.code == 1
    assert [fault["key"] for fault in done.json()] == ["image", "image", "report", "label", "id"]
    assert set(done.json()[0]) == {"split", "record_id", "key", "message"}


def test_without_images_files_are_looked_for_and_not_decoded(call: Any, tmp_path: Path) -> None:
    call("phantom", tmp_path, "--studies", 2, "--size", 48)
    picture = next((tmp_path / "images").rglob("*.png"))
    picture.write_bytes(b"no picture")
    assert call("verify", tmp_path / "datalist.json").code == 1
    assert call("verify", tmp_path / "datalist.json", "--no-images").code == 0
    picture.unlink()
    assert call("verify", tmp_path / "datalist.json", "--no-images").code == 1


def test_images_that_are_in_two_splits_are_found_on_demand(call: Any, tmp_path: Path) -> None:
    call("phantom", tmp_path, "--studies", 12, "--size", 96, "--seed", 1)
    path = tmp_path / "datalist.json"
    content = json.loads(path.read_text())
    root = tmp_path / content["image_root"]
    with Image.open(root / content["training"][0]["image"]) as image:
        image.convert("L").resize((80, 80)).save(root / "copy.jpg")
    content["test"][0] |= {"image": "copy.jpg", "findings": None, "mask": None, "boxes": None}
    (root / content["training"][1]["image"]).write_bytes(b"no picture")
    path.write_text(json.dumps(content))
    assert call("verify", path, "--no-images").code == 0
    done = call("verify", path, "--no-images", "--leakage", "--hash-cache", tmp_path / "hashes.jsonl")
    assert done.code == 1
    assert "1 near duplicates across splits" in done.err
    lines = done.out.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"training\t{content['training'][1]['id']}\timage\t")
    assert lines[1].startswith(f"test\t{content['test'][0]['id']}\timage\tlooks like that of ")
    assert len(call("verify", path, "--leakage", "--json").json()) == 2


@pytest.mark.parametrize("content", ["{", "[]", '{"training": 3}', "\udcff"])
def test_a_file_that_is_no_datalist_is_named_without_a_traceback(content: str, call: Any, tmp_path: Path) -> None:
    path = tmp_path / "list.json"
    path.write_bytes(content.encode("utf-8", "surrogateescape"))
    done = call("verify", path)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: list.json: ")
    assert done.err.count("\n") == 1


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Return a small tree in the layout of the covid19-cxr collection."""
    root = tmp_path / "source"
    (root / "images").mkdir(parents=True)
    (root / "annotations" / "lungVAE-masks").mkdir(parents=True)
    random = np.random.default_rng(0)
    with (root / "metadata.csv").open("w", newline="") as file:
        table = csv.DictWriter(file, COLUMNS)
        table.writeheader()
        for index in range(10):
            name = f"p{index}.png"
            Image.fromarray(random.integers(0, 256, (40, 60), dtype=np.uint8)).save(root / "images" / name)
            table.writerow(
                {
                    "patientid": index,
                    "finding": "COVID-19" if index % 2 else "No Finding",
                    "view": "L" if index == 9 else "PA",
                    "modality": "X-ray",
                    "folder": "images",
                    "filename": name,
                    "license": "CC BY",
                    "clinical_notes": f"Opacity of case {index}. No effusion.",
                }
            )
    mask = np.zeros((40, 60), dtype=np.uint8)
    mask[10:30, 5:25] = 255
    Image.fromarray(mask).save(root / "annotations" / "lungVAE-masks" / "p0_mask.png")
    return root


def test_prepare_writes_a_sound_datalist_and_tells_what_it_left_out(source: Path, call: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = call("prepare", "covid19-cxr", source, out)
    assert done.code == 0
    assert "1  left out: view 'L' not asked for" in done.out
    assert done.out.splitlines()[-1] == str(out / "datalist.json")
    assert call("verify", out / "datalist.json").code == 0


def test_prepare_as_json_counts_and_names_the_datalist(source: Path, call: Any, tmp_path: Path) -> None:
    found = call("prepare", "covid19-cxr", source, tmp_path / "out", "--json").json()
    assert Path(found["datalist"]).is_file()
    assert sum(found["splits"].values()) == 9
    assert found["notes"]["records with a mask"] == 1


def test_prepare_takes_options_of_the_data_set(source: Path, call: Any, tmp_path: Path) -> None:
    found = call("prepare", "covid19-cxr", source, tmp_path / "out", "--set", 'views=["PA","L"]', "--json").json()
    assert sum(found["splits"].values()) == 10


def test_prepare_converts_and_a_broken_file_makes_it_fail_in_the_end(source: Path, call: Any, tmp_path: Path) -> None:
    (source / "images" / "p3.png").write_bytes(b"no picture")
    done = call("prepare", "covid19-cxr", source, tmp_path / "out", "--convert", "--side", 20, "--depth", 16, "--json")
    assert done.code == 1
    assert "failed: p3.png: image file unreadable" in done.err
    found = done.json()
    assert sum(found["splits"].values()) == 8
    assert 0.4 < found["pixel_mean"] < 0.6
    with Image.open(tmp_path / "out" / "images" / "p0.png.png") as image:
        assert (image.size, image.mode) == ((30, 20), "I;16")
    assert call("verify", found["datalist"]).code == 0


def test_an_option_that_the_data_set_does_not_have_is_named(source: Path, call: Any, tmp_path: Path) -> None:
    done = call("prepare", "covid19-cxr", source, tmp_path / "out", "--set", "view=PA")
    assert done.code == 1
    assert "unknown options ['view'] for 'covid19-cxr'" in done.err
    assert not (tmp_path / "out").exists()


def test_an_unknown_data_set_is_bad_usage_and_the_known_are_named(call: Any, tmp_path: Path) -> None:
    done = call("prepare", "mimic", tmp_path, tmp_path / "out")
    assert done.code == 2
    assert "covid19-cxr" in done.err


def test_a_folder_that_is_not_the_collection_is_an_error(call: Any, tmp_path: Path) -> None:
    done = call("prepare", "covid19-cxr", tmp_path, tmp_path / "out")
    assert done.code == 1
    assert done.err.startswith("error: metadata.csv is not in the source folder")
    assert not (tmp_path / "out").exists()


@pytest.mark.shared
def test_the_real_collection_is_prepared_and_passes_verification(covid19_cxr: Path, call: Any, tmp_path: Path) -> None:
    found = call("prepare", "covid19-cxr", covid19_cxr, tmp_path / "out", "--json").json()
    assert min(found["splits"].values()) > 10
    assert found["notes"]["records with a mask"] > 50
    assert call("verify", tmp_path / "out" / "datalist.json").code == 0
