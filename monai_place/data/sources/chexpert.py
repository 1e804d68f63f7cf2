"""CheXpert: 224,316 chest radiographs of 65,240 patients of Stanford Hospital, labelled from their reports.

Get it from the Stanford AIMI centre (its data portal, "CheXpert: Chest X-rays") after accepting the Stanford University
School of Medicine CheXpert Dataset Research Use Agreement. Read are the small and the full version, as the archives
unpack, with the folder itself or the folder above it as the source::

    CheXpert-v1.0-small/ or CheXpert-v1.0/         the source, or below it
      train.csv  valid.csv                         Path, Sex, Age, Frontal/Lateral, AP/PA and 14 labels
      train/patient00001/study1/view1_frontal.jpg
      valid/patient64541/study1/view1_frontal.jpg
      test.csv or test_labels.csv, test/           where you have them (mode `official` needs them)

or the full version's archives side by side, not merged: `CheXpert-v1.0 batch 1 (validate & csv)/{train.csv,valid.csv,
valid/}`, `CheXpert-v1.0 batch 2 (train 1)/patient00001/...`, `batch 3 (train 2)`, `batch 4 (train 3)`. The prefix of
the column `Path` (`CheXpert-v1.0-small/`, `CheXpert-v1.0/` or none) does not matter; ages and sexes are not read.

Expected: 223,414 rows in train.csv, 234 in valid.csv (202 frontal), 668 in the test table.

- Records: one an image. `id` is `patient00001_study1_view1_frontal`, `study_id` and `patient_id` its parts; `view` is
  AP, PA or what `AP/PA` says, and Lateral. Option `views`: `["Frontal"]` by default.
- `label`: the 5 tasks of the competition (`classes=competition`), all 14 (`all`) or a list of names; options
  `uncertain` (`per-class` by default, which is MGCA's) and `blank` (`zero`), see below.
- Splits, option `mode`:
  `clean`: train.csv without the 5x200 images and without all other images of their patients; of the rest whole
  patients, drawn by `seed`, with at least `validation_size` (5,000) images become validation; valid.csv is the test.
  `mgca`: as MGCA published it: train.csv without the 5x200 images alone; 5,000 rows (any view) drawn for validation
  with seed 0 — but taken out of training by their position in place of their row number, so that most of them go on
  training: the note "images in several splits" counts them, their ids are followed by `#` and the split,
  and `verify` names each by a fault of `patient_id`. valid.csv is the test.
  `official`: the publisher's own three: train.csv (without 5x200, see next), valid.csv, the test table.
- 5x200 (see `monai_place.data.sources.chexpert_5x200`): `part=5x200` makes a datalist whose test split is the 1,000
  images; training leaves them out unless `exclude_5x200=false`. `samplings` are the seeds of the draws, `[0]` by
  default, which is the published one. PRIOR averages the draws `[0, 1, 2, 3, 4]`: train with all five left out, and
  prepare `part=5x200` five times.

Reference:
    Irvin et al.: CheXpert: A Large Chest Radiograph Dataset with Uncertainty Labels and Expert Comparison. AAAI 2019.
    Huang et al.: GLoRIA, ICCV 2021 (5x200). Wang et al.: MGCA, NeurIPS 2022 (splits and labels of `mgca`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from monai_place.data.sources.chexpert_5x200 import draw_5x200, drawn_by_any, exclusive_task
from monai_place.data.sources.chexpert_labels import CHEXPERT_CLASSES, LabelPolicy
from monai_place.data.sources.draft import PrepareReport, SourceDraft
from monai_place.data.sources.exclusion import draw_patients, leave_out_patients
from monai_place.data.sources.mgca import check_choice
from monai_place.data.sources.tables import check_counts as refuse_other_counts
from monai_place.data.sources.tables import find_file, read_table

__all__ = ["PATH", "read_chexpert"]

MODES = ("clean", "mgca", "official")
PARTS = ("train", "5x200")
COUNTS = {"train": ("rows of train.csv", 223_414), "valid": ("rows of valid.csv", 234), "test": ("rows of test", 668)}
TABLES = {"train": ("train.csv",), "valid": ("valid.csv",), "test": ("test.csv", "test_labels.csv")}
ROOTS = ("", "CheXpert-v1.0-small/", "CheXpert-v1.0/", "CheXpert-v1.0 batch 1 (validate & csv)/", "CheXpert/")
BATCHES = tuple(f"CheXpert-v1.0 batch {number} (train {number - 1})" for number in (2, 3, 4))
PATH = re.compile(
    r"(?:^|/)(?P<part>train|valid|test)/(?P<patient>patient\d+)/(?P<study>study\d+)/(?P<name>[\w-]+)\.\w+$"
)
MGCA_VALIDATION = 5_000

Record = dict[str, Any]


@dataclass(frozen=True)
class _Row:
    """A row of a table: its record, None where it is left out, and the task that is positive alone in a frontal one."""

    record: Record | None
    patient: str = ""
    task: str | None = None


def read_chexpert(
    source: Path,
    *,
    mode: str = "clean",
    part: str = "train",
    classes: str | Sequence[str] = "competition",
    uncertain: str = "per-class",
    blank: str = "zero",
    views: Sequence[str] = ("Frontal",),
    exclude_5x200: bool = True,
    samplings: Sequence[int] = (0,),
    validation_size: int = 5_000,
    seed: int = 0,
    check_counts: bool = True,
    report: PrepareReport,
) -> SourceDraft:
    """Read CheXpert's tables.

    Args:
        source: the folder of the set, or the one above it.
        mode: `clean`, `mgca` or `official`: how the splits come about.
        part: `train` for the splits, `5x200` for a datalist of the 1,000 images alone.
        classes: `competition`, `all` or names.
        uncertain: what -1 becomes: `ones`, `zeros`, `ignore` or `per-class`.
        blank: what a blank becomes: `zero` or `ignore`.
        views: of `Frontal` and `Lateral`.
        exclude_5x200: leave the 5x200 images out of training.
        samplings: seeds of the 5x200 draws; one for `part=5x200`.
        validation_size: images of the clean validation split, or a few more, since patients stay whole.
        seed: of the clean validation split.
        check_counts: refuse tables of other lengths than published.
        report: counts what is left out and why.

    Raises:
        FileNotFoundError: a table is missing.
        ValueError: a table is not as published, or an option is unknown.
    """
    check_choice("mode", mode, MODES)
    check_choice("part", part, PARTS)
    views = [views] if isinstance(views, str) else list(views)
    for view in views:
        check_choice("views", view, ("Frontal", "Lateral"))
    policy = LabelPolicy(classes, uncertain=uncertain, blank=blank)
    rows = {
        name: _read_rows(source, name, policy, views, report)
        for name in ("train", "valid", *(("test",) if mode == "official" else ()))
    }
    refuse_other_counts(
        "chexpert",
        {COUNTS[name][0]: COUNTS[name][1] for name in rows},
        {COUNTS[name][0]: len(found) for name, found in rows.items()},
        check=check_counts,
    )
    tasks = [row.task for row in rows["train"]]
    if part == "5x200":
        if len(samplings) != 1:
            raise ValueError(f"part=5x200 is one draw: samplings must hold one seed, got {list(samplings)}")
        drawn = draw_5x200(tasks, samplings[0])
        splits = {"test": _records([rows["train"][position] for position in drawn])}
    else:
        removed = drawn_by_any(tasks, samplings) if exclude_5x200 else set()
        splits = _split(rows, removed, mode, report, validation_size=validation_size, seed=seed)
    return SourceDraft(
        name="chexpert" if part == "train" else "chexpert-5x200",
        version="1.0",
        source="CheXpert, Stanford AIMI; Research Use Agreement, no redistribution",
        classes=list(policy.classes),
        splits=splits,
    )


def _read_rows(source: Path, part: str, policy: LabelPolicy, views: Sequence[str], report: PrepareReport) -> list[_Row]:
    table = find_file(source, *(f"{root}{name}" for root in ROOTS for name in TABLES[part]), what=f"the {part} table")
    folders = _Folders(source, table.parent)
    seen: set[str] = set()
    rows = []
    for row in read_table(table, ("Path", *CHEXPERT_CLASSES)):
        found = PATH.search(row["Path"])
        if found is None:
            report.leave_out(row["Path"].rsplit("/", 1)[-1], "path is not .../patient/study/view")
            rows.append(_Row(None))
            continue
        name = "_".join(found.group("patient", "study", "name"))
        frontal = (row.get("Frontal/Lateral") or found["name"].rsplit("_", 1)[-1]).lower() == "frontal"
        again, reason = name in seen, None
        if again:
            reason = "duplicate row"
        elif ("Frontal" if frontal else "Lateral") not in views:
            reason = f"view {'Frontal' if frontal else 'Lateral'!r} not asked for"
        seen.add(name)
        if reason:
            report.leave_out(name, reason)
        record = {
            "id": name,
            "image": folders.place(found),
            "patient_id": found["patient"],
            "study_id": f"{found['patient']}_{found['study']}",
            "view": row.get("AP/PA") or ("Frontal" if frontal else "Lateral"),
            "label": policy.label(row, f"{table.name}: row {len(rows) + 1}"),
        }
        task = exclusive_task(row, f"{table.name}: row {len(rows) + 1}") if frontal and not again else None
        rows.append(_Row(None if reason else record, found["patient"], task))
    return rows


class _Folders:
    """Where the images of a part lie, relative to the source: merged, or in archives side by side."""

    def __init__(self, source: Path, base: Path) -> None:
        root = base.relative_to(source).as_posix()
        self.base = "" if root == "." else f"{root}/"
        self.merged = (base / "train").is_dir()
        above = base.parent if base != source else base
        batches = [above / name for name in BATCHES if (above / name).is_dir()] if not self.merged else []
        self.batch = {
            folder.name: batch.relative_to(source).as_posix() for batch in batches for folder in batch.glob("patient*")
        }

    def place(self, found: re.Match[str]) -> str:
        inside = f"{found['patient']}/{found['study']}/{found[0].rsplit('/', 1)[-1]}"
        if found["part"] == "train" and not self.merged and found["patient"] in self.batch:
            return f"{self.batch[found['patient']]}/{inside}"
        return f"{self.base}{found['part']}/{inside}"


def _split(
    rows: dict[str, list[_Row]],
    removed: set[int],
    mode: str,
    report: PrepareReport,
    *,
    validation_size: int,
    seed: int,
) -> dict[str, list[Record]]:
    train = rows["train"]
    for position in sorted(removed):
        if record := train[position].record:
            report.leave_out(record["id"], "drawn for 5x200")
    if mode == "mgca":
        training, validation = _split_as_mgca(train, removed, report)
        return {"training": training, "validation": validation, "test": _records(rows["valid"])}
    patients = {train[position].patient for position in removed}
    others = _records([row for position, row in enumerate(train) if position not in removed])
    kept = leave_out_patients(others, patients, "of a patient of 5x200", report)
    if mode == "official":
        return {"training": kept, "validation": _records(rows["valid"]), "test": _records(rows["test"])}
    chosen = draw_patients(kept, validation_size, seed)
    return {
        "training": [record for record in kept if record["patient_id"] not in chosen],
        "validation": [record for record in kept if record["patient_id"] in chosen],
        "test": _records(rows["valid"]),
    }


def _split_as_mgca(
    train: Sequence[_Row], removed: set[int], report: PrepareReport
) -> tuple[list[Record], list[Record]]:
    """Draw positions among the rows that are left, and take the rows with these NUMBERS out of training."""
    left = [number for number in range(len(train)) if number not in removed]
    size = min(MGCA_VALIDATION, len(left) // 2)  # the whole set has enough; a sample of it may not
    drawn = np.random.RandomState(0).choice(len(left), size=size, replace=False)
    numbers = {int(position) for position in drawn}
    validation = _records([train[left[position]] for position in drawn])
    training = _records([train[number] for number in left if number not in numbers])
    shared = {record["id"] for record in training} & {record["id"] for record in validation}
    report.notes["images in several splits"] += len(shared)
    return _marked(training, shared, "training"), _marked(validation, shared, "validation")


def _marked(records: Sequence[Record], shared: set[str], split: str) -> list[Record]:
    """Make the ids of records that are in two splits unique."""
    return [record | {"id": f"{record['id']}#{split}"} if record["id"] in shared else record for record in records]


def _records(rows: Sequence[_Row]) -> list[Record]:
    return [row.record for row in rows if row.record is not None]
