"""A team's own steps: what they must give, and how masks, boxes and maps follow them by the affine alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import (
    Compose,
    CropForegroundd,
    Flipd,
    Identityd,
    Lambdad,
    RandGaussianNoised,
    Rotate90d,
    SpatialCropd,
    SpatialPadd,
    Zoomd,
)

from monai_place.data.radiograph import RadiographError
from monai_place.transforms.steps import RadiographStepsd, picture_move
from tests.support.pictures import center_of, planted_record

BOX = (14, 8, 26, 13)
STEPS: dict[str, Any] = {
    "crop": SpatialCropd("image", roi_start=(3, 9), roi_end=(30, 44)),
    "crop below and right": SpatialCropd("image", roi_start=(0, 0), roi_end=(20, 33)),
    "crop foreground": CropForegroundd("image", source_key="image", margin=2, allow_smaller=True),
    "pad": SpatialPadd("image", spatial_size=(70, 90)),
    "quarter turn": Rotate90d("image", k=1),
    "upside down": Flipd("image", spatial_axis=0),
    "zoom": Zoomd("image", zoom=1.5, keep_size=True),
    "resize": Zoomd("image", zoom=0.5, keep_size=False),
}


def record(*, tracked: bool = True) -> dict[str, Any]:
    data = planted_record(40, 60, BOX)
    return {**data, **{key: MetaTensor(data[key]) for key in ("image", "mask") if tracked}}


def run(*steps: Any, data: dict[str, Any] | None = None) -> dict[Any, Any]:
    follow: dict[str, Any] = {"mask_keys": "mask", "boxes_key": "boxes", "box_label_keys": "box_classes"}
    return RadiographStepsd("image", list(steps), **follow)(data or record())


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("tracked", [True, False], ids=["tracked", "plain"])
def test_mask_and_box_follow_a_step_that_knows_only_the_image(name: str, tracked: bool) -> None:
    data = run(STEPS[name], data=record(tracked=tracked))
    assert data["mask"].shape == data["image"].shape
    bright, inside = np.asarray(data["image"][0]) > 0.5, np.asarray(data["mask"][0]) == 2
    assert set(np.unique(data["mask"])) <= {0.0, 2.0}
    assert (bright != inside).sum() <= 2 * sum(bright.shape) * (name in ("zoom", "resize"))  # edges, where resampled
    x, y = center_of(data["image"])
    x0, y0, x1, y1 = data["boxes"][0]
    assert ((x0 + x1) / 2, (y0 + y1) / 2) == pytest.approx((x, y), abs=0.6)
    assert data["box_classes"] == ["nodule"]


@pytest.mark.parametrize("name", STEPS)
def test_a_map_comes_back_to_the_pixels_of_the_file(name: str) -> None:
    before = record()
    after = run(STEPS[name], data=before)
    move = picture_move(before["image"], after["image"])
    back = move.back(after["image"].as_tensor())
    assert back.shape == before["image"].shape
    known = ~back.isnan()
    assert known[0, BOX[1] : BOX[3], BOX[0] : BOX[2]].all()
    assert (back - before["image"].as_tensor())[known].abs().mean() < 0.02
    outside = name in ("crop", "crop below and right", "crop foreground", "zoom")
    assert (not known.all()) == outside, "what the step has cut away has no value"


def test_a_box_that_a_crop_cuts_away_goes_with_its_label() -> None:
    data = run(SpatialCropd("image", roi_start=(20, 0), roi_end=(40, 60)))
    assert data["boxes"].shape == (0, 4)
    assert data["box_classes"] == []
    assert not data["mask"].any()


def test_no_step_changes_nothing() -> None:
    data = record()
    assert all(value is data[key] for key, value in run(data=data).items())
    assert run(Identityd("image"))["boxes"] == [list(BOX)]


def test_steps_run_in_their_order_and_chains_are_unrolled() -> None:
    add = [Lambdad("image", lambda image, by=by: (image + by) / 2, overwrite=True) for by in (0.0, 1.0)]
    both = run(Compose(add))["image"]
    assert float(both[0, 0, 0]) == 0.5
    assert torch.equal(both.as_tensor(), run(*add)["image"].as_tensor())


def test_the_record_that_was_given_is_not_changed() -> None:
    data = record()
    run(STEPS["crop"], data=data)
    assert data["image"].shape == data["mask"].shape == (1, 40, 60)
    assert data["boxes"] == [list(BOX)]
    np.testing.assert_array_equal(data["image"].affine, np.eye(4))


def bytes_step(image: Any) -> Any:
    return (image * 255).to(torch.uint8)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        pytest.param(bytes_step, r"must be float32 in \[0, 1\], got uint8", id="bytes"),
        pytest.param(lambda image: image * 255, r"must lie in \[0, 1\], got 0 to 255", id="range"),
        pytest.param(lambda image: image * float("nan"), r"must lie in \[0, 1\], got nan", id="NaN"),
        pytest.param(lambda image: image[0], r"must have the shape \(1, H, W\), got \(40, 60\)", id="no channel"),
        pytest.param(
            lambda image: image.repeat(3, 1, 1),
            r"must have the shape \(1, H, W\), got \(3, 40, 60\)",
            id="three channels",
        ),
    ],
)
def test_a_step_that_gives_no_picture_is_named_with_the_file(function: Any, message: str) -> None:
    data = record()
    data["image"].meta["filename_or_obj"] = "somewhere/private/a.dcm"
    with pytest.raises(RadiographError, match=rf"^a\.dcm: after Lambdad: 'image' {message}"):
        run(Lambdad("image", function, overwrite=True), data=data)


def test_a_step_that_loses_the_image_is_named() -> None:
    with pytest.raises(RadiographError, match="Nothing gave no record with 'image'"):
        run(Nothing())


class Nothing:
    def __call__(self, data: Any) -> None:
        return None


@pytest.mark.parametrize("chain", [list, Compose], ids=["list", "Compose"])
def test_a_random_step_is_refused_and_its_place_is_named(chain: Any) -> None:
    with pytest.raises(ValueError, match="RandGaussianNoised is random, and these steps are for evaluation too"):
        RadiographStepsd("image", chain([RandGaussianNoised("image")]))


def test_what_is_no_step_is_refused() -> None:
    with pytest.raises(TypeError, match=r"a step must be a transform, got 'ours\.Step'"):
        RadiographStepsd("image", ["ours.Step"])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="one key is expected"):
        RadiographStepsd(["image", "lateral"], [])


def test_an_affine_that_is_none_is_refused() -> None:
    after = MetaTensor(torch.zeros(1, 4, 4), affine=torch.diag(torch.tensor([0.0, 1.0, 1.0, 1.0])))
    with pytest.raises(ValueError, match="not one of a plane"):
        picture_move(MetaTensor(torch.zeros(1, 4, 4)), after)
