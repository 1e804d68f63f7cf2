"""How each finding changes the picture: what it does to air, attenuation, lung markings and heart size."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from monai_place.data.phantom.anatomy import Body
from monai_place.data.phantom.findings import ZONES, FindingSpec
from monai_place.data.phantom.grid import FloatMap, bump, edge, noise_field, ridge

__all__ = ["Effect", "draw_effect"]

_GRADE = {"mild": 0, "moderate": 1, "severe": 2}


@dataclass(frozen=True)
class Effect:
    """Change made by one finding; what is None stays as it is.

    Air and markings are multiplied, attenuation is added, the ratio replaces the heart's. Several effects commute.
    """

    air: FloatMap | None = None
    markings: FloatMap | None = None
    attenuation: FloatMap | None = None
    heart_ratio: float | None = None
    diameter: float | None = None  # in body units, for nodules


def draw_effect(spec: FindingSpec, body: Body) -> Effect:
    """Draw one finding into a body.

    Args:
        spec: what to draw.
        body: where.
    """
    return _DRAW[spec.class_name](spec, body)


def _side_mask(spec: FindingSpec, body: Body) -> FloatMap:
    """1 on the patient's side of the finding: the patient's left is image-right, u > 0."""
    return ((body.u > 0) if spec.laterality == "left" else (body.u <= 0)).astype(np.float32)


def _sign(spec: FindingSpec) -> float:
    return 1.0 if spec.laterality == "left" else -1.0


def _dome(spec: FindingSpec, body: Body) -> float:
    return body.dome_left if spec.laterality == "left" else body.dome_right


def _zone_span(spec: FindingSpec, body: Body) -> tuple[float, float]:
    """Top and bottom (v) of a third of the lung between apex and dome."""
    top, bottom = body.anatomy.apex + 0.1, _dome(spec, body)
    third = (bottom - top) / 3
    number = ZONES.index(spec.zone or "middle")
    return top + number * third, top + (number + 1) * third


def _place(spec: FindingSpec, body: Body, *, margin: float) -> tuple[float, float]:
    """Center (u, v) inside the lung: anywhere in the zone that keeps `margin` to its borders."""
    anatomy = body.anatomy
    top, bottom = _zone_span(spec, body)
    slack = min(margin, 0.45 * (bottom - top))
    v = top + slack + spec.position[1] * (bottom - top - 2 * slack)
    rise = min(max((anatomy.widest - v) / (anatomy.widest - anatomy.apex), 0.0), 1.0)
    outer = anatomy.chest * math.sqrt(max(1 - rise**3, 0.05)) - margin
    inner = anatomy.mediastinum + 0.06 + 0.5 * margin
    if v > -0.1:  # beside the heart; the left border lies further out
        share = 0.62 if spec.laterality == "left" else 0.36
        inner = max(
            inner, 2 * anatomy.chest * anatomy.cardiothoracic_ratio * share * min(1.0, 0.6 + 2.5 * v) + margin / 2
        )
    inner = min(inner, outer - 0.04)
    return _sign(spec) * (inner + spec.position[0] * (outer - inner)), v


def _cardiomegaly(spec: FindingSpec, body: Body) -> Effect:
    low, high = ((0.55, 0.585), (0.585, 0.64), (0.64, 0.71))[_GRADE[spec.severity]]
    ratio = low + spec.shape[0] * (high - low)
    return Effect(heart_ratio=min(ratio * max(spec.strength, 1.0), 0.8))


def _effusion(spec: FindingSpec, body: Body) -> Effect:
    grade = _GRADE[spec.severity]
    side = np.abs(body.u)
    if spec.kind == "loculated":
        return _loculated(spec, body)
    depth = (0.02, 0.17, 0.36)[grade] + spec.shape[0] * (0.1, 0.14, 0.2)[grade]
    depth *= max(spec.strength, 1.0)
    # The meniscus climbs along the chest wall.
    lateral = np.clip(side * np.float32(1 / body.anatomy.chest), 0, 1.2)
    climb = np.float32((0.05, 0.1, 0.12)[grade] + 0.12 * spec.shape[1]) * lateral * lateral * lateral
    level = np.float32(_dome(spec, body) + (0.14, 0.1, 0.1)[grade] - depth) - climb
    fluid = edge(body.v - level, max(0.03, 1.5 * body.pixel)) * _side_mask(spec, body)
    inside = edge(body.wall + np.float32(0.005), max(0.012, body.pixel)) * edge(side - np.float32(0.1), 0.04)
    # Below the dome the fluid lies before and behind the abdomen's shadow, so it fades out there.
    behind = edge(body.floor + np.float32(0.12), 0.1)
    opacity = fluid * inside * behind
    return Effect(
        air=1 - np.float32(0.94) * opacity,
        markings=1 - opacity,
        attenuation=np.float32(0.1 + 0.05 * grade) * opacity,
    )


def _loculated(spec: FindingSpec, body: Body) -> Effect:
    """Fluid caught between wall and lung: a lens whose base lies on the chest wall."""
    grade = _GRADE[spec.severity]
    top, bottom = _zone_span(spec, body)
    center = top + (0.3 + 0.5 * spec.position[1]) * (bottom - top)
    half = (0.14, 0.19, 0.25)[grade]
    bulge = (0.09, 0.14, 0.2)[grade] * spec.strength
    along = (body.v - np.float32(center)) * np.float32(1 / half)
    roundness = np.clip(1 - along * along, 0, None)
    reach = np.float32(bulge) * roundness * np.sqrt(roundness)
    opacity = edge(reach - body.wall, max(0.02, body.pixel)) * edge(1 - np.abs(along), 0.15)
    opacity = opacity * body.lung * _side_mask(spec, body)
    return Effect(air=1 - np.float32(0.85) * opacity, markings=1 - opacity, attenuation=np.float32(0.08) * opacity)


def _consolidation(spec: FindingSpec, body: Body) -> Effect:
    grade = _GRADE[spec.severity]
    radius = (0.1, 0.14, 0.19)[grade] * (0.85 + 0.4 * spec.shape[0])
    center_u, center_v = _place(spec, body, margin=0.55 * radius)
    rng = np.random.default_rng(spec.texture_seed)
    outline, mottle = noise_field(rng, 9, body.u.shape[0]), noise_field(rng, 22, body.u.shape[0])
    squeeze = 0.8 + 0.45 * spec.shape[1]
    du = (body.u - np.float32(center_u)) * np.float32(1 / (radius * squeeze))
    dv = (body.v - np.float32(center_v)) * np.float32(squeeze / radius)
    level = 1 - np.sqrt(du * du + dv * dv) + np.float32(0.3) * outline
    peak = (0.46, 0.6, 0.76)[grade] * spec.strength
    texture = np.clip(np.float32(0.86) + np.float32(0.2) * mottle, 0.3, 1.15)
    opacity = np.clip(edge(level, 0.55) * texture * np.float32(peak), 0, 0.96) * body.lung * _side_mask(spec, body)
    return Effect(air=1 - opacity, markings=1 - np.float32(0.7) * opacity)


def _nodule(spec: FindingSpec, body: Body) -> Effect:
    low, high = ((0.034, 0.045), (0.045, 0.064), (0.064, 0.09))[_GRADE[spec.severity]]
    # At least three pixels across, so that a label does not depend on the size of the picture.
    radius = max(low + spec.shape[0] * (high - low), 1.5 * body.pixel)
    center_u, center_v = _place(spec, body, margin=radius + 0.03)
    squeeze = 0.9 + 0.2 * spec.shape[1]
    du = (body.u - np.float32(center_u)) * np.float32(1 / (radius * squeeze))
    dv = (body.v - np.float32(center_v)) * np.float32(squeeze / radius)
    inside = 1 - du * du - dv * dv
    ball = np.sqrt(np.clip(inside, 0, None)) * edge(inside, 0.25)
    density = np.float32((0.13, 0.16, 0.2)[_GRADE[spec.severity]] * (0.9 + 0.3 * spec.shape[2]) * spec.strength)
    return Effect(attenuation=density * ball * body.lung, diameter=2 * radius)


def _pneumothorax(spec: FindingSpec, body: Body) -> Effect:
    """Air between wall and lung: no markings outside a thin pleural line, and a slightly denser lung inside."""
    grade = _GRADE[spec.severity]
    width = ((0.075, 0.125, 0.2)[grade] + 0.04 * spec.shape[0]) * max(spec.strength, 1.0)
    top, bottom = body.anatomy.apex, _dome(spec, body)
    reach = (0.5, 0.75, 1.1)[grade] + 0.2 * spec.shape[1]
    anchor = {"upper": top, "middle": 0.5 * (top + bottom) + 0.12, "lower": bottom + 0.12}[spec.zone or "upper"]
    span = {"upper": reach, "middle": 0.32 + 0.3 * reach, "lower": 0.25 + 0.45 * reach}[spec.zone or "upper"]
    along = np.clip(np.abs(body.v - np.float32(anchor)) * np.float32(1 / span), 0, 1)
    gap = np.float32(width) * (1 - along * along)
    depth = gap - body.wall
    own = _side_mask(spec, body) * body.lung
    free = edge(depth, max(0.008, 0.8 * body.pixel)) * own * edge(gap - np.float32(0.02), 0.02)
    line = ridge(depth, max(0.014, 1.3 * body.pixel)) * own * edge(gap - np.float32(0.02), 0.02)
    return Effect(
        air=1 + np.float32(0.22) * free,
        markings=1 - free,
        attenuation=np.float32(0.085) * line,
    )


def _edema(spec: FindingSpec, body: Body) -> Effect:
    """Bilateral haze that spreads from the hila (or from the bases), with thickened markings."""
    grade = _GRADE[spec.severity]
    rng = np.random.default_rng(spec.texture_seed)
    size = body.u.shape[0]
    cloud, strands = noise_field(rng, 7, size), noise_field(rng, 30, size)
    center_v = -0.05 + 0.3 * spec.position[1]
    spread = (0.24, 0.29, 0.36)[grade] + 0.06 * spec.shape[0]
    du = (np.abs(body.u) - np.float32(0.26 + 0.1 * spec.position[0])) * np.float32(0.85)
    haze = bump(np.sqrt(du * du + (body.v - np.float32(center_v)) ** 2), spread)
    uneven = 1 + np.float32(0.35 * (spec.shape[1] - 0.5)) * np.sign(body.u)
    texture = np.clip(np.float32(0.9) + np.float32(0.2) * cloud + np.float32(0.14) * strands, 0.2, 1.4)
    peak = (0.36, 0.5, 0.66)[grade] * spec.strength
    opacity = np.clip(haze * texture * uneven * np.float32(peak), 0, 0.9) * body.lung
    return Effect(air=1 - opacity, markings=1 + np.float32(0.8) * opacity)


def _atelectasis(spec: FindingSpec, body: Body) -> Effect:
    """A plate (linear) or a wedge that points to the hilum (subsegmental to lobar)."""
    grade = _GRADE[spec.severity]
    length = (0.13, 0.17, 0.21)[grade] * (0.9 + 0.3 * spec.shape[0])
    half = (0.014, 0.02, 0.028)[grade] * (0.9 + 0.4 * spec.shape[1])
    center_u, center_v = _place(spec, body, margin=0.6 * length)
    tilt = (spec.shape[2] - 0.5) * 1.1
    wedge = spec.kind == "wedge"
    if wedge:
        tilt = math.atan2(center_v + 0.05, abs(center_u) - 0.15) * 0.6 + tilt * 0.3
    cosine, sine = math.cos(tilt), math.sin(tilt)
    du, dv = (body.u - np.float32(center_u)) * np.float32(_sign(spec)), body.v - np.float32(center_v)
    along, across = du * np.float32(cosine) + dv * np.float32(sine), dv * np.float32(cosine) - du * np.float32(sine)
    across = across + np.float32(0.25) * along * along  # plates are slightly bent
    thickness = np.float32(half) * (1 + (2.6 * np.clip(along / np.float32(length) + 1, 0, 2) if wedge else 0))
    soft = max(0.012, 1.2 * body.pixel)
    band = edge(thickness - np.abs(across), soft) * edge(np.float32(length) - np.abs(along), 0.05)
    peak = min((0.5, 0.62, 0.74)[grade] * spec.strength, 0.95)
    opacity = np.float32(peak) * band * body.lung * _side_mask(spec, body)
    return Effect(air=1 - opacity, markings=1 - np.float32(0.6) * opacity, attenuation=np.float32(0.04) * opacity)


_DRAW: dict[str, Callable[[FindingSpec, Body], Effect]] = {
    "cardiomegaly": _cardiomegaly,
    "pleural effusion": _effusion,
    "consolidation": _consolidation,
    "nodule": _nodule,
    "pneumothorax": _pneumothorax,
    "edema": _edema,
    "atelectasis": _atelectasis,
}
