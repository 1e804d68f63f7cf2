from __future__ import annotations

from typing import Any

import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import Compose, Invertd

from monai_place.transforms.geometry import FitRadiographd
from monai_place.transforms.intensity import (
    IntensityChange,
    NormalizeRadiographd,
    RandRadiographIntensityd,
    change_intensity,
)

RAMP = torch.linspace(0, 1, 64).reshape(1, 8, 8)


def test_normalization_and_its_inverse() -> None:
    normalize = NormalizeRadiographd("image", 0.4, 0.2)
    data = normalize({"image": MetaTensor(RAMP)})
    torch.testing.assert_close(data["image"].as_tensor(), (RAMP - 0.4) / 0.2)
    back = normalize.inverse(data)["image"]
    torch.testing.assert_close(back.as_tensor(), RAMP)
    assert back.applied_operations == []
    torch.testing.assert_close(normalize.denormalize(data["image"].as_tensor()), RAMP)


def test_normalization_leaves_its_input_and_keeps_metadata() -> None:
    image = MetaTensor(RAMP.clone(), meta={"filename_or_obj": "a.png"})
    result = NormalizeRadiographd("image", 0.5, 0.25)({"image": image})["image"]
    assert torch.equal(image.as_tensor(), RAMP)
    assert result.meta["filename_or_obj"] == "a.png"


def test_a_normalization_that_leaves_no_note_lets_invertd_return_a_map_unscaled() -> None:
    chain = Compose([FitRadiographd("image", 16), NormalizeRadiographd("image", 0.5, 0.25, invertible=False)])
    data = chain({"image": MetaTensor(torch.rand(1, 32, 32))})
    data["map"] = MetaTensor(torch.full((1, 16, 16), 0.7))
    back = Invertd("map", chain, orig_keys="image", nearest_interp=False)(data)["map"]
    torch.testing.assert_close(back.as_tensor(), torch.full((1, 32, 32), 0.7))


def test_a_std_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="std must be positive, got 0"):
        NormalizeRadiographd("image", 0.5, 0.0)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        pytest.param(IntensityChange(), RAMP, id="nothing"),
        pytest.param(IntensityChange(gamma=2.0), RAMP**2, id="gamma"),
        pytest.param(IntensityChange(contrast=0.5), 0.25 + RAMP / 2, id="contrast"),
        pytest.param(IntensityChange(contrast=2.0), (2 * RAMP - 0.5).clamp(0, 1), id="clipped"),
        pytest.param(IntensityChange(brightness=0.1), (RAMP + 0.1).clamp(0, 1), id="brightness"),
    ],
)
def test_a_change_is_what_its_fields_say(change: IntensityChange, expected: torch.Tensor) -> None:
    before = RAMP.clone()
    torch.testing.assert_close(change_intensity(RAMP, change), expected)
    assert torch.equal(RAMP, before)


def test_noise_has_its_strength_and_follows_its_seed() -> None:
    flat = torch.full((1, 200, 200), 0.5)
    change = IntensityChange(noise_std=0.05, noise_seed=3)
    noisy = change_intensity(flat, change)
    assert float(noisy.std()) == pytest.approx(0.05, rel=0.05)
    assert float(noisy.mean()) == pytest.approx(0.5, abs=0.002)
    assert torch.equal(noisy, change_intensity(flat, change))
    assert not torch.equal(noisy, change_intensity(flat, IntensityChange(noise_std=0.05, noise_seed=4)))


def test_random_exposure_is_replayed_from_its_parameters_and_its_seed() -> None:
    change = RandRadiographIntensityd("image", prob=1.0).set_random_state(7)
    first = change({"image": RAMP})["image"]
    assert torch.equal(first, change_intensity(RAMP, change.change))
    second = change({"image": RAMP})["image"]
    assert not torch.equal(first, second)
    change.set_random_state(7)
    assert torch.equal(first, change({"image": RAMP})["image"])


def test_random_exposure_stays_in_range_and_keeps_metadata() -> None:
    change = RandRadiographIntensityd("image", prob=1.0, noise_std=(0.1, 0.3)).set_random_state(0)
    for _ in range(20):
        result = change({"image": MetaTensor(RAMP, meta={"filename_or_obj": "a.png"})})["image"]
        assert 0 <= float(result.min()) <= float(result.max()) <= 1
        assert result.meta["filename_or_obj"] == "a.png"


def test_prob_0_returns_the_same_image() -> None:
    assert RandRadiographIntensityd("image", prob=0.0)({"image": RAMP})["image"] is RAMP


def test_images_of_one_record_share_the_exposure_and_not_the_noise() -> None:
    change = RandRadiographIntensityd(["a", "b"], prob=1.0, noise_std=(0.0, 0.0)).set_random_state(0)
    data = change({"a": RAMP, "b": RAMP})
    assert torch.equal(data["a"], data["b"])
    change = RandRadiographIntensityd(["a", "b"], prob=1.0, noise_std=(0.1, 0.1)).set_random_state(0)
    data = change({"a": RAMP, "b": RAMP})
    assert not torch.equal(data["a"], data["b"])


@pytest.mark.parametrize(
    "options",
    [{"gamma": (0.0, 1.0)}, {"contrast": (1.2, 0.8)}, {"noise_std": (-0.1, 0.1)}, {"brightness": (0.1, -0.1)}],
)
def test_ranges_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=rf"{next(iter(options))} must be a range \(low, high\)"):
        RandRadiographIntensityd("image", **options)
