"""A scene is a body with its findings before it is exposed: it can be developed with and without any finding."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monai_place.data.phantom.anatomy import (
    Acquisition,
    Body,
    draw_body,
    heart_maps,
    sample_acquisition,
    sample_anatomy,
)
from monai_place.data.phantom.effects import Effect, draw_effect
from monai_place.data.phantom.findings import FindingSpec, sample_findings
from monai_place.data.phantom.grid import FloatMap, noise_field, pixel_grid, stream

__all__ = ["MASK_THRESHOLD", "Scene", "build_scene", "patient_number"]

# A pixel belongs to a finding when the finding changes its noise-free gray value (0 to 1) by more than this.
MASK_THRESHOLD = 0.015
_MIN_MASK_PIXELS = 6
_MAX_STRENGTHENINGS = 4
_AIR = np.float32(0.44)
_SECOND_STUDY = 0.2  # share of study pairs (2k, 2k + 1) that belong to one patient


def patient_number(seed: int, index: int) -> int:
    """Number of the patient of a study: studies 2k and 2k + 1 share one now and then, and no others do."""
    pair = index // 2
    together = stream(seed, pair, "pairing").random() < _SECOND_STUDY
    return 2 * pair if together else index


@dataclass(frozen=True)
class Scene:
    """One study before noise: body, exposure, the findings that can be seen, and their masks."""

    body: Body
    acquisition: Acquisition
    specs: tuple[FindingSpec, ...]
    effects: tuple[Effect, ...]
    masks: tuple[npt.NDArray[np.bool_], ...] = ()

    def develop(self, without: Collection[int] = ()) -> FloatMap:
        """Noise-free gray values (H, W) in [0, 1], leaving out the findings whose numbers are in `without`."""
        effects = [effect for number, effect in enumerate(self.effects) if number not in without]
        return _expose(self.body, self.acquisition, effects)


def build_scene(seed: int, index: int, *, size: int) -> Scene:
    """Draw the scene of study `index` of data set `seed`.

    Args:
        seed: seed of the data set.
        index: number of the study.
        size: height and width in pixels.
    """
    anatomy = sample_anatomy(stream(seed, patient_number(seed, index), "patient"))
    acquisition = sample_acquisition(stream(seed, index, "acquisition"))
    body = draw_body(anatomy, acquisition, stream(seed, index, "texture"), size=size)
    specs = sample_findings(stream(seed, index, "findings"))
    for _ in range(_MAX_STRENGTHENINGS):
        scene = _with_masks(Scene(body, acquisition, tuple(specs), tuple(draw_effect(spec, body) for spec in specs)))
        hidden = [int(mask.sum()) < _MIN_MASK_PIXELS for mask in scene.masks]
        if not any(hidden):
            return scene
        specs = [spec.stronger() if out else spec for spec, out in zip(specs, hidden, strict=True)]
    # What cannot be made visible is not there: no label, no sentence.
    specs = [spec for spec, out in zip(specs, hidden, strict=True) if not out]
    return _with_masks(Scene(body, acquisition, tuple(specs), tuple(draw_effect(spec, body) for spec in specs)))


def _with_masks(scene: Scene) -> Scene:
    if not scene.specs:
        return scene
    full = scene.develop()
    masks = tuple(
        np.abs(full - scene.develop(without=(number,))) > MASK_THRESHOLD for number in range(len(scene.specs))
    )
    return Scene(scene.body, scene.acquisition, scene.specs, scene.effects, masks)


def _expose(body: Body, acquisition: Acquisition, effects: list[Effect]) -> FloatMap:
    ratio = next((e.heart_ratio for e in effects if e.heart_ratio is not None), body.anatomy.cardiothoracic_ratio)
    heart, shadow = heart_maps(body, ratio)
    air, markings = body.air * (1 - shadow), body.markings
    attenuation = body.tissue + heart
    for effect in effects:
        if effect.air is not None:
            air = air * effect.air
        if effect.markings is not None:
            markings = markings * effect.markings
        if effect.attenuation is not None:
            attenuation = attenuation + effect.attenuation
    attenuation = attenuation - _AIR * air + markings * (1 - np.float32(0.7) * shadow)
    x, _ = pixel_grid(body.u.shape[0])
    # The logistic curve is the film's: a toe, a straight part, a shoulder, and never a hard clip.
    exposure = attenuation - np.float32(acquisition.level) + np.float32(acquisition.tilt) * x
    gray = 1 / (1 + np.exp(exposure * np.float32(-acquisition.contrast)))
    return np.asarray(gray ** np.float32(acquisition.gamma), dtype=np.float32)


def add_noise(gray: FloatMap, acquisition: Acquisition, rng: np.random.Generator) -> FloatMap:
    """Add quantum noise (stronger where fewer photons arrive) and a slow unevenness; the result stays in [0, 1]."""
    size = gray.shape[0]
    grain = rng.standard_normal(gray.shape, dtype=np.float32)
    grain = grain + np.float32(0.5) * (np.roll(grain, 1, 0) + np.roll(grain, 1, 1))  # neighbors share scatter
    amount = np.float32(acquisition.noise * 0.8) * (np.float32(0.55) + np.float32(0.45) * gray)
    return np.clip(gray + grain * amount + noise_field(rng, 3, size) * np.float32(0.008), 0, 1)
