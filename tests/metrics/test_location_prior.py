from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_place.metrics.grounding import grounding_scores
from monai_place.metrics.location_prior import LocationPrior


def finding(name, laterality=None, zone=None):
    return {"class": name, "laterality": laterality, "zone": zone, "severity": "severe", "mask": "a.png"}


def at(row, column, size=4):
    mask = torch.zeros(size, size, dtype=torch.bool)
    mask[row, column] = True
    return mask


TRAINING = [
    (finding("nodule", "left", "upper"), at(0, 3)),
    (finding("nodule", "left", "upper"), at(1, 3)),
    (finding("nodule", "left", "lower"), at(3, 3)),
    (finding("nodule", "right", "upper"), at(0, 0)),
    (finding("edema", "bilateral", None), at(2, 1)),
]


@pytest.fixture
def prior():
    return LocationPrior.fit(*zip(*TRAINING, strict=True), grid=4)


def mean_of(*indices):
    return torch.stack([TRAINING[index][1].double() for index in indices]).mean(0)


@pytest.mark.parametrize(
    ("asked", "seen"),
    [
        pytest.param(finding("nodule", "left", "upper"), (0, 1), id="all three words"),
        pytest.param(finding("nodule", "left", "middle"), (0, 1, 2), id="zone never seen"),
        pytest.param(finding("nodule", "left"), (0, 1, 2), id="no zone said"),
        pytest.param(finding("nodule", "bilateral", "upper"), (0, 1, 2, 3), id="side never seen"),
        pytest.param(finding("nodule"), (0, 1, 2, 3), id="class alone"),
        pytest.param({"class": "edema", "laterality": "bilateral"}, (4,), id="keys absent"),
        pytest.param(finding("mass", "left", "upper"), (0, 1, 2, 3, 4), id="class never seen"),
    ],
)
def test_map_is_the_mean_of_the_nearest_findings_seen(prior, asked, seen):
    assert torch.allclose(prior.predict(asked, shape=(4, 4)), mean_of(*seen))


def test_too_few_findings_fall_back():
    prior = LocationPrior.fit(*zip(*TRAINING, strict=True), grid=4, minimum=2)
    assert torch.allclose(prior.predict(finding("nodule", "left", "lower"), shape=(4, 4)), mean_of(0, 1, 2))
    assert torch.allclose(prior.predict(finding("edema", "bilateral"), shape=(4, 4)), mean_of(0, 1, 2, 3, 4))


def test_laterality_not_said_is_not_any_laterality():
    pairs = [(finding("nodule", None, None), at(0, 0)), (finding("nodule", "left", None), at(3, 3))]
    prior = LocationPrior.fit(*zip(*pairs, strict=True), grid=4)
    assert torch.allclose(prior.predict(finding("nodule"), shape=(4, 4)), at(0, 0).double())


def test_masks_of_other_sizes_are_averaged_in_relative_coordinates():
    small, large = torch.zeros(4, 6), torch.zeros(8, 12)
    small[:2, 3:], large[:4, 6:] = 1, 255
    prior = LocationPrior.fit([finding("nodule")] * 2, [small.numpy(), large], grid=2)
    assert torch.allclose(prior.predict(finding("nodule"), shape=(2, 2)), torch.tensor([[0.0, 1], [0, 0]]).double())


def test_map_has_the_shape_asked_for_and_stays_in_range(prior):
    heat = prior.predict(finding("nodule", "left", "upper"), shape=(30, 50))
    assert heat.shape == (30, 50)
    assert 0 <= float(heat.min()) <= float(heat.max()) <= 1


def test_prior_beats_chance_where_anatomy_does():
    generator = np.random.default_rng(0)
    cases = []
    for _ in range(60):
        side = generator.choice(["left", "right"])
        column = 10 + int(generator.integers(0, 6)) + (16 if side == "left" else -8)
        mask = torch.zeros(32, 32)
        mask[8:20, column - 2 : column + 6] = 1
        cases.append((finding("nodule", side), mask))
    prior = LocationPrior.fit(*zip(*cases[:40], strict=True), grid=32)
    maps = [prior.predict(asked, shape=(32, 32)) for asked, _ in cases[40:]]
    summary = grounding_scores(maps, [mask for _, mask in cases[40:]]).to_dict()
    assert summary["pointing"] > 0.8 > 2 * summary["area"]


def test_prior_without_findings_is_refused():
    with pytest.raises(ValueError, match="findings is empty"):
        LocationPrior.fit([], [])
    with pytest.raises(ValueError, match="has seen no finding"):
        LocationPrior().predict(finding("nodule"), shape=(2, 2))


def test_findings_and_masks_must_be_as_many():
    with pytest.raises(ValueError, match="zip"):
        LocationPrior.fit([finding("nodule")], [])


@pytest.mark.parametrize("asked", [{}, {"class": ""}, {"class": None}])
def test_finding_without_a_class_is_refused(prior, asked):
    with pytest.raises(ValueError, match="finding has no class"):
        prior.predict(asked, shape=(2, 2))


def test_mask_of_another_dimension_is_refused():
    with pytest.raises(ValueError, match=r"mask must be \(H, W\), got \(1, 2, 2\)"):
        LocationPrior.fit([finding("nodule")], [torch.ones(1, 2, 2)])


@pytest.mark.parametrize(("grid", "minimum", "name"), [(0, 1, "grid"), (8, 0, "minimum")])
def test_sizes_below_one_are_refused(grid, minimum, name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1, got 0"):
        LocationPrior(grid, minimum=minimum)
