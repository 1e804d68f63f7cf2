from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import torch
from monai.data import MetaTensor, list_data_collate
from PIL import Image

from monai_place.data.radiograph import RadiographError, read_radiograph
from monai_place.transforms.load import LoadRadiographd

SHIPPED = Path(pydicom.__file__).parent / "data" / "test_files"


@pytest.fixture
def record(tmp_path: Path) -> dict[str, str]:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 9), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels % 4).save(tmp_path / "m.png")
    Image.fromarray(pixels.T.copy()).save(tmp_path / "turned.png")
    return {"id": "a", "image": str(tmp_path / "a.png"), "mask": str(tmp_path / "m.png")}


def test_an_image_becomes_a_tensor_with_its_channel_first_and_rows_next(record: dict[str, str]) -> None:
    image = LoadRadiographd("image")(record)["image"]
    assert isinstance(image, MetaTensor)
    assert image.shape == (1, 6, 9)
    assert image.dtype == torch.float32
    np.testing.assert_array_equal(image[0].numpy(), read_radiograph(record["image"])[0])
    assert image.meta["filename_or_obj"] == record["image"]
    assert np.isnan(image.meta["pixel_spacing_mm"]).all()


def test_spacing_of_a_dicom_file_stands_in_affine_and_metadata() -> None:
    image = LoadRadiographd("image")({"image": SHIPPED / "JPEG2000.dcm"})["image"]
    assert image.shape == (1, 1024, 256)
    assert tuple(image.meta["pixel_spacing_mm"]) == (2.26, 2.26)
    assert image.pixdim.tolist()[:2] == pytest.approx([2.26, 2.26])


def test_a_mask_keeps_its_integers_and_takes_the_affine_of_its_image(record: dict[str, str]) -> None:
    data = LoadRadiographd("image", "mask")(record)
    expected = np.asarray(Image.open(record["mask"]))
    np.testing.assert_array_equal(data["mask"][0].numpy(), expected)
    assert data["mask"].dtype == torch.float32
    torch.testing.assert_close(data["mask"].affine, data["image"].affine)


def test_a_missing_or_null_mask_is_left_alone(record: dict[str, str]) -> None:
    data = LoadRadiographd("image", ["mask", "lung"])({**record, "mask": None})
    assert data["mask"] is None
    assert "lung" not in data


def test_a_mask_of_another_size_is_refused_by_name(record: dict[str, str]) -> None:
    record["mask"] = str(Path(record["mask"]).with_name("turned.png"))
    with pytest.raises(ValueError, match=r"mask 'turned\.png' has \(9, 6\) pixels, its image \(6, 9\)"):
        LoadRadiographd("image", "mask")(record)


def test_a_missing_key_raises_unless_allowed(record: dict[str, str]) -> None:
    with pytest.raises(KeyError, match="lateral"):
        LoadRadiographd(["image", "lateral"])(record)
    assert "lateral" not in LoadRadiographd(["image", "lateral"], allow_missing_keys=True)(record)


def test_a_refused_file_raises_and_the_record_is_not_changed(record: dict[str, str]) -> None:
    record["image"] = str(SHIPPED / "SC_rgb_rle.dcm")
    before = dict(record)
    with pytest.raises(RadiographError, match=r"SC_rgb_rle\.dcm: a color object"):
        LoadRadiographd("image")(record)
    assert record == before


def test_monai_batches_images_with_and_without_spacing(record: dict[str, str]) -> None:
    load = LoadRadiographd("image")
    batch = list_data_collate([load({"image": record["image"]}), load({"image": record["image"]})])
    assert batch["image"].shape == (2, 1, 6, 9)
