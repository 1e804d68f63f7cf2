"""The contract of a transform or a reader, as a test: what a team's own must do to stand beside ours.

`monai-place check-transform module:Class` runs it; `check_transform` does in a test of one's own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from monai.data import ImageReader

from monai_place.transforms.contract.chance_checks import check_replay, check_seed, check_speed, check_worker
from monai_place.transforms.contract.place_checks import check_affine, check_boxes, check_inverse, check_masks
from monai_place.transforms.contract.reader_checks import READER_CHECKS
from monai_place.transforms.contract.record_checks import (
    check_constant,
    check_input,
    check_keys,
    check_missing,
    check_runs,
    check_shape,
    check_values,
)
from monai_place.transforms.contract.report import Check, ContractReport, run_check
from monai_place.transforms.contract.sample import IMAGE
from monai_place.transforms.contract.subject import Subject, find_object

__all__ = ["Check", "ContractReport", "check_transform", "find_object"]

TRANSFORM_CHECKS: dict[str, Callable[[Subject], str]] = {
    "keys": check_keys,
    "input": check_input,
    "missing": check_missing,
    "values": check_values,
    "shape": check_shape,
    "constant": check_constant,
    "affine": check_affine,
    "masks": check_masks,
    "boxes": check_boxes,
    "seed": check_seed,
    "replay": check_replay,
    "inverse": check_inverse,
    "worker": check_worker,
    "speed": check_speed,
}
SLOW = ("worker",)  # a new process imports everything


def check_transform(
    transform: Callable[..., Any] | str,
    *,
    arguments: Mapping[str, Any] | None = None,
    keys: Sequence[str] = (IMAGE,),
    sample: str | os.PathLike[str] | None = None,
    worker: bool = True,
) -> ContractReport:
    """Test a dictionary transform, or an `ImageReader`, against the contract of this package.

    Args:
        transform: the class, or its name as `module:Class`.
        arguments: of the class, as in a bundle's JSON.
        keys: of the record that it works on. `image` is a picture with a dot, `mask` and `boxes` mark it, `report` and
            `sentence_texts` speak of it.
        sample: a file to read, for a reader of one's own format or a transform that loads. A reader is given a PNG
            without.
        worker: send it to a spawned process too, which takes some seconds.

    Returns:
        One entry a check; `report.require()` raises where one failed.

    Raises:
        ImportError: there is no such class.

    Example:
        >>> from monai.transforms import Flipd
        >>> report = check_transform(Flipd, arguments={"spatial_axis": 1}, worker=False)
        >>> [check.name for check in report.failed]
        []
        >>> print(report["affine"].message)
        pixels move, and the affine says where: masks, boxes and maps follow
    """
    kind = find_object(transform) if isinstance(transform, str) else transform
    path = None if sample is None else os.fspath(sample)
    subject = Subject(kind, tuple(keys), dict(arguments or {}), path)
    made = run_check("made", lambda: f"{type(subject.make()).__name__} is made")
    if made.status == "fail":
        return ContractReport(subject.name, (made,))
    skipped = () if worker else SLOW
    if isinstance(subject.make(), ImageReader):
        return ContractReport(subject.name, (made, *_run(subject, READER_CHECKS, skipped)))
    runs = run_check("runs", lambda: check_runs(subject))
    if runs.status == "fail":
        return ContractReport(subject.name, (made, runs))
    return ContractReport(subject.name, (made, runs, *_run(subject, TRANSFORM_CHECKS, skipped)))


def _run(subject: Subject, checks: Mapping[str, Callable[[Subject], str]], skipped: Sequence[str]) -> list[Check]:
    return [run_check(name, partial(check, subject)) for name, check in checks.items() if name not in skipped]
