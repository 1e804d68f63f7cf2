"""A folder as archives are: whatever pydicom brings, a phantom in three formats, and broken files, from end to end."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import pydicom
import pytest

from monai_place.data import RadiographError, load_records, read_datalist, read_radiograph, write_phantom
from monai_place.inference import EmbeddingIndex

BROKEN = {"empty.png": b"", "text.dcm": b"no picture" * 60, "cut.jpg": b"\xff\xd8\xff\xe0" + bytes(300)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder, with a table of reports for all files, whatever they are."""
    root = tmp_path_factory.mktemp("mixed") / "archive"
    # The folder is listed: pydicom's own function would look for more on the network.
    shutil.copytree(Path(pydicom.__file__).parent / "data" / "test_files", root / "pydicom")
    for image_format in ("png", "dicom", "nifti"):
        write_phantom(root / image_format, studies=6, size=64, seed=1, image_format=image_format)
        shutil.rmtree(root / image_format / "masks")
        (root / image_format / "datalist.json").rename(root / f"{image_format}.json")
    whole = next((root / "png" / "images").rglob("*.png"))
    for name, data in {**BROKEN, "cut.png": whole.read_bytes()[:-40]}.items():
        (root / name).write_bytes(data)
    with (root / "table.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["image", "patient_id", "report"])
        for number, path in enumerate(files_of(root)):
            if path.name != "table.csv":
                report = f"The heart is {'not ' * (number % 2)}enlarged. No pleural effusion."
                table.writerow([path.relative_to(root).as_posix(), f"{number % 40}", report])
    return root


def files_of(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def is_readable(path: Path) -> bool:
    try:
        read_radiograph(path)
    except RadiographError:
        return False
    return True


@pytest.mark.slow
def test_a_mixed_folder_goes_through_preparation_pretraining_and_inference(
    folder: Path, call: Any, tiny_settings: Any, tmp_path: Path
) -> None:
    files = files_of(folder)
    readable = {path.relative_to(folder).as_posix() for path in files if is_readable(path)}
    assert len(readable) > 60

    out, link = tmp_path / "prepared", tmp_path / "link.csv"
    # Splits are drawn by pseudonym, before it is known what can be read: another key may leave one of them empty here.
    (tmp_path / "key").write_text("5eed" * 16)
    (tmp_path / "key").chmod(0o600)
    words = ["--set", "table=table.csv", "--set", f"key_file={tmp_path / 'key'}", "--set", f"linkage={link}", "--json"]
    done = call("prepare", "folder", folder, out, *words)
    counts = done.json()
    with link.open(newline="") as file:
        original = {row["id"]: row["file"] for row in csv.DictReader(file)}
    datalist = out / "datalist.json"
    kept = [original[record["id"]] for _, _, record in read_datalist(datalist).records()]
    # Nothing that can be read is lost, and whatever is not there is listed with its reason.
    assert sorted(kept) == sorted(readable)
    with (out / "left_out.csv").open(newline="") as file:
        listed = {original[row["entry"]]: row["reason"] for row in csv.DictReader(file)}
    assert set(listed) == {path.relative_to(folder).as_posix() for path in files} - readable - {"table.csv"}
    assert sum(counts["left_out"].values()) == len(listed)
    assert listed["empty.png"] == "image file unreadable: the file is empty"
    assert listed["cut.png"] == "image file unreadable: the PNG file is truncated"
    assert listed["pydicom/SC_rgb_rle_2frame.dcm"].startswith("image file unreadable: a multi-frame object")
    assert listed["pydicom/test-SR.dcm"] == "not an image object, or cut off before its pixels"
    assert call("verify", datalist).code == 0

    run = tmp_path / "run"
    trained = call("pretrain", datalist, "--out", run, "--preset", "place_tiny", *tiny_settings)
    assert trained.code == 0, trained.err
    assert "left out" not in trained.err
    assert json.loads((run / "run.json").read_text())["epochs"] == 1

    classified = call("classify", run, out / "images", "--finding", "cardiomegaly", "--json").json()
    assert len(classified["results"]) == len(readable)
    assert classified["failed"] == []
    assert call("embed", run, out / "images", "--out", tmp_path / "index").code == 0
    assert len(EmbeddingIndex.load(tmp_path / "index").ids) == len(readable)
    # The archive itself serves as well: what is broken is listed, and the others are done.
    raw = call("classify", run, *[path for path in files if path.name != "table.csv"], "--finding", "edema", "--json")
    assert raw.code == 1
    assert {entry["source"] for entry in raw.json()["results"]} == readable
    assert len(raw.json()["failed"]) == len(listed)
    assert all(len(load_records(datalist, split)) > 3 for split in ("training", "validation", "test"))
