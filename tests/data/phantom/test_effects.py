from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from monai_place.data.phantom.anatomy import Body, draw_body, sample_acquisition, sample_anatomy
from monai_place.data.phantom.effects import draw_effect
from monai_place.data.phantom.findings import ZONES, FindingSpec

SIDED = ("pleural effusion", "consolidation", "nodule", "pneumothorax", "atelectasis")


@pytest.fixture(scope="module")
def body() -> Body:
    rng = np.random.default_rng(0)
    anatomy = sample_anatomy(rng)
    acquisition = replace(sample_acquisition(rng), shift_x=0.0, shift_y=0.0, rotation=0.0, scale=1.0, breath=0.2)
    return draw_body(anatomy, acquisition, rng, size=128)


def changed(spec: FindingSpec, body: Body) -> np.ndarray:
    """Return how much each pixel's attenuation changes, the heart left aside."""
    effect = draw_effect(spec, body)
    total = np.zeros_like(body.u)
    if effect.air is not None:
        total += np.abs(effect.air - 1) * body.air
    if effect.attenuation is not None:
        total += np.abs(effect.attenuation)
    return total


@pytest.mark.parametrize("laterality", ["left", "right"])
@pytest.mark.parametrize("name", SIDED)
def test_the_patients_left_is_image_right(body: Body, name: str, laterality: str) -> None:
    spec = FindingSpec(name, laterality, "lower" if "effusion" in name else "middle", "severe")  # type: ignore[arg-type]
    amount = changed(spec, body)
    on_the_left = amount[:, 64:].sum() / amount.sum()
    assert on_the_left > 0.999 if laterality == "left" else on_the_left < 0.001


@pytest.mark.parametrize("name", ["consolidation", "nodule", "atelectasis"])
def test_the_zones_lie_one_below_the_other(body: Body, name: str) -> None:
    rows = []
    for zone in ZONES:
        amount = changed(FindingSpec(name, "right", zone, "mild"), body)
        rows.append(float((amount.sum(axis=1) * np.arange(128)).sum() / amount.sum()))
    assert rows[0] + 10 < rows[1] < rows[2] - 10


@pytest.mark.parametrize("name", [*SIDED, "edema"])
def test_a_severe_finding_changes_more_than_a_mild_one(body: Body, name: str) -> None:
    zone = None if name == "edema" else "lower"
    side = "bilateral" if name == "edema" else "right"
    mild, moderate, severe = (
        changed(FindingSpec(name, side, zone, grade), body).sum()  # type: ignore[arg-type]
        for grade in ("mild", "moderate", "severe")
    )
    assert mild < moderate < severe


def test_a_severe_cardiomegaly_is_wider_than_a_mild_one(body: Body) -> None:
    ratios = [
        draw_effect(FindingSpec("cardiomegaly", None, None, grade), body).heart_ratio or 0.0
        for grade in ("mild", "moderate", "severe")
    ]
    assert 0.5 < ratios[0] < ratios[1] < ratios[2] < 0.8


def test_a_pneumothorax_has_no_markings_and_more_air(body: Body) -> None:
    effect = draw_effect(FindingSpec("pneumothorax", "left", "upper", "severe"), body)
    assert effect.air is not None
    assert effect.markings is not None
    free = effect.air > 1.2
    assert free.sum() > 100
    assert effect.markings[free].max() < 0.2
    assert effect.air.min() >= 1


def test_edema_is_on_both_sides(body: Body) -> None:
    amount = changed(FindingSpec("edema", "bilateral", None, "moderate"), body)
    assert 0.3 < amount[:, :64].sum() / amount.sum() < 0.7


def test_a_loculated_effusion_lies_on_the_chest_wall(body: Body) -> None:
    spec = FindingSpec("pleural effusion", "left", "upper", "severe", kind="loculated")
    touched = changed(spec, body) > 0.05
    assert touched.any()
    assert body.wall[touched].max() < 0.3
    assert np.median(body.wall[touched]) < 0.15


def test_a_nodule_has_the_diameter_that_it_reports(body: Body) -> None:
    spec = FindingSpec("nodule", "right", "middle", "severe", shape=(1.0, 0.5, 0.5))
    effect = draw_effect(spec, body)
    assert effect.diameter is not None
    assert effect.attenuation is not None
    columns = np.flatnonzero((effect.attenuation > 0).any(axis=0))
    assert (columns[-1] - columns[0] + 1) * body.pixel == pytest.approx(effect.diameter, abs=2.5 * body.pixel)


def test_positions_move_the_finding(body: Body) -> None:
    spec = FindingSpec("nodule", "right", "middle", "mild", position=(0.0, 0.0))
    other = replace(spec, position=(1.0, 1.0))
    assert (changed(spec, body) * changed(other, body)).sum() == 0
