from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from monai_place.data.phantom.findings import PHANTOM_CLASSES, FindingSpec, sample_findings
from monai_place.data.phantom.grid import stream

FREE = ("consolidation", "nodule", "atelectasis")  # may lie anywhere in the lungs


@pytest.fixture(scope="module")
def samples() -> list[list[FindingSpec]]:
    return [sample_findings(stream(0, index, "findings")) for index in range(4000)]


def test_a_study_has_at_most_three_findings_and_a_quarter_have_none(samples: list[list[FindingSpec]]) -> None:
    counts = Counter(len(specs) for specs in samples)
    assert set(counts) == {0, 1, 2, 3}
    assert 0.22 < counts[0] / len(samples) < 0.28


@pytest.mark.parametrize("name", PHANTOM_CLASSES)
def test_each_class_is_in_12_to_25_percent_of_the_studies(samples: list[list[FindingSpec]], name: str) -> None:
    assert 0.12 < np.mean([any(spec.class_name == name for spec in specs) for specs in samples]) < 0.25


@pytest.mark.parametrize("name", [*FREE, "pneumothorax", "pleural effusion"])
def test_neither_side_is_preferred(samples: list[list[FindingSpec]], name: str) -> None:
    sides = [spec.laterality for specs in samples for spec in specs if spec.class_name == name]
    assert set(sides) == {"left", "right"}
    assert 0.45 < np.mean([side == "left" for side in sides]) < 0.55


@pytest.mark.parametrize("name", FREE)
def test_no_zone_tells_the_class(samples: list[list[FindingSpec]], name: str) -> None:
    zones = Counter(spec.zone for specs in samples for spec in specs if spec.class_name == name)
    assert min(zones.values()) / sum(zones.values()) > 0.24
    assert set(zones) == {"upper", "middle", "lower"}


def test_the_severities_of_every_class_vary(samples: list[list[FindingSpec]]) -> None:
    pairs = {(spec.class_name, spec.severity) for specs in samples for spec in specs}
    assert len(pairs) == 3 * len(PHANTOM_CLASSES)


def test_effusions_are_two_findings_where_they_are_bilateral(samples: list[list[FindingSpec]]) -> None:
    sides = Counter(
        tuple(spec.laterality for spec in specs if spec.class_name == "pleural effusion") for specs in samples
    )
    assert set(sides) == {(), ("left",), ("right",), ("left", "right")}
    assert sides["left", "right"] > 50


def test_no_place_is_filled_twice(samples: list[list[FindingSpec]]) -> None:
    for specs in samples:
        # A severe effusion takes two places, so three findings of one study always find room on six.
        cells = [cell for spec in specs for cell in spec.cells]
        assert len(cells) == len(set(cells))


def test_cardiomegaly_has_no_side_and_edema_both(samples: list[list[FindingSpec]]) -> None:
    sides = {(spec.class_name, spec.laterality, spec.zone) for specs in samples for spec in specs}
    assert {place for place in sides if place[0] in {"cardiomegaly", "edema"}} == {
        ("cardiomegaly", None, None),
        ("edema", "bilateral", None),
    }


def test_a_stronger_finding_is_the_same_finding() -> None:
    spec = FindingSpec("nodule", "left", "upper", "mild")
    assert spec.stronger().strength > spec.strength
    assert spec.stronger().zone == spec.zone
