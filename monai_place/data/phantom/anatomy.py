"""Anatomy of the phantom: what a patient looks like, how the picture was taken, and the maps drawn from both.

Body coordinates: u runs to image-right, which is the patient's LEFT in a frontal view; v runs down; the frame of an
untilted picture is -1 to 1 in both. Attenuation is additive; `study.develop` turns it into gray values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monai_place.data.phantom.grid import FloatMap, bump, edge, noise_field, pixel_grid, ridge

__all__ = ["Acquisition", "Anatomy", "Body", "draw_body", "heart_maps", "sample_acquisition", "sample_anatomy"]


@dataclass(frozen=True)
class Anatomy:
    """What stays with a patient from one study to the next; lengths in units of half the picture's width."""

    chest: float  # half width of the rib cage at its widest
    apex: float  # v of the lung apices
    widest: float  # v of the widest level
    torso: float  # half width of the body
    fat: float  # extra soft tissue
    mediastinum: float  # half width of the upper mediastinum
    knob: float  # size of the aortic knob
    cardiothoracic_ratio: float
    heart_tilt: float  # radians
    dome: float  # v of the right hemidiaphragm in full inspiration
    dome_step: float  # how much lower the left one stands
    rib_spacing: float
    rib_phase: float
    rib_curve: float
    rib_contrast: float
    clavicle: float  # v of the medial ends of the clavicles
    clavicle_slope: float
    breast: float  # attenuation of breast shadows, 0 for none
    bubble: float  # contrast of the stomach's gas, 0 for none
    scoliosis: float  # sideways bow of the spine
    vessel_phase: float


@dataclass(frozen=True)
class Acquisition:
    """What differs from one exposure to the next."""

    shift_x: float
    shift_y: float
    rotation: float  # radians
    scale: float
    breath: float  # 0 full inspiration, 1 shallow
    level: float  # attenuation shown as mid gray
    contrast: float
    gamma: float
    noise: float  # standard deviation of the gray values
    tilt: float  # left-right unevenness of the exposure


def sample_anatomy(rng: np.random.Generator) -> Anatomy:
    """Draw a patient."""
    chest = rng.uniform(0.68, 0.8)
    return Anatomy(
        chest=chest,
        apex=rng.uniform(-0.84, -0.74),
        widest=rng.uniform(0.3, 0.45),
        torso=chest + rng.uniform(0.12, 0.26),
        fat=rng.uniform(0.0, 0.1),
        mediastinum=rng.uniform(0.09, 0.135),
        knob=rng.uniform(0.02, 0.075),
        cardiothoracic_ratio=rng.uniform(0.39, 0.475),
        heart_tilt=rng.uniform(0.35, 0.75),
        dome=rng.uniform(0.42, 0.52),
        dome_step=rng.uniform(0.0, 0.06),
        rib_spacing=rng.uniform(0.135, 0.165),
        rib_phase=rng.uniform(0.0, 1.0),
        rib_curve=rng.uniform(0.22, 0.38),
        rib_contrast=rng.uniform(0.05, 0.1),
        clavicle=rng.uniform(-0.64, -0.5),
        clavicle_slope=rng.uniform(0.1, 0.35),
        breast=rng.uniform(0.04, 0.1) if rng.random() < 0.4 else 0.0,
        bubble=rng.uniform(0.08, 0.2) if rng.random() < 0.5 else 0.0,
        scoliosis=rng.uniform(-0.03, 0.03),
        vessel_phase=rng.uniform(0.0, 2 * math.pi),
    )


def sample_acquisition(rng: np.random.Generator) -> Acquisition:
    """Draw how one picture of a patient was taken."""
    return Acquisition(
        shift_x=rng.uniform(-0.06, 0.06),
        shift_y=rng.uniform(-0.07, 0.05),
        rotation=math.radians(float(np.clip(rng.normal(0.0, 2.5), -7, 7))),
        scale=rng.uniform(0.9, 1.08),
        breath=rng.beta(1.6, 3.0),
        level=rng.uniform(0.42, 0.56),
        contrast=rng.uniform(4.0, 6.0),
        gamma=rng.uniform(0.75, 1.15),
        noise=rng.uniform(0.006, 0.022),
        tilt=rng.uniform(-0.05, 0.05),
    )


@dataclass(frozen=True)
class Body:
    """Maps of one body on the pixel grid, each (H, W), and the numbers needed to place findings."""

    anatomy: Anatomy
    pixel: float  # size of a pixel in body units
    dome_right: float
    dome_left: float
    u: FloatMap
    v: FloatMap
    wall: FloatMap  # distance from the inner chest wall, positive inside
    floor: FloatMap  # height above the diaphragm, positive inside
    lung: FloatMap  # 1 inside the lung fields
    air: FloatMap  # air on the way of the ray, 0 to 1
    tissue: FloatMap  # attenuation of everything but heart, air and lung markings
    markings: FloatMap  # vessels and texture of the lungs


def draw_body(anatomy: Anatomy, acquisition: Acquisition, rng: np.random.Generator, *, size: int) -> Body:
    """Draw everything but heart and findings.

    Args:
        anatomy: the patient.
        acquisition: the pose and depth of breath (exposure is applied later).
        rng: random stream of the textures.
        size: height and width in pixels.
    """
    x, y = pixel_grid(size)
    cosine, sine = math.cos(acquisition.rotation), math.sin(acquisition.rotation)
    zoom = 1 / acquisition.scale
    dx, dy = x - np.float32(acquisition.shift_x), y - np.float32(acquisition.shift_y)
    u = (dx * np.float32(cosine * zoom) + dy * np.float32(sine * zoom)).astype(np.float32)
    v = (dy * np.float32(cosine * zoom) - dx * np.float32(sine * zoom)).astype(np.float32)
    pixel = 2.0 / size * zoom
    side = np.abs(u)
    left = u > 0
    dome_right = anatomy.dome - 0.16 * acquisition.breath
    dome_left = dome_right + anatomy.dome_step

    wall = _wall_distance(anatomy, side, v)
    dome = np.float32(dome_right) + np.float32(anatomy.dome_step) * edge(u, 0.1)
    floor = dome + _dome_shape(side, anatomy.chest) - v
    inner = side - _mediastinal_border(anatomy, left, v)
    soft = max(0.012, 1.2 * pixel)
    lung = edge(wall, soft) * edge(floor, soft) * edge(inner, 1.6 * soft)
    air = lung * (1 - np.float32(0.42) * np.exp(np.clip(wall, 0, None) * np.float32(-9)))
    air *= 1 - np.float32(0.25) * np.exp(np.clip(floor, 0, None) * np.float32(-14))

    cloud = noise_field(rng, 6, size)
    fine = noise_field(rng, max(8, 44), size)
    tissue = _soft_tissue(anatomy, u, v, floor, inner, cloud) + _bones(anatomy, u, v, wall, floor, pixel)
    markings = lung * (_vessels(anatomy, u, v, cloud, pixel) + fine * np.float32(0.012) + cloud * np.float32(0.008))
    return Body(anatomy, pixel, dome_right, dome_left, u, v, wall, floor, lung, air, tissue, markings)


def heart_maps(body: Body, ratio: float) -> tuple[FloatMap, FloatMap]:
    """Attenuation of the heart, and how much of the air before and behind it it takes, each (H, W).

    Args:
        body: the body it lies in.
        ratio: cardiothoracic ratio; it sets the width, and with it the depth.
    """
    anatomy = body.anatomy
    width = 2 * anatomy.chest * ratio
    cosine, sine = math.cos(anatomy.heart_tilt), math.sin(anatomy.heart_tilt)
    # A heart that fails grows sideways more than upwards.
    slim = 0.74 - 0.25 * max(ratio - 0.42, 0.0)
    long = width / 2 / math.sqrt(cosine**2 + (slim * sine) ** 2)
    short = slim * long
    reach = math.sqrt((long * sine) ** 2 + (short * cosine) ** 2)  # half height of the tilted ellipse
    center_u, center_v = 0.17 * width, body.dome_left + 0.13 - 0.92 * reach
    du, dv = body.u - np.float32(center_u), body.v - np.float32(center_v)
    along = (du * np.float32(cosine) + dv * np.float32(sine)) * np.float32(1 / long)
    across = (dv * np.float32(cosine) - du * np.float32(sine)) * np.float32(1 / short)
    inside = 1 - along * along - across * across
    # Below the diaphragm the abdomen drowns it.
    visible = 1 - np.float32(0.85) * edge(np.float32(-0.03) - body.floor, 0.07)
    depth = np.sqrt(np.clip(inside, 0, None)) * visible
    shadow = edge(inside, max(0.05, 3 * body.pixel / long)) * np.float32(0.8)
    return depth * np.float32(0.46 * long) + shadow * visible * np.float32(0.2 * long), shadow


def _wall_distance(anatomy: Anatomy, side: FloatMap, v: FloatMap) -> FloatMap:
    """Pseudo-distance to a rounded cage: a superellipse above the widest level, near straight walls below."""
    height = np.float32(anatomy.widest - anatomy.apex)
    rise = np.clip((np.float32(anatomy.widest) - v) / height, 0, 2)
    narrowing = np.clip(v - np.float32(anatomy.widest), 0, None) * np.float32(0.12)
    top = np.float32(0.24) * np.clip(rise, 0, 1) ** 3  # the apex is a dome beside the midline, not a tip on it
    across = np.clip(np.abs(side - top + narrowing) / (np.float32(anatomy.chest) - top), 1e-3, 2)
    level = np.sqrt(across * across + rise * rise * rise)
    return (1 - level) * np.float32(0.8 * anatomy.chest)


def _dome_shape(side: FloatMap, chest: float) -> FloatMap:
    """How far the diaphragm lies below its dome's top: steep to the costophrenic, gentle to the cardiophrenic angle."""
    top = np.float32(0.5 * chest)
    outer = np.clip(side - top, 0, None) / top
    inner = np.clip(top - side, 0, None) / top
    return np.float32(0.2) * outer * outer * outer.clip(0, 1.2) + np.float32(0.09) * inner * inner


def _mediastinal_border(anatomy: Anatomy, left: npt.NDArray[np.bool_], v: FloatMap) -> FloatMap:
    """Distance of the mediastinum's edge from the midline, on each side."""
    flare = np.float32(0.08) * np.exp(np.clip(v - np.float32(anatomy.apex), 0, None) * np.float32(-7))
    knob = np.float32(anatomy.knob) * bump(v + np.float32(0.34), 0.075)
    trunk = np.float32(0.05) * bump(v + np.float32(0.08), 0.12)  # pulmonary trunk, above the heart's left border
    return np.float32(anatomy.mediastinum) + flare + np.where(left, knob + trunk, np.float32(0.5) * trunk)


def _soft_tissue(
    anatomy: Anatomy, u: FloatMap, v: FloatMap, floor: FloatMap, inner: FloatMap, cloud: FloatMap
) -> FloatMap:
    side = np.abs(u)
    shoulder = np.clip(np.float32(-0.42) - v, 0, None) * np.float32(1.5)  # the arms widen the upper body
    across = np.clip(side / (np.float32(anatomy.torso) + shoulder), 0, 1)
    thickness = np.sqrt(1 - across * across * across)
    roof = v + np.float32(1.06) - (side - np.float32(0.24)) * np.float32(0.34)
    outline = np.maximum(edge(roof, 0.06), edge(np.float32(0.27) - side, 0.05))  # shoulders and neck
    body = np.float32(0.5 + anatomy.fat) * thickness * outline
    abdomen = edge(-floor, 0.02) * np.float32(0.22) * np.sqrt(thickness)
    center = edge(-inner, 0.05) * np.float32(0.16) * edge(v + 1, 0.5)
    tissue = body + abdomen * thickness + center + cloud * thickness * np.float32(0.012)
    if anatomy.breast:
        lump_u, lump_v = (side - np.float32(0.46)) / np.float32(0.34), (v - np.float32(0.34)) / np.float32(0.3)
        tissue += np.float32(anatomy.breast) * edge(1 - lump_u * lump_u - lump_v * lump_v, 0.35)
    if anatomy.bubble:
        gas_u, gas_v = (
            (u - np.float32(0.4)) / np.float32(0.14),
            (v - np.float32(anatomy.dome + 0.24)) / np.float32(0.07),
        )
        tissue -= np.float32(anatomy.bubble) * edge(1 - gas_u * gas_u - gas_v * gas_v, 0.4)
    return tissue


def _bones(anatomy: Anatomy, u: FloatMap, v: FloatMap, wall: FloatMap, floor: FloatMap, pixel: float) -> FloatMap:
    contrast, side = np.float32(anatomy.rib_contrast), np.abs(u)
    soft = max(0.06, 1.0 * pixel / anatomy.rib_spacing)
    cage = edge(wall + np.float32(0.035), 0.02) * edge(side - np.float32(0.06), 0.03)
    # Posterior ribs: nearly level at the spine, falling towards the side, more so in the upper chest.
    fall = np.float32(anatomy.rib_curve) * side * side * (np.float32(1.5) - np.float32(0.7) * v)
    behind = _stripes((v - fall) / np.float32(anatomy.rib_spacing) + np.float32(anatomy.rib_phase), 0.2, soft)
    seen = 1 - np.float32(0.6) * edge(-floor, 0.03)  # little of a rib is seen through the abdomen
    bones = contrast * behind * cage * seen * edge(np.float32(0.72) - v, 0.1)
    # Anterior ribs: fainter, rising towards the side, and gone where they turn into cartilage.
    rise = np.float32(0.62) * side
    front = _stripes((v + rise) / np.float32(1.25 * anatomy.rib_spacing) + np.float32(anatomy.rib_phase), 0.24, soft)
    bones += (
        np.float32(0.5) * contrast * front * cage * seen * edge(side - np.float32(0.34), 0.08) * edge(v + 0.42, 0.2)
    )
    bones += np.float32(0.09) * bump(wall + np.float32(0.025), 0.022)  # the wall seen edge on
    reach = side - np.float32(0.07)
    line = v - np.float32(anatomy.clavicle) + np.float32(anatomy.clavicle_slope) * reach
    line += np.float32(0.025) * np.sin(reach * np.float32(8))
    shaft = edge(np.float32(0.028) - np.abs(line), max(0.012, pixel)) + np.float32(0.6) * ridge(
        np.abs(line) - np.float32(0.028), max(0.014, pixel)
    )
    bones += np.float32(0.1) * shaft * edge(reach, 0.02) * edge(np.float32(0.68) - reach, 0.03)
    scapula = side - np.float32(anatomy.chest - 0.02) + np.float32(0.16) * (v + np.float32(0.25))
    bones += np.float32(0.06) * edge(scapula, 0.02) * edge(np.float32(0.22) - scapula, 0.06) * ridge(v + 0.36, 0.36)
    axis = u - np.float32(anatomy.scoliosis) * (1 - v * v)
    spine = edge(np.float32(0.075) - np.abs(axis), 0.025)
    discs = np.float32(0.8) + np.float32(0.2) * np.cos(v * np.float32(2 * math.pi / 0.13))
    bones += np.float32(0.11) * spine * discs
    trachea = ridge(axis, 0.05) * edge(np.float32(-0.2) - v, 0.04)
    return bones - np.float32(0.12) * trachea


def _stripes(phase: FloatMap, half_width: float, soft: float) -> FloatMap:
    """Periodic bands with brighter rims (the cortex), one period a unit of `phase`."""
    offset = np.abs(phase - np.round(phase))
    return edge(np.float32(half_width) - offset, soft) + np.float32(0.5) * ridge(
        offset - np.float32(half_width - 0.03), max(0.07, soft)
    )


def _vessels(anatomy: Anatomy, u: FloatMap, v: FloatMap, cloud: FloatMap, pixel: float) -> FloatMap:
    """Hila, and vessels that branch away from them: ridges in the angle around each hilum, finer further out."""
    side = np.abs(u)
    du, dv = side - np.float32(0.17), v + np.float32(0.05)
    radius = np.sqrt(du * du + dv * dv) + np.float32(1e-4)
    angle = np.arctan2(dv, du) + cloud * np.float32(0.16)
    phase = np.where(u > 0, np.float32(anatomy.vessel_phase), np.float32(1.7 - anatomy.vessel_phase))
    bend = np.sin(radius * np.float32(7) + phase)
    near = np.cos(angle * 5 + bend * np.float32(1.1) + phase)
    far = np.cos(angle * 11 + bend * np.float32(2.3) - phase * 2)
    fade = np.exp(radius * np.float32(-3.0))
    # A ridge must stay wider than a pixel: its width in angle shrinks with the radius.
    near_ridge = np.clip(near * 6 - 5, 0, 1) * edge(radius - np.float32(0.02), 0.03)
    far_ridge = np.clip(far * 4 - 3, 0, 1) * edge(radius - np.float32(max(0.12, 3 * pixel)), 0.08)
    hilum = bump(du * np.float32(1.3) + dv * np.float32(0.3), 0.06) * bump(dv - np.float32(0.03), 0.11)
    lines = np.float32(0.2) * near_ridge + np.float32(0.15) * far_ridge
    return fade * lines * edge(radius - np.float32(0.06), 0.05) + np.float32(0.17) * hilum
