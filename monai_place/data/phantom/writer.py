"""Write phantom studies to a folder: images, masks, COCO files, and last of all the datalist.

The datalist is what makes a folder a data set: it is written when everything that it names is there, and an aborted
run leaves none. `monai_place.data.phantom.formats` says how the axes of each file format lie.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from monai_place.atomic import write_bytes_atomic, write_json_atomic
from monai_place.data.datalist import SPLITS, Datalist, write_datalist
from monai_place.data.parallel import map_ordered
from monai_place.data.phantom.coco import coco_boxes
from monai_place.data.phantom.findings import PHANTOM_CLASSES
from monai_place.data.phantom.formats import SUFFIXES, ImageFormat, encode_image, encode_mask
from monai_place.data.phantom.study import MIN_SIZE, PhantomStudy, render_study
from monai_place.data.splits import split_patients

__all__ = ["DATALIST_NAME", "PHANTOM_VERSION", "write_phantom"]

logger = logging.getLogger(__name__)

DATALIST_NAME = "datalist.json"
PHANTOM_VERSION = "1"  # counts up whenever the same seed draws something else
_CHUNK = 8


@dataclass(frozen=True)
class _Task:
    """What a worker needs; picklable, so that it works under spawn and forkserver."""

    folder: str
    seed: int
    size: int
    image_format: ImageFormat
    bits: int
    indices: tuple[int, ...]


def write_phantom(
    folder: str | os.PathLike[str],
    *,
    studies: int,
    size: int,
    seed: int,
    image_format: ImageFormat = "png",
    bits: int = 8,
    fractions: Sequence[float] = (0.7, 0.1, 0.2),
    workers: int = 0,
    overwrite: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a phantom data set.

    The files depend on the arguments alone, not on the number of workers.

    Args:
        folder: where to write; made where it is missing.
        studies: number of studies.
        size: height and width in pixels.
        seed: seed of the data set.
        image_format: "png", "dicom" (some MONOCHROME1, some 12 bit) or "nifti"; masks are always PNG.
        bits: 8 or 16 bits a pixel in PNG and NIfTI files.
        fractions: shares of training, validation and test, by patient.
        workers: processes that render; 0 renders in this one.
        overwrite: replace a data set that is there already.
        progress: called with (studies done, studies in all).

    Returns:
        path of the datalist.

    Raises:
        FileExistsError: if the folder holds a datalist already and `overwrite` is false.
        ValueError: if an argument is out of range.
    """
    root = Path(folder)
    _check(studies, size, seed, image_format, bits, fractions, workers)
    datalist = root / DATALIST_NAME
    if datalist.exists():
        if not overwrite:
            raise FileExistsError(f"{root.name}/{DATALIST_NAME} exists; pass overwrite=True to replace the data set")
        datalist.unlink()  # from here on the folder is no data set, until the new datalist is written
    for part in ("images", "masks"):
        (root / part).mkdir(parents=True, exist_ok=True)
    indices = range(studies)
    tasks = [
        _Task(str(root), seed, size, image_format, bits, tuple(indices[start : start + _CHUNK]))
        for start in range(0, studies, _CHUNK)
    ]
    records: list[dict[str, Any]] = []
    with closing(map_ordered(_write_chunk, tasks, workers=workers)) as chunks:
        for chunk in chunks:
            records += chunk
            if progress is not None:
                progress(len(records), studies)
    name = f"monai-place-phantom-{studies}x{size}-seed{seed}"
    splits = _split_by_patient(records, fractions, seed)
    for split in SPLITS:
        coco = coco_boxes(splits[split], PHANTOM_CLASSES, size=size, name=f"{name} {split}")
        write_json_atomic(root / f"coco_{split}.json", coco, indent=None)
    write_datalist(
        Datalist(
            name=name,
            version=PHANTOM_VERSION,
            source="monai_place.data.phantom (synthetic; no patient data)",
            image_root=".",
            classes=list(PHANTOM_CLASSES),
            splits=splits,
            folder=root,
            extra={"phantom": {"studies": studies, "size": size, "seed": seed, "image_format": image_format}},
        ),
        datalist,
    )
    logger.info("wrote %d phantom studies of %d pixels", studies, size)
    return datalist


def _check(
    studies: int, size: int, seed: int, image_format: str, bits: int, fractions: Sequence[float], workers: int
) -> None:
    for name, value, least in (
        ("studies", studies, 1),
        ("size", size, MIN_SIZE),
        ("seed", seed, 0),
        ("workers", workers, 0),
    ):
        if value < least:
            raise ValueError(f"{name} must be {least} or more, got {value}")
    if image_format not in get_args(ImageFormat):
        raise ValueError(f"image_format must be one of {', '.join(get_args(ImageFormat))}, got {image_format!r}")
    if bits not in (8, 16):
        raise ValueError(f"bits must be 8 or 16, got {bits}")
    if len(fractions) != len(SPLITS) or min(fractions) < 0 or abs(sum(fractions) - 1) > 1e-6:
        raise ValueError(f"fractions must be {len(SPLITS)} shares that sum to 1, got {tuple(fractions)}")


def _write_chunk(task: _Task) -> list[dict[str, Any]]:
    return [
        _write_study(render_study(task.seed, index, size=task.size), Path(task.folder), task.image_format, task.bits)
        for index in task.indices
    ]


def _write_study(study: PhantomStudy, root: Path, image_format: ImageFormat, bits: int) -> dict[str, Any]:
    """Write the files of one study and return its record."""
    image, mask = f"images/{study.study_id}{SUFFIXES[image_format]}", f"masks/{study.study_id}.png"
    write_bytes_atomic(root / image, encode_image(study, image_format, bits=bits))
    write_bytes_atomic(root / mask, encode_mask(study.class_mask()))
    findings = []
    for number, finding in enumerate(study.findings):
        path = f"masks/{study.study_id}_{number}.png"
        write_bytes_atomic(root / path, encode_mask(finding.mask))
        findings.append(
            {
                "class": finding.class_name,
                "laterality": finding.laterality,
                "zone": finding.zone,
                "severity": finding.severity,
                "kind": finding.kind,
                "diameter_mm": finding.diameter_mm,
                "mask": path,
                "box": list(finding.box),
            }
        )
    return {
        "id": study.study_id,
        "image": image,
        "patient_id": study.patient_id,
        "study_id": study.study_id,
        "view": "PA",
        "language": "en",
        "report": study.report,
        "sections": study.sections,
        "label": list(study.label),
        "mask": mask,
        "boxes": [finding["box"] for finding in findings],
        "box_classes": [finding["class"] for finding in findings],
        "findings": findings,
        "sentences": [asdict(sentence) | {"classes": list(sentence.classes)} for sentence in study.sentences],
    }


def _split_by_patient(
    records: list[dict[str, Any]], fractions: Sequence[float], seed: int
) -> dict[str, list[dict[str, Any]]]:
    """Share the studies out, each patient's to one split."""
    sizes = Counter(record["patient_id"] for record in records)
    chosen = split_patients(dict.fromkeys(sizes, ""), sizes=sizes, fractions=fractions, seed=seed)
    return {split: [record for record in records if chosen[record["patient_id"]] == split] for split in SPLITS}
