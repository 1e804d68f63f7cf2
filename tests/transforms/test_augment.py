from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose

from monai_place.transforms.augment import RadiographPose, RandRadiographAffined, pose_matrix, warp_image
from monai_place.transforms.geometry import FitRadiographd


def square(height: int = 96, width: int = 128) -> tuple[torch.Tensor, list[int]]:
    image = torch.zeros(1, height, width)
    image[0, 30:50, 70:100] = 1
    return image, [70, 30, 100, 50]


def extent(image: torch.Tensor) -> list[int]:
    rows, columns = np.nonzero(np.asarray(image[0]) > 0.5)
    return [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


def strong(**options: Any) -> RandRadiographAffined:
    values: dict[str, Any] = {"prob": 1.0, "rotation_degrees": 25.0, "scale": 0.2, "shift": 0.1}
    return RandRadiographAffined("image", **(values | options))


@pytest.mark.parametrize("seed", range(6))
def test_mask_and_box_move_in_step_with_the_image(seed: int) -> None:
    image, box = square()
    move = strong(mask_keys="mask", boxes_key="boxes", box_label_keys="names").set_random_state(seed)
    data = move({"image": image, "mask": image * 3, "boxes": [box], "names": ["nodule"]})
    assert not torch.equal(data["image"], image)
    assert set(data["mask"].unique().tolist()) == {0.0, 3.0}
    differing = ((data["image"] > 0.5) != (data["mask"] == 3)).sum()
    assert differing <= 0.02 * (data["mask"] == 3).sum()  # nearest and bilinear may round the edge apart
    np.testing.assert_allclose(data["boxes"][0], extent(data["image"]), atol=1.5)
    assert data["names"] == ["nodule"]


@pytest.mark.parametrize(
    ("pose", "expected"),
    [
        pytest.param(RadiographPose(shift_x=0.125), [86, 30, 116, 50], id="to the right"),
        pytest.param(RadiographPose(shift_y=0.25), [70, 54, 100, 74], id="down"),
        pytest.param(RadiographPose(scale=1.5), [73, 21, 118, 51], id="enlarged"),
        pytest.param(RadiographPose(rotation_degrees=90), [62, 54, 82, 84], id="clockwise"),
        pytest.param(RadiographPose(), [70, 30, 100, 50], id="nothing"),
    ],
)
def test_a_pose_moves_the_picture_as_it_says(pose: RadiographPose, expected: list[int]) -> None:
    image, _ = square()
    moved = warp_image(image, pose_matrix(pose, *image.shape[1:]))
    np.testing.assert_allclose(extent(moved), expected, atol=1)


def test_no_pose_ever_flips() -> None:
    move = strong().set_random_state(0)
    for _ in range(200):
        move.randomize()
        assert np.linalg.det(pose_matrix(move.pose, 64, 64)) > 0


@pytest.mark.parametrize("seed", range(4))
def test_the_inverse_brings_image_and_mask_back(seed: int) -> None:
    image, _ = square()
    smooth = torch.nn.functional.avg_pool2d(image[None], 9, 1, 4)[0]
    move = strong(mask_keys="mask", shift=0.02, scale=0.1).set_random_state(seed)
    data = move({"image": MetaTensor(smooth), "mask": MetaTensor(image)})
    assert (data["image"] - smooth).abs().max() > 0.2
    back = move.inverse(data)
    torch.testing.assert_close(back["image"].as_tensor(), smooth, atol=0.08, rtol=0)
    assert ((back["mask"] > 0.5) != (image > 0.5)).sum() < 60
    torch.testing.assert_close(back["image"].affine, torch.eye(4, dtype=torch.float64), atol=1e-6, rtol=0)
    assert back["image"].applied_operations == []


def test_the_affine_says_where_a_pixel_came_from() -> None:
    image = torch.zeros(1, 60, 90)
    image[0, 20:23, 60:63] = 1
    data = strong().set_random_state(3)({"image": MetaTensor(image)})
    weights = np.asarray(data["image"][0])
    rows, columns = np.indices(weights.shape)
    center = [(rows * weights).sum() / weights.sum(), (columns * weights).sum() / weights.sum(), 0, 1]
    assert (np.asarray(data["image"].affine) @ center)[:2] == pytest.approx((21, 61), abs=0.1)


@pytest.mark.parametrize("prob", [0.0, 0.5, 1.0])
def test_a_chain_inverts_whether_or_not_the_record_was_moved(prob: float) -> None:
    chain = Compose([FitRadiographd("image", 64), strong(prob=prob)])
    chain.set_random_state(1)
    for _ in range(5):
        assert chain.inverse(chain({"image": MetaTensor(torch.rand(1, 40, 30))}))["image"].shape == (1, 40, 30)


def test_prob_0_changes_no_value() -> None:
    image, box = square()
    data = strong(prob=0.0, boxes_key="boxes")({"image": image, "boxes": [box]})
    assert torch.equal(data["image"], image)
    assert data["boxes"] == [box]


def test_the_same_seed_gives_the_same_poses_and_another_seed_others() -> None:
    image, _ = square()

    def run(seed: int) -> list[torch.Tensor]:
        move = strong().set_random_state(seed)
        return [move({"image": image})["image"] for _ in range(3)]

    first, again, other = run(5), run(5), run(6)
    assert all(map(torch.equal, first, again))
    assert not any(map(torch.equal, first, other))
    assert not torch.equal(first[0], first[1])


def test_poses_stay_within_their_ranges() -> None:
    move = RandRadiographAffined("image", prob=1.0, rotation_degrees=4, scale=0.1, shift=0.03).set_random_state(0)
    poses = []
    for _ in range(300):
        move.randomize()
        poses.append(move.pose)
    for name, low, high in [
        ("rotation_degrees", -4, 4),
        ("scale", 0.9, 1.1),
        ("shift_x", -0.03, 0.03),
        ("shift_y", -0.03, 0.03),
    ]:
        values = [getattr(pose, name) for pose in poses]
        assert low <= min(values) < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < max(values) <= high


def test_a_box_that_leaves_the_image_goes_with_its_label() -> None:
    move = RandRadiographAffined(
        "image", prob=1.0, rotation_degrees=0, scale=0, shift=0.5, boxes_key="boxes", box_label_keys="names"
    ).set_random_state(0)
    boxes = np.array([[0, 0, 3, 3], [61, 0, 64, 3], [0, 61, 3, 64], [61, 61, 64, 64]])
    data = move({"image": torch.ones(1, 64, 64), "boxes": boxes.tolist(), "names": list("abcd")})
    shifted = boxes + 64 * np.array([move.pose.shift_x, move.pose.shift_y] * 2)
    inside = (shifted[:, 2:] > 0).all(axis=1) & (shifted[:, :2] < 64).all(axis=1)
    assert 0 < inside.sum() < 4
    assert data["names"] == [name for name, keep in zip("abcd", inside, strict=True) if keep]
    np.testing.assert_allclose(data["boxes"], shifted[inside].clip(0, 64), atol=1e-4)


def test_the_input_is_not_changed() -> None:
    image, box = square()
    before = image.clone()
    strong(boxes_key="boxes").set_random_state(0)({"image": image, "boxes": [box]})
    assert torch.equal(image, before)
    assert box == [70, 30, 100, 50]


def test_images_and_masks_of_two_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must have one size, got \[\(8, 8\), \(8, 9\)\]"):
        strong(mask_keys="mask")({"image": torch.ones(1, 8, 8), "mask": torch.ones(1, 8, 9)})


@pytest.mark.parametrize("options", [{"rotation_degrees": -1}, {"scale": 1.0}, {"shift": -0.1}])
def test_ranges_that_make_no_sense_are_refused(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"must be at least 0 and scale in \[0, 1\)"):
        RandRadiographAffined("image", **options)  # type: ignore[arg-type]
