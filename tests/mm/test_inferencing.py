"""What the inferencers read: files of every kind, folders, arrays, and what is none of these."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("mmengine")

from mmengine.config import ConfigDict

from monai_place.mm import LoadRadiographFromFile
from monai_place.mm.inferencing import LoadRadiographInput, RadiographInputs
from tests.support.source_files import write_dicom

LOADER = "monai_place.LoadRadiographFromFile"
PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Image.fromarray(PIXELS).save(tmp_path / "b.png")
    write_dicom(tmp_path / "IM0001")
    (tmp_path / "notes.txt").write_text("no image")
    return tmp_path


def inputs_of(*types: str) -> RadiographInputs:
    config = {"test_dataloader": {"dataset": {"pipeline": [{"type": kind} for kind in types]}}}
    inputs = RadiographInputs()
    inputs.pipeline = inputs._init_pipeline(ConfigDict(config))
    return inputs


@pytest.mark.parametrize("given", [PIXELS, PIXELS[..., None], np.repeat(PIXELS[..., None], 3, axis=2)])
@pytest.mark.parametrize("kind", ["array", "dictionary"])
def test_an_array_is_read_as_the_file_that_holds_it(folder: Path, given: np.ndarray, kind: str) -> None:
    load = LoadRadiographInput(LoadRadiographFromFile())
    found = load({"img": given, "img_id": 7} if kind == "dictionary" else given)
    expected = load(str(folder / "b.png"))
    assert np.array_equal(found["img"], expected["img"])
    assert found["img"].dtype == expected["img"].dtype
    assert found["img_shape"] == expected["img_shape"] == (20, 30)
    assert found.get("img_id") == (7 if kind == "dictionary" else None)


def test_the_loader_says_of_which_type_and_how_many_channels_a_picture_is() -> None:
    load = LoadRadiographInput(LoadRadiographFromFile(to_float32=True, channels=1))
    assert load(PIXELS)["img"].shape == (20, 30, 1)
    assert load(PIXELS)["img"].dtype == np.float32
    with pytest.raises(ValueError, match=r"\(H, W\), \(H, W, 1\) or \(H, W, 1\), got \(20, 30, 3\)"):
        load(np.zeros((20, 30, 3), dtype=np.uint8))


def test_what_is_no_picture_is_named() -> None:
    load = LoadRadiographInput(LoadRadiographFromFile())
    with pytest.raises(TypeError, match="got list"):
        load([1, 2])
    with pytest.raises(TypeError, match="got NoneType"):
        load({"text": "no image here"})
    with pytest.raises(ValueError, match=r"got \(4,\)"):
        load(np.zeros(4))


def test_a_folder_stands_for_its_images_in_order_of_name(folder: Path) -> None:
    inputs = RadiographInputs()
    files = [str(folder / "IM0001"), str(folder / "b.png")]
    assert inputs._inputs_to_list(str(folder)) == inputs._inputs_to_list(folder) == files
    mixed = inputs._inputs_to_list([folder / "b.png", PIXELS, folder])
    assert [mixed[0], *mixed[2:]] == [files[1], *files]
    assert mixed[1] is PIXELS
    with pytest.raises(FileNotFoundError, match=r"'gone\.dcm' does not exist"):
        inputs._inputs_to_list(str(folder / "gone.dcm"))


def test_annotations_are_not_asked_for(folder: Path) -> None:
    inputs = inputs_of(LOADER, "LoadAnnotations", "monai_place.LoadRadiographMask")
    assert inputs.pipeline(str(folder / "IM0001"))["img"].shape == (16, 16, 3)


def test_what_is_drawn_on_is_what_was_read(folder: Path) -> None:
    inputs = inputs_of(LOADER)
    pictures = list(inputs._pictures([str(folder / "b.png"), PIXELS, {"img_path": folder / "b.png"}]))
    assert all(np.array_equal(picture, np.repeat(PIXELS[..., None], 3, axis=2)) for picture in pictures)


def test_a_pipeline_without_our_loader_is_refused() -> None:
    with pytest.raises(ValueError, match=r"LoadRadiographFromFile, got \['LoadImageFromFile', 'PackDetInputs'\]"):
        inputs_of("LoadImageFromFile", "mmdet.PackDetInputs")
