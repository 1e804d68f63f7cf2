"""The loading transforms alone; the datasets' tests run them in whole pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mmengine.registry import TRANSFORMS
from PIL import Image

import monai_place.mm  # noqa: F401
from monai_place.data.datalist import read_datalist
from monai_place.data.phantom import write_phantom
from monai_place.data.radiograph import RadiographError, read_radiograph
from monai_place.mm.loading import LoadRadiographFromFile, LoadRadiographMask


@pytest.fixture
def deep(tmp_path: Path) -> Path:
    """Return a 16 bit PNG of 6 x 9 pixels."""
    Image.fromarray(np.linspace(0, 65535, 54).reshape(6, 9).astype(np.uint16)).save(tmp_path / "deep.png")
    return tmp_path / "deep.png"


def write_mask(path: Path, values: Any) -> Path:
    Image.fromarray(np.array(values, dtype=np.uint8)).save(path)
    return path


def test_picture_has_three_identical_channels_of_bytes_and_its_shapes(deep: Path) -> None:
    results = LoadRadiographFromFile()({"img_path": str(deep), "record_id": "a"})
    assert results["img"].shape == (6, 9, 3)
    assert results["img"].dtype == np.uint8
    assert results["img"].flags.c_contiguous
    assert (results["img"] == results["img"][..., :1]).all()
    assert results["img"][0, 0, 0] == 0
    assert results["img"][-1, -1, 0] == 255
    assert results["img_shape"] == results["ori_shape"] == (6, 9)
    assert results["record_id"] == "a"


def test_float_keeps_the_depth_that_bytes_lose(deep: Path) -> None:
    picture = LoadRadiographFromFile(to_float32=True)({"img_path": deep})["img"]
    assert picture.dtype == np.float32
    np.testing.assert_allclose(picture[..., 1], read_radiograph(deep)[0] * 255, rtol=1e-6)
    assert np.abs(picture - LoadRadiographFromFile()({"img_path": deep})["img"]).max() > 0.1


def test_bytes_of_an_8_bit_picture_come_back_as_they_are(tmp_path: Path) -> None:
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Image.fromarray(values).save(tmp_path / "a.png")
    assert (LoadRadiographFromFile()({"img_path": tmp_path / "a.png"})["img"][..., 0] == values).all()


def test_one_channel_on_demand(deep: Path) -> None:
    assert LoadRadiographFromFile(channels=1)({"img_path": deep})["img"].shape == (6, 9, 1)
    with pytest.raises(ValueError, match="channels must be 1 or 3, got 2"):
        LoadRadiographFromFile(channels=2)


@pytest.mark.parametrize("image_format", ["dicom", "nifti"])
def test_other_formats_give_the_picture_that_png_gives(image_format: Any, tmp_path: Path) -> None:
    pictures = []
    for name in ("png", image_format):
        datalist = read_datalist(write_phantom(tmp_path / name, studies=2, size=48, seed=1, image_format=name))
        paths = [tmp_path / name / record["image"] for _, _, record in datalist.records()]
        pictures.append([LoadRadiographFromFile(to_float32=True)({"img_path": path})["img"] for path in paths])
    np.testing.assert_allclose(*pictures, atol=1.01)  # DICOM files are 8 to 16 bits deep


def test_errors_of_the_reader_name_the_file_and_not_its_folder(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n and nothing")
    with pytest.raises(RadiographError, match=r"^bad\.png: the PNG file is"):
        LoadRadiographFromFile()({"img_path": tmp_path / "bad.png"})
    with pytest.raises(RadiographError, match=r"^none\.dcm: the file does not exist"):
        LoadRadiographFromFile()({"img_path": tmp_path / "none.dcm"})


@pytest.mark.parametrize("name", ["LoadRadiographFromFile", "monai_place.LoadRadiographFromFile"])
def test_both_names_build_it(name: str) -> None:
    assert repr(TRANSFORMS.build({"type": name, "to_float32": True})) == (
        "LoadRadiographFromFile(to_float32=True, channels=3)"
    )


def load(path: Path | None, *, binary: bool = False, **results: Any) -> Any:
    loaded = LoadRadiographMask(binary=binary)({"seg_map_path": path, "ori_shape": (2, 3), **results})
    return loaded["gt_seg_map"].tolist() if "gt_seg_map" in loaded else None


def test_index_masks_are_mapped_to_labels(tmp_path: Path) -> None:
    mask = write_mask(tmp_path / "m.png", [[0, 1, 2], [3, 3, 0]])
    mapped = load(mask, mask_format="index", label_map={0: 0, 1: 0, 2: 2, 3: 1})
    assert mapped == [[0, 0, 2], [1, 1, 0]]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        pytest.param(
            [[0, 1, 3], [0, 0, 0]], r"mask 'm.png' holds 3, expected one of \[0, 1, 2\]$", id="beyond the classes"
        ),
        pytest.param([[0, 255, 255]] * 2, "mask 'm.png' holds 255, .*; mask_format='binary' is for masks", id="binary"),
    ],
)
def test_values_that_no_class_has_are_an_error(values: list[list[int]], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        load(write_mask(tmp_path / "m.png", values), mask_format="index", label_map={0: 0, 1: 1, 2: 2})


def test_binary_masks_have_one_class(tmp_path: Path) -> None:
    mask = write_mask(tmp_path / "m.png", [[0, 255, 255], [1, 7, 0]])
    assert load(mask, mask_format="binary") == load(mask, binary=True) == [[0, 1, 1], [1, 1, 0]]


def test_masks_of_a_plain_folder_keep_their_values_or_follow_the_label_map(tmp_path: Path) -> None:
    mask = write_mask(tmp_path / "m.png", [[0, 1, 2], [255, 2, 1]])
    assert load(mask) == [[0, 1, 2], [255, 2, 1]]
    assert load(mask, label_map={1: 2, 2: 1}) == [[0, 2, 1], [255, 1, 2]]


def test_values_that_a_label_map_of_bytes_cannot_hold_are_an_error(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 256, 0], [0, 0, 0]], dtype=np.uint16)).save(tmp_path / "m.png")
    with pytest.raises(ValueError, match=r"mask 'm.png' holds 256, expected labels of at most 255"):
        load(tmp_path / "m.png")
    assert load(tmp_path / "m.png", label_map={256: 1}) == [[0, 1, 0], [0, 0, 0]]
    assert load(tmp_path / "m.png", binary=True) == [[0, 1, 0], [0, 0, 0]]


def test_boxes_are_filled_where_pixel_centers_lie_inside_and_later_ones_win() -> None:
    results = {"ori_shape": (4, 6), "mask_boxes": [(1, 1, 1, 4, 3), (2, 2.6, 0.0, 9.0, 1.5), (1, -5, 3.4, 0.6, 99)]}
    loaded = LoadRadiographMask()(results)
    assert loaded["gt_seg_map"].tolist() == [
        [0, 0, 0, 2, 2, 2],
        [0, 1, 1, 1, 0, 0],
        [0, 1, 1, 1, 0, 0],
        [1, 0, 0, 0, 0, 0],
    ]
    assert loaded["gt_seg_map"].dtype == np.uint8
    assert loaded["seg_fields"] == ["gt_seg_map"]


def test_no_boxes_are_an_empty_mask_and_no_annotation_is_none() -> None:
    assert not LoadRadiographMask()({"ori_shape": (2, 2), "mask_boxes": []})["gt_seg_map"].any()
    assert load(None) is None


def test_a_mask_of_another_size_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"mask 'm.png' has \(1, 3\) pixels, its image \(2, 3\)"):
        load(write_mask(tmp_path / "m.png", [[0, 1, 0]]))


def test_what_the_transform_does_not_do_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="reduce_zero_label is not for this transform"):
        load(write_mask(tmp_path / "m.png", [[0, 1, 0]] * 2), reduce_zero_label=True)
