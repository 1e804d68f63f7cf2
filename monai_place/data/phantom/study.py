"""One phantom study: image, findings with masks and boxes, report. A pure function of (seed, index, size)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from monai_place.data.phantom.findings import PHANTOM_CLASSES
from monai_place.data.phantom.grid import FloatMap, stream
from monai_place.data.phantom.report import PhantomSentence, join_report, write_sentences
from monai_place.data.phantom.scene import Scene, add_noise, build_scene, patient_number

__all__ = ["FRAME_MM", "PhantomFinding", "PhantomStudy", "render_study", "render_without"]

FRAME_MM = 360.0  # side of the picture in millimeters: a 35 x 43 cm detector, collimated
MIN_SIZE = 48


@dataclass(frozen=True, eq=False)
class PhantomFinding:
    """One finding as it was drawn. `mask` is (H, W); `box` is x0, y0, x1, y1 in pixels, x1 and y1 exclusive."""

    class_name: str
    laterality: str | None
    zone: str | None
    severity: str
    kind: str
    mask: npt.NDArray[np.bool_]
    box: tuple[int, int, int, int]
    diameter_mm: float | None


@dataclass(frozen=True, eq=False)
class PhantomStudy:
    """One study. `image` is (H, W) float32 in [0, 1], row 0 at the top, the patient's left at image-right."""

    seed: int
    index: int
    study_id: str
    patient_id: str
    image: FloatMap
    findings: tuple[PhantomFinding, ...]
    sentences: tuple[PhantomSentence, ...]
    report: str
    sections: dict[str, str]
    label: tuple[int, ...]  # 0 or 1 for each of PHANTOM_CLASSES
    pixel_spacing_mm: tuple[float, float]  # row, column

    def class_mask(self) -> npt.NDArray[np.uint8]:
        """Index picture (H, W): 0 background, 1..C the classes; where findings overlap, the smaller one shows."""
        mask = np.zeros(self.image.shape, dtype=np.uint8)
        for finding in sorted(self.findings, key=lambda f: -int(f.mask.sum())):
            mask[finding.mask] = PHANTOM_CLASSES.index(finding.class_name) + 1
        return mask


def render_study(seed: int, index: int, *, size: int) -> PhantomStudy:
    """Render study `index` of the data set `seed`.

    Args:
        seed: seed of the data set, 0 or more.
        index: number of the study, 0 or more.
        size: height and width in pixels, 48 or more.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> study = render_study(0, 3, size=96)
        >>> study.image.shape, str(study.image.dtype)
        ((96, 96), 'float32')
    """
    scene = _checked_scene(seed, index, size)
    spacing = FRAME_MM / size
    half_frame_mm = FRAME_MM / 2 * scene.acquisition.scale
    findings = tuple(
        PhantomFinding(
            class_name=spec.class_name,
            laterality=spec.laterality,
            zone=spec.zone,
            severity=spec.severity,
            kind=spec.kind,
            mask=mask,
            box=_tight_box(mask),
            diameter_mm=None if effect.diameter is None else round(effect.diameter * half_frame_mm, 1),
        )
        for spec, effect, mask in zip(scene.specs, scene.effects, scene.masks, strict=True)
    )
    rng = stream(seed, index, "report")
    sentences = write_sentences(scene.specs, rng, diameters_mm=[finding.diameter_mm for finding in findings])
    report, sections = join_report(sentences, rng)
    present = {finding.class_name for finding in findings}
    return PhantomStudy(
        seed=seed,
        index=index,
        study_id=f"s{index:06d}",
        patient_id=f"p{patient_number(seed, index):06d}",
        image=add_noise(scene.develop(), scene.acquisition, stream(seed, index, "noise")),
        findings=findings,
        sentences=tuple(sentences),
        report=report,
        sections=sections,
        label=tuple(int(name in present) for name in PHANTOM_CLASSES),
        pixel_spacing_mm=(spacing, spacing),
    )


def render_without(seed: int, index: int, *, size: int, without: Sequence[int] = (), noise: bool = True) -> FloatMap:
    """Render the same exposure of the same patient with some findings never there.

    What a finding changed is the difference to the full picture; its mask is where that difference, without noise,
    exceeds `MASK_THRESHOLD`.

    Args:
        seed: seed of the data set.
        index: number of the study.
        size: height and width in pixels.
        without: numbers of the findings to leave out.
        noise: add the study's own noise.

    Returns:
        gray values (H, W) in [0, 1].
    """
    scene = _checked_scene(seed, index, size)
    wrong = [number for number in without if not 0 <= number < len(scene.specs)]
    if wrong:
        raise ValueError(f"without must hold numbers of findings from 0 to {len(scene.specs) - 1}, got {wrong}")
    clean = scene.develop(without=set(without))
    return add_noise(clean, scene.acquisition, stream(seed, index, "noise")) if noise else clean


def _checked_scene(seed: int, index: int, size: int) -> Scene:
    for name, value, least in (("seed", seed, 0), ("index", index, 0), ("size", size, MIN_SIZE)):
        if value < least:
            raise ValueError(f"{name} must be {least} or more, got {value}")
    return build_scene(seed, index, size=size)


def _tight_box(mask: npt.NDArray[np.bool_]) -> tuple[int, int, int, int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
