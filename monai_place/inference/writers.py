"""Results as files: CSV, JSON and pictures of evidence. Not a medical device."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import numpy as np
import numpy.typing as npt

from monai_place.atomic import write_bytes_atomic, write_json_atomic, write_text_atomic
from monai_place.inference.results import Classification, GroundedSentence

__all__ = ["NOTE", "file_stem", "guard_cell", "write_findings_csv", "write_findings_json", "write_overlays"]

NOTE = "Not a medical device. For research only; probabilities are not calibrated."
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")
STEM_LENGTH = 60

Picture = npt.NDArray[np.uint8]


def guard_cell(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula: a quote is put before `=`, `+`, `-` and `@`.

    Example:
        >>> guard_cell("=HYPERLINK(0)"), guard_cell("nodule")
        ("'=HYPERLINK(0)", 'nodule')
    """
    return "'" + text if text.lstrip(" ").startswith(FORMULA_STARTS) else text


def file_stem(source: str) -> str:
    """Return a file name, without suffix, for what belongs to `source`: readable, portable, and its own.

    It is made of the source's name and of a hash of its whole path, so that `a/1.png` and `b/1.png` differ.

    Args:
        source: as in the results; never a tag of a DICOM file.
    """
    readable = re.sub(r"[^A-Za-z0-9_-]+", "_", PurePath(source).name.split(".")[0]).strip("_")[:STEM_LENGTH]
    return f"{readable or 'image'}-{hashlib.sha256(source.encode()).hexdigest()[:8]}"


def write_findings_csv(path: str | os.PathLike[str], classification: Classification) -> Path:
    """Write one row an image: `source`, a probability for each finding, and `error` for images that failed.

    Args:
        path: file to write.
        classification: the results.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow([guard_cell(cell) for cell in ("source", *classification.findings, "error")])
    rows: list[tuple[int, list[str]]] = [
        (
            result.index,
            [guard_cell(result.source), *(f"{result.probabilities[name]:.6f}" for name in classification.findings), ""],
        )
        for result in classification.results
    ]
    blank = [""] * len(classification.findings)
    rows += [
        (failure.index, [guard_cell(failure.source), *blank, guard_cell(failure.reason)])
        for failure in classification.failed
    ]
    writer.writerows(row for _, row in sorted(rows, key=lambda entry: entry[0]))
    write_text_atomic(path, buffer.getvalue())
    return Path(path)


def write_findings_json(
    path: str | os.PathLike[str], classification: Classification, *, model: Mapping[str, Any] | None = None
) -> Path:
    """Write probabilities, scores and failures, with the note that this is no medical device.

    Args:
        path: file to write.
        classification: the results.
        model: what is known of the model, such as its metadata; plain JSON values.
    """
    write_json_atomic(
        path,
        {
            "note": NOTE,
            "model": dict(model or {}),
            "mode": classification.mode,
            "findings": list(classification.findings),
            "results": [
                {"source": result.source, "probabilities": result.probabilities, "scores": result.scores}
                for result in classification.results
            ],
            "failed": [{"source": failure.source, "reason": failure.reason} for failure in classification.failed],
        },
    )
    return Path(path)


def write_overlays(
    folder: str | os.PathLike[str],
    image: npt.NDArray[np.floating],
    grounded: Sequence[GroundedSentence],
    *,
    render: Callable[[npt.NDArray[np.floating], npt.NDArray[np.float32]], Picture] | None = None,
) -> list[Path]:
    """Write one PNG a sentence, in the image's own size.

    Args:
        folder: made where it is missing.
        image: (H, W) in [0, 1], as read from the file.
        grounded: the sentences of this image.
        render: lays evidence over the image and returns (H, W, 3), uint8; None takes a plain one.
            `monai_place.visualize.overlay_heat` fits.

    Returns:
        The files; their names tell the image's source and the number of the sentence, never its text.

    Raises:
        ValueError: the evidence has another size than the image.
    """
    from PIL import Image

    files = []
    for number, entry in enumerate(grounded):
        if entry.evidence.shape != image.shape:
            raise ValueError(f"evidence {entry.evidence.shape} must have the size of its image, {image.shape}")
        picture = (render or _plain_overlay)(image, entry.evidence)
        buffer = io.BytesIO()
        Image.fromarray(picture).save(buffer, format="PNG")
        files.append(Path(folder) / f"{file_stem(entry.source)}-{number:02d}.png")
        write_bytes_atomic(files[-1], buffer.getvalue())
    return files


def _plain_overlay(image: npt.NDArray[np.floating], evidence: npt.NDArray[np.float32]) -> Picture:
    """Blend the upper half of the evidence's range over the image in orange; darken where there is no answer."""
    known = np.isfinite(evidence)
    low, high = (float(evidence[known].min()), float(evidence[known].max())) if known.any() else (0.0, 0.0)
    share = (
        np.clip((np.where(known, evidence, low) - low) / (high - low), 0, 1) if high > low else np.zeros(image.shape)
    )
    opacity = 0.7 * np.clip(2 * share - 1, 0, 1)[..., None]  # (H, W, 1)
    gray = np.clip(image, 0, 1)[..., None] * np.where(known, 1.0, 0.4)[..., None]
    blended = gray * (1 - opacity) + np.array([1.0, 0.6, 0.1]) * opacity
    picture: Picture = (blended * 255).round().astype(np.uint8)
    return picture
