from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from monai_place.transforms.augment import RandRadiographAffined
from monai_place.transforms.geometry import FitRadiographd
from monai_place.transforms.intensity import NormalizeRadiographd, RandRadiographIntensityd
from monai_place.transforms.tracking import (
    check_image,
    check_unit_range,
    move_boxes,
    plain,
    pushed,
    spatial_size,
    untracked,
)

AFFINE = np.diag([0.5, 0.25, 1.0, 1.0])
SHIFT = np.array([[1.0, 0.0, 2.0], [0.0, 1.0, 3.0], [0.0, 0.0, 1.0]])  # index after -> index before


def tracked() -> MetaTensor:
    return MetaTensor(torch.rand(1, 4, 6), affine=torch.as_tensor(AFFINE), meta={"filename_or_obj": "a.png"})


def move(data: dict[Any, Any], by: tuple[float, float] = (0, 0), **options: Any) -> dict[Any, Any]:
    arguments = {"boxes_key": "boxes", "label_keys": ["names"], "size": (10, 20), **options}
    move_boxes(data, arguments["boxes_key"], arguments["label_keys"], lambda b: b + np.array(2 * by), arguments["size"])
    return data


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(np.arange(6.0).reshape(1, 2, 3), id="array"),
        pytest.param(torch.arange(6.0).reshape(1, 2, 3), id="tensor"),
        pytest.param(MetaTensor(torch.arange(6.0).reshape(1, 2, 3)), id="tracked"),
    ],
)
def test_plain_gives_the_values_without_the_tracking(image: Any) -> None:
    result = plain(image)
    assert type(result) is torch.Tensor
    assert result.flatten().tolist() == [0, 1, 2, 3, 4, 5]


def test_the_size_is_rows_and_columns_of_a_channel_first_image() -> None:
    assert spatial_size(np.zeros((3, 4, 6))) == (4, 6)
    with pytest.raises(ValueError, match=r"expected an image of shape \(C, H, W\), got \(4, 6\)"):
        spatial_size(torch.zeros(4, 6))


def test_a_pushed_image_has_the_metadata_of_its_source_and_one_note_for_the_inverse() -> None:
    source = tracked()
    transform = NormalizeRadiographd("image", mean=0.5, std=0.25)
    result = pushed(transform, source, torch.zeros(1, 8, 8), extra={"angle": 3.0})
    assert isinstance(result, MetaTensor)
    assert result.meta["filename_or_obj"] == "a.png"
    (note,) = result.applied_operations
    assert note["class"] == "NormalizeRadiographd"
    assert tuple(note["orig_size"]) == (4, 6)
    assert note["extra_info"]["angle"] == 3.0
    assert source.applied_operations == []


@pytest.mark.parametrize("note", [True, False], ids=["pushed", "untracked"])
def test_a_moved_image_says_where_its_pixels_came_from(note: bool) -> None:
    source, values = tracked(), torch.zeros(1, 4, 6)
    transform = NormalizeRadiographd("image", mean=0.5, std=0.25)
    result = pushed(transform, source, values, affine=SHIFT) if note else untracked(source, values, SHIFT)
    assert isinstance(result, MetaTensor)
    # Row 0, column 0 of the result is row 2, column 3 of the source: 1 mm and 0.75 mm from its origin.
    np.testing.assert_allclose(np.asarray(result.affine) @ [0, 0, 0, 1], [1.0, 0.75, 0, 1])
    np.testing.assert_allclose(np.asarray(source.affine), AFFINE)
    assert len(result.applied_operations) == int(note)


def test_without_a_move_the_affine_stays_and_no_note_is_left() -> None:
    result = untracked(tracked(), torch.zeros(1, 4, 6))
    assert isinstance(result, MetaTensor)
    np.testing.assert_allclose(np.asarray(result.affine), AFFINE)
    assert result.applied_operations == []


def test_what_is_not_tracked_is_not_tracked_afterwards() -> None:
    source, values = torch.rand(1, 4, 6), torch.zeros(1, 4, 6)
    assert pushed(NormalizeRadiographd("image", mean=0.5, std=0.25), source, values) is values
    assert untracked(source, values, SHIFT) is values


def test_boxes_are_moved_and_clipped_to_rows_and_columns() -> None:
    data = move({"boxes": [[1, 1, 5, 5], [15, 5, 19, 9]]}, by=(2, 3))
    assert data["boxes"].dtype == np.float32
    np.testing.assert_array_equal(data["boxes"], [[3, 4, 7, 8], [17, 8, 20, 10]])


def test_boxes_that_left_the_image_or_only_touch_its_border_go_with_their_labels() -> None:
    data = move({"boxes": [[0, 0, 2, 2], [15, 0, 20, 5], [10, 0, 12, 5]], "names": ["a", "b", "c"]}, by=(10, 0))
    np.testing.assert_array_equal(data["boxes"], [[10, 0, 12, 2]])
    assert data["names"] == ["a"]


def test_the_lists_of_the_record_before_are_not_changed() -> None:
    boxes, names = [[0, 0, 2, 2], [50, 0, 60, 5]], ["a", "b"]
    move({"boxes": boxes, "names": names})
    assert (boxes, names) == ([[0, 0, 2, 2], [50, 0, 60, 5]], ["a", "b"])


@pytest.mark.parametrize("data", [{}, {"boxes": None}, {"boxes": None, "names": ["a"]}])
def test_a_record_without_boxes_is_left_alone(data: dict[str, Any]) -> None:
    assert move(dict(data)) == data
    assert move({"boxes": [[0, 0, 1, 1]]}, boxes_key=None) == {"boxes": [[0, 0, 1, 1]]}


def test_no_box_is_an_empty_table_of_four_columns() -> None:
    assert move({"boxes": [], "names": []})["boxes"].shape == (0, 4)


def test_labels_of_another_length_are_refused_with_both_numbers() -> None:
    with pytest.raises(ValueError, match="'names' has 1 entries for 2 boxes in 'boxes'"):
        move({"boxes": [[0, 0, 1, 1], [0, 0, 2, 2]], "names": ["a"]})


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        pytest.param(
            np.zeros((1, 4, 6), dtype=np.uint8),
            TypeError,
            r"'image' must be float32 in \[0, 1\], got uint8",
            id="bytes",
        ),
        pytest.param(
            torch.zeros(1, 4, 6, dtype=torch.int32), TypeError, "got int32; divide by the largest", id="int32"
        ),
        pytest.param("a.png", TypeError, r"must be an image \(1, H, W\), float32 in \[0, 1\], got str", id="path"),
        pytest.param(torch.zeros(4, 6), ValueError, r"must have the shape \(1, H, W\), got \(4, 6\)$", id="no channel"),
        pytest.param(torch.zeros(3, 4, 6), ValueError, r"the shape \(1, H, W\), got \(3, 4, 6\)$", id="three channels"),
        pytest.param(torch.zeros(4, 6, 1), ValueError, r"got \(4, 6, 1\); channels come first", id="HWC"),
        pytest.param(np.zeros((4, 6, 3), np.float32), ValueError, r"got \(4, 6, 3\); channels come first", id="color"),
    ],
)
def test_what_is_no_grey_picture_is_refused_with_what_was_found_and_what_was_expected(
    image: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        check_image(image, "image")


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_every_floating_point_type_passes(dtype: torch.dtype) -> None:
    check_image(torch.zeros(1, 4, 6, dtype=dtype), "image")
    check_image(np.zeros((1, 4, 6), dtype=np.float64), "image")


@pytest.mark.parametrize(
    ("values", "found"), [([0.0, 255.0], "0 to 255"), ([-2.0, 2.0], "-2 to 2"), ([0.0, np.nan], "nan to nan")]
)
def test_values_outside_the_unit_range_are_refused_with_the_range_found(values: list[float], found: str) -> None:
    with pytest.raises(ValueError, match=rf"'image' must lie in \[0, 1\], got {found}"):
        check_unit_range(torch.tensor(values), "image")
    check_unit_range(torch.tensor([-1e-6, 1 + 1e-6]), "image")  # as resampling leaves it


PIXEL_TRANSFORMS = [
    FitRadiographd("image", 8),
    RandRadiographAffined("image", prob=0.0),
    RandRadiographIntensityd("image", prob=0.0),
    NormalizeRadiographd("image", 0.5, 0.25),
]


@pytest.mark.parametrize("transform", PIXEL_TRANSFORMS, ids=lambda transform: type(transform).__name__)
def test_no_transform_casts_what_it_should_not_have_been_given(transform: Any) -> None:
    with pytest.raises(TypeError, match="got uint8"):
        transform({"image": torch.zeros(1, 8, 8, dtype=torch.uint8)})
    with pytest.raises(ValueError, match=r"got \(8, 8, 1\)"):
        transform({"image": torch.zeros(8, 8, 1)})
    with pytest.raises(ValueError, match=r"got \(3, 8, 8\)"):
        transform({"image": torch.zeros(3, 8, 8)})


@pytest.mark.parametrize(
    "transform",
    [FitRadiographd("image", 8), RandRadiographIntensityd("image", prob=1.0), NormalizeRadiographd("image", 0.5, 0.25)],
    ids=lambda transform: type(transform).__name__,
)
def test_a_picture_in_0_to_255_is_refused(transform: Any) -> None:
    with pytest.raises(ValueError, match=r"must lie in \[0, 1\], got 200 to 200"):
        transform({"image": torch.full((1, 8, 8), 200.0)})
