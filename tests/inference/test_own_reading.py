"""A vendor's reader and steps in evaluation and inference: pictures are theirs, maps come back to the file's pixels."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from monai_place.data.datalist import load_records, read_datalist
from monai_place.data.radiograph import RadiographError
from monai_place.inference import load
from monai_place.inference.bundle import evaluate_bundle
from monai_place.inference.collect import collect_studies
from monai_place.inference.encoders import load_encoder
from monai_place.inference.images import prepare_image
from monai_place.inference.loading import load_place
from monai_place.preprocess import PreprocessSpec
from monai_place.transforms import ImageReading
from tests.support.models import save_tiny_place
from tests.support.vendor import BORDER, PACKAGE, SETTINGS, write_archive


@pytest.fixture(autouse=True)
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(PACKAGE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("own")
    write_archive(root / "data", studies=8, seed=0, fractions=(0.5, 0.25, 0.25))
    save_tiny_place(root / "model")
    return root


@pytest.fixture
def reading() -> ImageReading:
    return ImageReading.from_config(SETTINGS)


def images(folder: Path) -> list[str]:
    return [record["image"] for record in load_records(folder / "data" / "datalist.json", "training")]


def test_files_that_ours_refuses_are_classified(folder: Path, reading: ImageReading) -> None:
    files = images(folder)
    ours, own = load(folder / "model"), load(folder / "model", reading=reading)
    assert len(ours.classify(files).failed) == len(files)
    found = own.classify(files)
    assert not found.failed
    assert len(found.results) == len(files)


def test_a_file_is_fitted_behind_the_steps(folder: Path, reading: ImageReading) -> None:
    prepared = prepare_image(images(folder)[0], PreprocessSpec(image_size=32), reading)
    assert prepared.pixels.shape == (64 - 2 * BORDER,) * 2
    assert prepared.move is not None
    # An array is what a reader gives: the steps are the same for it.
    array = reading.read(images(folder)[0])[0].as_tensor()  # type: ignore[attr-defined]
    torch.testing.assert_close(prepare_image(array, PreprocessSpec(image_size=32), reading).tensor, prepared.tensor)


def test_evidence_lies_on_the_pixels_of_the_file_and_is_unknown_where_it_was_cut(
    folder: Path, reading: ImageReading
) -> None:
    grounded = load(folder / "model", reading=reading).ground(images(folder)[0], "There is a nodule.")
    assert grounded.evidence.shape == (64, 64)
    known = ~np.isnan(grounded.evidence)
    inner = np.zeros((64, 64), dtype=bool)
    inner[BORDER:-BORDER, BORDER:-BORDER] = True
    np.testing.assert_array_equal(known, inner)


def test_grounding_is_scored_against_the_masks_of_the_file(folder: Path, reading: ImageReading) -> None:
    records = load_records(folder / "data" / "datalist.json", "training")
    classes = read_datalist(folder / "data" / "datalist.json").classes
    collected = collect_studies(load_place(folder / "model", reading=reading), records, classes=classes)
    assert not collected.failed
    assert collected.grounding
    assert all(0 <= row.model["pointing"] <= 1 for row in collected.grounding)


def test_an_evaluation_of_the_bundle_takes_it(folder: Path, reading: ImageReading, tmp_path: Path) -> None:
    data = folder / "data" / "datalist.json"
    values = evaluate_bundle(
        folder / "model", data, output=tmp_path / "m.json", split="training", bootstrap=10, reading=reading
    )
    assert values["failed"] == []
    assert json.loads((tmp_path / "m.json").read_text()) == values
    with pytest.raises(ValueError, match="none of the 4 images could be read"):
        evaluate_bundle(folder / "model", data, output=tmp_path / "m.json", split="training", bootstrap=10)


def test_a_model_that_was_trained_on_other_pictures_says_so(
    folder: Path, reading: ImageReading, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_tiny_place(tmp_path / "model")
    content: dict[str, Any] = json.loads((tmp_path / "model" / "place.json").read_text())
    content["extra"] = {"reading": reading.describe()}
    (tmp_path / "model" / "place.json").write_text(json.dumps(content))
    with caplog.at_level(logging.WARNING):
        load(tmp_path / "model", reading=reading)
        assert not caplog.records
        load(tmp_path / "model")
    said = "trained on pictures by northside.reading.ThreeFrameReader and northside.steps.Coll"
    assert said in caplog.text
    caplog.clear()
    load_encoder(tmp_path / "model")
    assert said in caplog.text


def test_a_file_that_the_reader_cannot_read_is_listed(folder: Path, reading: ImageReading, tmp_path: Path) -> None:
    whole = Path(images(folder)[0]).read_bytes()
    (tmp_path / "cut.dcm").write_bytes(whole[: len(whole) // 2])
    with pytest.raises((RadiographError, ValueError), match=r"cut\.dcm"):
        reading(tmp_path / "cut.dcm")
    found = load(folder / "model", reading=reading).classify([tmp_path / "cut.dcm", images(folder)[0]])
    assert [failure.source.rpartition("/")[2] for failure in found.failed] == ["cut.dcm"]
    assert len(found.results) == 1
