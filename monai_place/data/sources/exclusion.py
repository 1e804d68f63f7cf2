"""Patients that must not train: those of another datalist, or those drawn for a validation of one's own."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Container, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from monai_place.data.datalist import parse_datalist
from monai_place.data.sources.draft import PrepareReport

__all__ = ["EXCLUDED", "draw_patients", "leave_out_patients", "patients_of"]

logger = logging.getLogger(__name__)

EXCLUDED = "of a patient of the excluded list"

Record = dict[str, Any]


def patients_of(path: Path) -> set[str]:
    """Return the patients of a datalist.

    Args:
        path: the datalist.

    Raises:
        DatalistError: it is none.
        ValueError: none of its records names a patient.
    """
    found = {str(record["patient_id"]) for _, _, record in parse_datalist(path).records() if record.get("patient_id")}
    if not found:
        raise ValueError(f"{path.name}: no record has a patient_id, so that nobody can be excluded")
    return found


def leave_out_patients(
    records: Iterable[Record], patients: Container[str], reason: str, report: PrepareReport
) -> list[Record]:
    """Return the records of other patients, and count the rest.

    Args:
        records: to choose from.
        patients: who must not be among them.
        reason: in words, for the report.
        report: counts what is left out.
    """
    kept = []
    for record in records:
        if record["patient_id"] in patients:
            report.leave_out(record["id"], reason)
        else:
            kept.append(record)
    return kept


def draw_patients(records: Sequence[Record], size: int, seed: int) -> set[str]:
    """Draw whole patients until they have so many images; where that takes all of them, a warning says so.

    Args:
        records: one an image.
        size: images.
        seed: of the draw; the same patients with the same seed give the same draw, in whatever order they come.

    Example:
        >>> records = [{"patient_id": f"p{number // 2}"} for number in range(10)]
        >>> len(draw_patients(records, 3, 0))
        2
    """
    images = Counter(record["patient_id"] for record in records)
    patients = sorted(images)
    chosen: set[str] = set()
    for index in np.random.default_rng(seed).permutation(len(patients)):
        if size <= 0:
            break
        chosen.add(patients[index])
        size -= images[patients[index]]
    if patients and len(chosen) == len(patients):
        logger.warning("validation takes all of %d images, and leaves none for training: ask for fewer", len(records))
    return chosen
