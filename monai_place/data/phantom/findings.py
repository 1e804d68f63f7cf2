"""Which findings a phantom study has: class, side, zone, severity, and the numbers that their drawing needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import numpy as np

__all__ = ["PHANTOM_CLASSES", "ZONES", "FindingSpec", "Laterality", "Severity", "Zone", "sample_findings"]

PHANTOM_CLASSES = (
    "cardiomegaly",
    "pleural effusion",
    "consolidation",
    "nodule",
    "pneumothorax",
    "edema",
    "atelectasis",
)
Laterality: TypeAlias = Literal["left", "right", "bilateral"]
Zone: TypeAlias = Literal["upper", "middle", "lower"]
SEVERITIES: tuple[Severity, ...] = ("mild", "moderate", "severe")
ZONES: tuple[Zone, ...] = ("upper", "middle", "lower")
Severity: TypeAlias = Literal["mild", "moderate", "severe"]

MAX_FINDINGS = 3
COUNT_PROBABILITIES = (0.25, 0.31, 0.27, 0.17)  # of 0, 1, 2 and 3 classes in a study
CLASS_WEIGHTS = {
    "cardiomegaly": 1.0,
    "pleural effusion": 1.05,
    "consolidation": 1.05,
    "nodule": 1.1,
    "pneumothorax": 0.9,
    "edema": 0.85,
    "atelectasis": 1.05,
}
# Findings that fill space are placed before those that a full space would hide.
PLACEMENT_ORDER = (
    "pleural effusion",
    "pneumothorax",
    "consolidation",
    "atelectasis",
    "nodule",
    "edema",
    "cardiomegaly",
)
_BOTH_SIDES = {"pleural effusion": 0.25, "consolidation": 0.15}
_PNEUMOTHORAX_ZONES = (0.5, 0.25, 0.25)


@dataclass(frozen=True)
class FindingSpec:
    """One finding to be drawn.

    `position` and `texture` are uniform numbers from 0 to 1 that effects use as they need; keeping them abstract lets
    the same spec be drawn into any body at any size.
    """

    class_name: str
    laterality: Laterality | None
    zone: Zone | None
    severity: Severity
    kind: str = "plain"  # "loculated" effusion, "wedge" atelectasis
    strength: float = 1.0
    position: tuple[float, float] = (0.5, 0.5)
    shape: tuple[float, float, float] = (0.5, 0.5, 0.5)
    texture_seed: int = 0
    cells: tuple[tuple[str, str], ...] = field(default=())  # (side, zone) places that it fills

    def stronger(self) -> FindingSpec:
        """Return the same finding, easier to see."""
        return replace(self, strength=self.strength * 1.35)


def sample_findings(rng: np.random.Generator) -> list[FindingSpec]:
    """Draw 0 to 3 findings, in class order.

    Side and zone are uniform and independent of the class wherever anatomy permits: free effusions lie in the lower
    zones, edema is bilateral, cardiomegaly has neither side nor zone, and a second finding avoids a place that an
    earlier one fills.

    Args:
        rng: random stream of the study's findings.
    """
    count = int(rng.choice(len(COUNT_PROBABILITIES), p=COUNT_PROBABILITIES))
    weights = np.array([CLASS_WEIGHTS[name] for name in PHANTOM_CLASSES])
    chosen = set(rng.choice(PHANTOM_CLASSES, size=count, replace=False, p=weights / weights.sum()).tolist())
    specs: list[FindingSpec] = []
    taken: set[tuple[str, str]] = set()
    for name in PLACEMENT_ORDER:
        if name not in chosen:
            continue
        room = MAX_FINDINGS - len(specs) - sum(other in chosen for other in PLACEMENT_ORDER[_rank(name) + 1 :])
        for side in _sides(name, room, rng):
            spec = _sample_one(name, side, taken, rng)
            taken.update(spec.cells)
            specs.append(spec)
    return sorted(specs, key=lambda spec: (PHANTOM_CLASSES.index(spec.class_name), spec.laterality or ""))


def _rank(name: str) -> int:
    return PLACEMENT_ORDER.index(name)


def _sides(name: str, room: int, rng: np.random.Generator) -> list[Laterality | None]:
    both, coin = rng.random(2)
    if name == "cardiomegaly":
        return [None]
    if name == "edema":
        return ["bilateral"]
    if room >= 2 and both < _BOTH_SIDES.get(name, 0.0):
        return ["left", "right"]
    return ["left" if coin < 0.5 else "right"]


def _sample_one(
    name: str, side: Laterality | None, taken: set[tuple[str, str]], rng: np.random.Generator
) -> FindingSpec:
    severity = SEVERITIES[int(rng.choice(3, p=(0.36, 0.4, 0.24)))]
    position = (float(rng.random()), float(rng.random()))
    shape = (float(rng.random()), float(rng.random()), float(rng.random()))
    strength = float(rng.uniform(0.85, 1.15))
    seed = int(rng.integers(2**31))
    zone: Zone | None = None
    order = [ZONES[number] for number in rng.permutation(3)]
    kind_draw, zone_draw = rng.random(2)
    kind = "plain"
    if name == "pleural effusion":
        zone = "lower"
        if kind_draw < 0.15:
            kind, zone = "loculated", "middle" if zone_draw < 0.5 else "upper"
    elif name == "pneumothorax":
        first = int(np.searchsorted(np.cumsum(_PNEUMOTHORAX_ZONES), zone_draw))
        order = [ZONES[min(first, 2)], *order]
    elif name == "atelectasis" and kind_draw < 0.4:
        kind = "wedge"
    if side is not None and name in {"pneumothorax", "consolidation", "atelectasis", "nodule"}:
        side, zone = _free_place(side, order, taken)
    return FindingSpec(
        class_name=name,
        laterality=side,
        zone=zone,
        severity=severity,
        kind=kind,
        strength=strength,
        position=position,
        shape=shape,
        texture_seed=seed,
        cells=_filled(name, side, zone, severity),
    )


def _free_place(side: Laterality, zones: Sequence[Zone], taken: set[tuple[str, str]]) -> tuple[Laterality, Zone]:
    """First zone of `zones` free on this side, else on the other side, else the first choice all the same."""
    other: Laterality = "right" if side == "left" else "left"
    places = [(s, z) for s in (side, other) for z in zones]
    return next((place for place in places if place not in taken), places[0])


def _filled(name: str, side: str | None, zone: str | None, severity: str) -> tuple[tuple[str, str], ...]:
    if side is None or zone is None:
        return ()
    cells = [(side, zone)]
    if name == "pleural effusion" and zone == "lower" and severity == "severe":
        cells.append((side, "middle"))
    return tuple(cells)
