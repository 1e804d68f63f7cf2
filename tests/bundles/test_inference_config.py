"""inference.json: a folder of radiographs to findings; the network by MONAI's own commands, from any place."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import monai.bundle
import nibabel
import numpy as np
import pydicom
import pytest
import torch
from PIL import Image

from monai_place.data.phantom import PHANTOM_CLASSES, write_phantom
from monai_place.inference import bundle_classifier, load
from monai_place.networks import PLACEModel
from monai_place.weights import read_place_json, read_state_dict
from tests.bundles.conftest import BUNDLE, ROOT
from tests.support.commands import Ended, bundle_command, missing_properties

# What a DICOM file of a hospital may say, and nobody may read in what we write.
PLANTED = {
    "PatientName": "Planted^Quentin",
    "PatientID": "PLANTED-4711",
    "PatientBirthDate": "19330817",
    "AccessionNumber": "ACC-PLANTED-99",
    "InstitutionName": "Planted General",
    "StudyDescription": "PLANTED chest pa",
}
SECRETS = [value.encode() for value in PLANTED.values()] + [b"Planted", b"PLANTED"]
GOOD = ["a.png", "b.dcm", "c.nii.gz", "deeper/1.2.840.7", "deeper/e.jpg"]
BAD = ["broken.dcm", "empty.png"]


@dataclass(frozen=True)
class Inference:
    """One run of inference.json on the mixed folder."""

    ended: Ended
    images: Path
    output: Path
    before: dict[str, str]
    after: dict[str, str]


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a file of each kind, two that are broken, and some that are no images."""
    source = tmp_path_factory.mktemp("dicom")
    write_phantom(source, studies=2, size=80, seed=5, image_format="dicom")
    folder = tmp_path_factory.mktemp("images")
    (folder / "deeper").mkdir()
    for path, name in zip(sorted(source.rglob("*.dcm")), ("b.dcm", "deeper/1.2.840.7"), strict=True):
        dataset = pydicom.dcmread(path)
        for key, value in PLANTED.items():
            setattr(dataset, key, value)
        dataset.save_as(folder / name)
    pixels = np.random.default_rng(0).integers(0, 255, (70, 50), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "a.png")
    Image.fromarray(pixels).save(folder / "deeper" / "e.jpg")
    nibabel.save(nibabel.Nifti1Image(pixels.T.astype(np.float32), np.eye(4)), folder / "c.nii.gz")
    whole = (folder / "b.dcm").read_bytes()
    (folder / "broken.dcm").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.png").touch()
    (folder / "notes.txt").write_text("no image")
    (folder / "DICOMDIR").write_bytes(b"no image")
    (folder / ".hidden.png").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def inference(trained: Path, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Inference:
    """Run the command on the mixed folder, with overlays for two sentences."""
    output, before = tmp_path_factory.mktemp("findings"), hashes(trained)
    words = ["run", "--config_file", str(trained / "configs" / "inference.json"), "--bundle_root", str(trained)]
    words += ["--dataset_dir", str(images), "--output_dir", str(output), "--batch_size", "2"]
    words += ["--sentences", "['There is a nodule.', 'The heart is enlarged.']"]
    ended = bundle_command(*words, log=tmp_path_factory.mktemp("log") / "inference.log")
    return Inference(ended, images, output, before, hashes(trained))


@pytest.fixture(params=["plain", "spaces and other letters"])
def moved(
    trained: Path, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Return a copy of the trained bundle without its run, and be in a foreign folder that looks like a bundle, too."""
    folder = tmp_path / ("bundle" if request.param == "plain" else "Bündel für Łódź (copy) 1")
    for part in ("configs", "models", "docs"):
        if (trained / part).is_dir():
            shutil.copytree(trained / part, folder / part)
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "models").mkdir(parents=True)
    (elsewhere / "models" / "place.json").write_text("{}")
    monkeypatch.chdir(elsewhere)
    before = hashes(folder)
    yield folder
    assert hashes(folder) == before, "a bundle may lie where nobody can write"


def test_bad_files_are_listed_and_told_by_the_exit_code(inference: Inference) -> None:
    assert inference.ended.code == 1, inference.ended.output
    assert "Traceback" not in inference.ended.output
    with (inference.output / "findings.csv").open(newline="", encoding="utf-8") as file:
        rows = {row["source"]: row for row in csv.DictReader(file)}
    assert sorted(rows) == sorted([*GOOD, *BAD])
    assert {name for name, row in rows.items() if row["error"]} == set(BAD)
    assert all(0 <= float(rows[name][finding]) <= 1 for name in GOOD for finding in PHANTOM_CLASSES)
    assert all(not rows[name][finding] for name in BAD for finding in PHANTOM_CLASSES)
    content = json.loads((inference.output / "findings.json").read_text(encoding="utf-8"))
    assert sorted(entry["source"] for entry in content["failed"]) == sorted(BAD)
    assert "Not a medical device" in content["note"]


def test_the_findings_are_those_of_the_predictor(trained: Path, inference: Inference) -> None:
    content = json.loads((inference.output / "findings.json").read_text(encoding="utf-8"))
    expected = load(trained, device="cpu").classify([inference.images / name for name in GOOD])
    assert [entry["source"] for entry in content["results"]] == [entry.source for entry in expected.results]
    for entry, other in zip(content["results"], expected.results, strict=True):
        assert entry["probabilities"] == pytest.approx(other.probabilities, abs=1e-5)
        assert entry["scores"] == pytest.approx(other.scores, abs=1e-3)


def test_each_sentence_is_shown_on_each_image_in_its_own_size(inference: Inference) -> None:
    overlays = sorted((inference.output / "overlays").iterdir())
    assert len(overlays) == 2 * len(GOOD)
    for path in overlays:
        with Image.open(path) as picture:
            assert picture.size == ((80, 80) if path.name.startswith(("b-", "1-")) else (50, 70))


def test_nothing_of_a_patient_appears_anywhere(inference: Inference) -> None:
    written = [path for path in inference.output.rglob("*") if path.is_file()]
    assert len(written) == 2 + 2 * len(GOOD)
    found = {path.name: path.read_bytes() for path in written} | {"log": inference.ended.output.encode()}
    assert not [(name, secret) for name, data in found.items() for secret in SECRETS if secret in data]


def test_inference_changes_nothing_in_the_bundle(inference: Inference) -> None:
    assert inference.after == inference.before


def test_a_folder_of_good_images_from_a_foreign_working_folder_ends_well(
    moved: Path, images: Path, tmp_path: Path
) -> None:
    good = tmp_path / "Bilder 1 ü"
    shutil.copytree(images, good, ignore=shutil.ignore_patterns(*BAD))
    words = ["run", "--config_file", str(moved / "configs" / "inference.json"), "--bundle_root", str(moved)]
    words += ["--dataset_dir", str(good), "--output_dir", str(tmp_path / "out")]
    ended = bundle_command(*words, log=tmp_path / "log", cwd=Path.cwd())
    assert ended.code == 0, ended.output
    assert len((tmp_path / "out" / "findings.csv").read_text().splitlines()) == 1 + len(GOOD)
    assert not (tmp_path / "out" / "overlays").exists()


@pytest.mark.filterwarnings("ignore:parsing config_file")
@pytest.mark.usefixtures("unchanged_logging")
def test_monai_loads_the_network_with_its_weights_from_anywhere(moved: Path) -> None:
    network: Any = monai.bundle.load(
        moved.name, bundle_dir=moved.parent, workflow_type="inference", source="github", device="cpu"
    )
    image = torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(network.eval()(image), bundle_classifier(moved / "models")(image))


def test_monai_loads_the_whole_model_into_ours(trained: Path) -> None:
    model = PLACEModel({**read_place_json(trained / "models" / "place.json").model})
    monai.bundle.load(trained.name, model=model, bundle_dir=trained.parent, source="github", device="cpu")
    state = read_state_dict(trained / "models" / "model.pt")
    assert all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("state", ["trained", "fresh clone"])
def test_no_property_is_missing(trained: Path, images: Path, tmp_path: Path, state: str) -> None:
    root = trained if state == "trained" else BUNDLE
    settings = {"bundle_root": str(root), "output_dir": str(tmp_path)}
    if state == "trained":
        settings["dataset_dir"] = str(images)
    assert missing_properties([root / "configs" / "inference.json"], "infer", log=tmp_path / "log", **settings) == []


def test_without_weights_the_run_says_what_to_do(images: Path, tmp_path: Path) -> None:
    words = ["run", "--config_file", str(BUNDLE / "configs" / "inference.json"), "--bundle_root", str(BUNDLE)]
    words += ["--dataset_dir", str(images), "--output_dir", str(tmp_path / "out")]
    ended = bundle_command(*words, log=tmp_path / "log", cwd=ROOT)
    assert ended.code == 1
    assert "'models' holds no weights (place.json); train first" in ended.output
    assert not (tmp_path / "out").exists()


def test_a_folder_without_images_is_an_error(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "nothing here").mkdir()
    words = ["run", "--config_file", str(trained / "configs" / "inference.json"), "--bundle_root", str(trained)]
    words += ["--dataset_dir", str(tmp_path / "nothing here"), "--output_dir", str(tmp_path / "out")]
    ended = bundle_command(*words, log=tmp_path / "log")
    assert ended.code == 1
    assert "'nothing here' holds no DICOM, NIfTI, PNG or JPEG file" in ended.output


def test_the_network_is_exported_by_scripting_and_gives_the_same(trained: Path, tmp_path: Path) -> None:
    words = ["ckpt_export", "network_def", "--filepath", str(tmp_path / "model.ts"), "--bundle_root", str(trained)]
    words += ["--config_file", str(trained / "configs" / "inference.json")]
    ended = bundle_command(*words, log=tmp_path / "log", cwd=tmp_path)
    assert ended.code == 0, ended.output
    extra = {"metadata.json": "", "inference.json": ""}
    program = torch.jit.load(tmp_path / "model.ts", _extra_files=extra)
    eager = bundle_classifier(trained / "models")
    image = torch.randn(3, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for batch in (image, image[:1]):
            torch.testing.assert_close(program(batch), eager(batch), rtol=0, atol=1e-5)
    assert json.loads(extra["metadata.json"])["place"]["preprocess"]["image_size"] == 64
