"""One object reads files in training, evaluation and OpenMMLab; it is built from two settings of a bundle's JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai.data import ImageReader, MetaTensor
from monai.transforms import SpatialCropd
from PIL import Image

from monai_place.data.radiograph import RadiographError, read_radiograph
from monai_place.transforms import ImageReading, LoadRadiographd

CROP = {"_target_": "monai.transforms.SpatialCropd", "keys": "image", "roi_start": [1, 2], "roi_end": [6, 10]}


class HalfReader(ImageReader):
    """Half as bright as it should be; `gives` is what it gives in the place of pixels."""

    gives: Any = None

    def verify_suffix(self, filename: Any) -> bool:
        return True

    def read(self, data: Any, **kwargs: Any) -> Any:
        return Path(data)

    def get_data(self, img: Any) -> tuple[Any, dict[str, Any]]:
        pixels = read_radiograph(img)[0] / 2
        return (pixels if self.gives is None else self.gives), {}


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 12), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_ours_reads_as_always(picture: Path) -> None:
    read = ImageReading()(picture)
    np.testing.assert_array_equal(read.pixels, read_radiograph(picture)[0])
    assert read.move is None
    assert ImageReading().is_ours
    assert ImageReading().describe() == {"reader": None, "image_steps": []}


def test_reader_and_steps_of_a_json_file_make_the_picture(picture: Path, tmp_path: Path) -> None:
    settings = {"reader": f"{__name__}.HalfReader", "image_steps": [CROP], "epochs": 3}
    (tmp_path / "ours.json").write_text(json.dumps(settings), encoding="utf-8")
    reading = ImageReading.from_file(tmp_path / "ours.json")
    read = reading(picture)
    np.testing.assert_array_equal(read.pixels, read_radiograph(picture)[0][1:6, 2:10] / 2)
    assert read.move is not None
    assert (read.move.before, read.move.after) == ((8, 12), (5, 8))
    assert not reading.is_ours
    assert reading.describe()["image_steps"] == ["monai.transforms.croppad.dictionary.SpatialCropd"]


def test_a_reader_may_be_given_with_arguments(picture: Path) -> None:
    target = {"_target_": "monai_place.data.radiograph.RadiographReader", "least_side": 4}
    assert ImageReading.from_config({"reader": target}).reader.least_side == 4  # type: ignore[attr-defined]


def test_an_array_goes_through_the_steps_too() -> None:
    image = torch.rand(8, 12)
    read = ImageReading(steps=[SpatialCropd("image", roi_start=(1, 2), roi_end=(6, 10))]).prepare(image)
    assert torch.equal(read.pixels, image[1:6, 2:10])


def test_the_transform_that_loads_takes_the_same_reader(picture: Path) -> None:
    image = LoadRadiographd("image", reader=f"{__name__}.HalfReader")({"image": picture})["image"]
    assert isinstance(image, MetaTensor)
    np.testing.assert_array_equal(image[0], read_radiograph(picture)[0] / 2)
    assert image.meta["filename_or_obj"] == str(picture)
    assert np.isnan(image.meta["pixel_spacing_mm"]).all()
    np.testing.assert_array_equal(image.affine, np.eye(4))


@pytest.mark.parametrize(
    ("gives", "found"),
    [
        pytest.param(np.zeros((8, 12), dtype=np.uint8), r"uint8 of shape \(8, 12\)", id="bytes"),
        pytest.param(np.zeros((8, 12)), r"float64 of shape \(8, 12\)", id="double"),
        pytest.param(np.zeros((1, 8, 12), dtype=np.float32), r"float32 of shape \(1, 8, 12\)", id="a channel"),
        pytest.param(np.full((8, 12), 7, dtype=np.float32), "values from 7 to 7", id="range"),
        pytest.param(np.full((8, 12), np.nan, dtype=np.float32), "values from nan to nan", id="NaN"),
        pytest.param(np.zeros((0, 12), dtype=np.float32), r"float32 of shape \(0, 12\)", id="empty"),
    ],
)
def test_what_a_reader_gives_is_held_to_the_contract(picture: Path, gives: Any, found: str) -> None:
    reader = HalfReader()
    reader.gives = gives
    with pytest.raises(RadiographError, match=rf"^a\.png: HalfReader gave {found}, expected \(H, W\) float32"):
        LoadRadiographd("image", reader=reader)({"image": picture})


def test_a_wrong_reader_is_refused_when_the_transform_is_made() -> None:
    with pytest.raises(ImportError, match=r"there is no reader 'monai_place\.Nothing'"):
        LoadRadiographd("image", reader="monai_place.Nothing")
    with pytest.raises(ImportError, match="there is no reader 'HalfReader'; expected the dotted name"):
        LoadRadiographd("image", reader="HalfReader")
    with pytest.raises(TypeError, match=r"reader must be a monai\.data\.ImageReader, got (Posix|Windows)Path"):
        LoadRadiographd("image", reader="pathlib.Path")
    with pytest.raises(ValueError, match="least_side=64 is for the package's own reader"):
        LoadRadiographd("image", reader=HalfReader(), least_side=64)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("{}", r"ours\.json: none of the settings \['reader', 'image_steps'\]", id="empty"),
        pytest.param('{"epochs": 3}', "is there, only", id="others"),
        pytest.param("[]", "expected a JSON object", id="list"),
        pytest.param("{", r"ours\.json: Expecting property name", id="no JSON"),
    ],
)
def test_a_file_without_the_settings_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "ours.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message) as error:
        ImageReading.from_file(tmp_path / "ours.json")
    assert str(tmp_path) not in str(error.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"'ours\.json' does not exist"):
        ImageReading.from_file(tmp_path / "ours.json")


def test_pictures_made_in_another_way_than_in_training_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    own = ImageReading(HalfReader())
    own.warn_if_other_than(own.describe())
    ImageReading().warn_if_other_than(None)
    ImageReading().warn_if_other_than(ImageReading().describe())
    assert not caplog.records
    ImageReading().warn_if_other_than(own.describe())
    assert f"trained on pictures by {__name__}.HalfReader, and gets them by our reader" in caplog.text
