"""Of every transform of ours, on pictures and parameters that hypothesis makes up: masks and boxes follow the image.

The examples are the same each time.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import Compose
from PIL import Image

import monai_place.transforms as ours
from monai_place.preprocess import PreprocessSpec
from monai_place.transforms import (
    FitRadiographd,
    LoadRadiographd,
    NormalizeRadiographd,
    RadiographAffined,
    RadiographIntensityd,
    RandRadiographAffined,
    RandRadiographIntensityd,
    image_transforms,
)
from tests.support.pictures import center_of, planted_record

few = settings(derandomize=True, max_examples=25, deadline=None, database=None)
BOXES: dict[str, Any] = {"boxes_key": "boxes", "box_label_keys": "box_classes"}
# Of the package's transforms these handle no pixels.
TEXT = {"RandSentencesd", "SelectSentencesd", "SplitReportd", "TokenizeReportd"}

seeds = st.integers(0, 2**31 - 1)
rules = st.sampled_from(["pad", "crop", "stretch"])


@st.composite
def planted(draw: st.DrawFn, low: int = 24, high: int = 96) -> dict[str, Any]:
    """Draw a picture of any shape with a bright rectangle of at least four pixels, away from the border."""
    height, width = draw(st.integers(low, high)), draw(st.integers(low, high))
    x0, y0 = draw(st.integers(2, width - 8)), draw(st.integers(2, height - 8))
    x1, y1 = draw(st.integers(x0 + 4, width - 2)), draw(st.integers(y0 + 4, height - 2))
    return planted_record(height, width, (x0, y0, x1, y1))


@st.composite
def poses(draw: st.DrawFn) -> dict[str, float]:
    """Draw a pose, the strong ones of no training among them."""
    part = st.floats(-0.2, 0.2)
    return {
        "rotation_degrees": draw(st.floats(-45, 45)),
        "scale": draw(st.floats(0.6, 1.6)),
        "shift_x": draw(part),
        "shift_y": draw(part),
    }


def assert_in_step(data: dict[str, Any], *, mask: bool = True) -> None:
    """The bright rectangle lies in its mask and in its box, or all three have left the picture."""
    image = torch.as_tensor(data["image"])
    bright = image > (0.0 if image.min() < 0 else 0.5)  # half way, of a picture that is normalized or not
    if not bright.any():
        return
    boxes = np.asarray(data["boxes"])
    assert len(boxes) == len(data["box_classes"]) == 1
    x, y = center_of(bright.float())
    x0, y0, x1, y1 = boxes[0]
    assert x0 - 1 <= x <= x1 + 1
    assert y0 - 1 <= y <= y1 + 1
    if mask:
        inside = torch.as_tensor(data["mask"]) == 2
        grown = torch.nn.functional.max_pool2d(inside.float(), 3, 1, 1) > 0
        assert not (bright & ~grown).any(), "bright pixels lie more than one pixel outside of the mask"
        assert set(torch.as_tensor(data["mask"]).unique().tolist()) <= {0.0, 2.0}, "a mask's integers were mixed"
    rows, columns = np.nonzero(np.asarray(bright[0]))
    extent = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    assert (np.array(extent[:2]) >= boxes[0][:2] - 1.5).all()
    assert (np.array(extent[2:]) <= boxes[0][2:] + 1.5).all()


MakeTransform = Callable[..., Any]


def fit(size: int = 40, rule: Any = "pad", **_: Any) -> Any:
    return FitRadiographd("image", size, resize_rule=rule, mask_keys="mask", **BOXES)


def affine(pose: dict[str, float], **_: Any) -> Any:
    return RadiographAffined("image", pose, "mask", **BOXES)


def rand_affine(seed: int, **_: Any) -> Any:
    strong = {"prob": 1.0, "rotation_degrees": 30.0, "scale": 0.3, "shift": 0.3}
    return RandRadiographAffined("image", "mask", **strong, **BOXES).set_random_state(seed)


def intensity(seed: int, **_: Any) -> Any:
    return RadiographIntensityd("image", {"gamma": 0.9, "noise_std": 0.02, "noise_seed": seed})


def rand_intensity(seed: int, **_: Any) -> Any:
    return RandRadiographIntensityd("image", prob=1.0).set_random_state(seed)


def normalize(**_: Any) -> Any:
    return NormalizeRadiographd("image", 0.5, 0.25)


PIXELS: dict[str, MakeTransform] = {
    "FitRadiographd": fit,
    "NormalizeRadiographd": normalize,
    "RadiographAffined": affine,
    "RadiographIntensityd": intensity,
    "RandRadiographAffined": rand_affine,
    "RandRadiographIntensityd": rand_intensity,
}


def test_every_transform_of_ours_is_tested_here() -> None:
    found = {name for name in ours.__all__ if name.endswith("d") and isinstance(getattr(ours, name), type)}
    # RadiographStepsd runs steps of others: test_steps.py holds masks and boxes to them.
    assert found == PIXELS.keys() | TEXT | {"LoadRadiographd", "RadiographStepsd"}


@pytest.mark.parametrize("name", PIXELS)
@few
@given(data=planted(), size=st.integers(16, 80), rule=rules, pose=poses(), seed=seeds)
def test_mask_and_box_follow_the_image(
    name: str, data: dict[str, Any], size: int, rule: Any, pose: dict[str, float], seed: int
) -> None:
    transform = PIXELS[name](size=size, rule=rule, pose=pose, seed=seed)
    before = json.dumps(data, default=lambda value: value.tolist())
    assert_in_step(transform(data))
    assert json.dumps(data, default=lambda value: value.tolist()) == before, "the record given was changed in place"


@few
@given(data=planted(), size=st.integers(32, 80), rule=rules, seed=seeds)
def test_mask_and_box_follow_the_image_through_the_whole_chain(
    data: dict[str, Any], size: int, rule: Any, seed: int
) -> None:
    spec = PreprocessSpec(image_size=size, resize_rule=rule)
    boxes: dict[str, Any] = {"boxes_key": "boxes", "box_label_keys": ["box_classes"]}
    with tempfile.TemporaryDirectory() as folder:
        for key in ("image", "mask"):
            scale = 255 if key == "image" else 1
            Image.fromarray((data[key][0].numpy() * scale).astype(np.uint8)).save(Path(folder, f"{key}.png"))
        record = {**data, "image": Path(folder, "image.png"), "mask": Path(folder, "mask.png")}
        loaded = LoadRadiographd("image", "mask")(record)
        assert_in_step(loaded)
        assert torch.equal(loaded["image"].as_tensor(), data["image"])
        chain = Compose(image_transforms(spec, augment=True, mask_keys=["mask"], **boxes)).set_random_state(seed)
        assert_in_step(chain(record))


@few
@given(data=planted(), size=st.integers(16, 80), rule=st.sampled_from(["pad", "stretch"]))
def test_what_was_fitted_comes_back_with_its_box(data: dict[str, Any], size: int, rule: Any) -> None:
    transform = fit(size=size, rule=rule)
    tracked = {**data, "image": MetaTensor(data["image"]), "mask": MetaTensor(data["mask"])}
    back = transform.inverse(transform(tracked))
    assert back["image"].shape == data["image"].shape
    np.testing.assert_allclose(back["boxes"], data["boxes"], atol=0.01)
    torch.testing.assert_close(back["image"].affine, torch.eye(4, dtype=torch.float64), atol=1e-6, rtol=0)


@few
@given(data=planted(low=40), pose=poses())
def test_the_affine_says_where_the_planted_rectangle_came_from(data: dict[str, Any], pose: dict[str, float]) -> None:
    x0, y0, x1, y1 = data["boxes"][0]
    height, width = data["image"].shape[1:]
    soft = torch.zeros(1, height, width)
    rows, columns = torch.arange(height)[:, None] + 0.5, torch.arange(width)[None] + 0.5
    x, y = (x0 + x1) / 2, (y0 + y1) / 2
    soft[0] = torch.exp(-((rows - y) ** 2 + (columns - x) ** 2) / 8)
    moved = RadiographAffined("image", pose)({"image": MetaTensor(soft)})["image"]
    if float(moved.sum()) < 0.99 * float(soft.sum()) * pose["scale"] ** 2:
        return  # part of it has left the picture, and with it the center
    found = center_of(moved)
    index = np.asarray(moved.affine) @ [found[1] - 0.5, found[0] - 0.5, 0, 1]
    np.testing.assert_allclose(index[:2] + 0.5, [y, x], atol=0.35)
