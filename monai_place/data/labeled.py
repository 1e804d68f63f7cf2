"""Records for classification: what is asked of them, which share of them is learnt from, and labels to match."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from monai_place.data.datalist import load_records, read_datalist
from monai_place.data.id_lists import read_ids
from monai_place.data.splits import draw_fraction

__all__ = ["TaskKind", "load_labeled_records", "task_classes"]

logger = logging.getLogger(__name__)

TaskKind = Literal["multilabel", "multiclass", "binary"]


def task_classes(
    datalist: str | os.PathLike[str], *, task: TaskKind = "multilabel", target_class: str | None = None
) -> list[str]:
    """Return the classes that a task tells apart.

    Args:
        datalist: the JSON file.
        task: `multilabel`: each class of the datalist by itself; `multiclass`: one of them is true of a study;
            `binary`: one class against the rest.
        target_class: that of `binary`; None where the datalist has one class only.

    Raises:
        ValueError: the task is unknown, there is no such class, or there are too few for `multiclass`.
    """
    classes, name = read_datalist(datalist).classes, Path(datalist).name
    if task not in get_args(TaskKind):
        raise ValueError(f"task is {task!r}, expected one of {get_args(TaskKind)}")
    if target_class is not None and task != "binary":
        raise ValueError(f"target_class is {target_class!r}, which only task 'binary' has; task is {task!r}")
    if not classes:
        raise ValueError(f"{name}: has no classes; a classification needs labels")
    if task == "multiclass" and len(classes) < 2:
        raise ValueError(f"{name}: has the class {classes[0]!r} alone; task 'multiclass' needs two or more")
    if task != "binary":
        return list(classes)
    if target_class is None and len(classes) > 1:
        raise ValueError(f"{name}: has the classes {classes}; task 'binary' needs target_class, one of them")
    if target_class is not None and target_class not in classes:
        raise ValueError(f"{name}: has no class {target_class!r}; known: {classes}")
    return [target_class or classes[0]]


def load_labeled_records(
    path: str | os.PathLike[str],
    split: str,
    *,
    task: TaskKind = "multilabel",
    target_class: str | None = None,
    fraction: float = 1.0,
    seed: int = 0,
    ids: str | os.PathLike[str] | Sequence[str] | None = None,
    limit: int | None = None,
    required: bool = True,
) -> list[dict[str, Any]]:
    """Return the records of a split that have a label, in the datalist's order, with `label` as the task wants it.

    Records without any known label are left out, and their number is logged; so are, of `multiclass`, those of which
    an entry is not known.

    Args:
        path: the datalist.
        split: `training`, `validation` or `test`.
        task: see `task_classes`.
        target_class: see `task_classes`.
        fraction: the share of the labeled records that is taken, by id: a smaller one lies inside a larger one.
        seed: of the draw.
        ids: the ids to take, or a file of them (one a line, or a JSON list); `fraction` is drawn from what is left.
        limit: look at the first so many records only.
        required: False returns nothing where there is nothing, such as of a datalist without a test split.

    Raises:
        ValueError: a label does not fit the classes or the task, an id is not in the split, or nothing is left.
    """
    name = Path(path).name
    wanted = task_classes(path, task=task, target_class=target_class)
    classes = read_datalist(path).classes
    records = load_records(path, split, limit=limit)
    labeled = [(record, _label(record, classes, wanted, task, f"{name}: {split}")) for record in records]
    kept = [record | {"label": label} for record, label in labeled if label is not None]
    if lacking := len(records) - len(kept):
        logger.info(
            "%s: %d of %d records of split %r have no known label: left out", name, lacking, len(records), split
        )
    if ids is not None:
        kept = _take(kept, read_ids(ids) if isinstance(ids, (str, os.PathLike)) else list(ids), f"{name}: {split}")
    if not kept and not required:
        return []
    if not kept:
        raise ValueError(f"{name}: split {split!r} has no record with a label for task {task!r}")
    if fraction != 1:
        drawn = draw_fraction((record["id"] for record in kept), fraction, seed=seed)
        kept = [record for record in kept if record["id"] in drawn]
    return kept


def _label(
    record: Mapping[str, Any], classes: Sequence[str], wanted: Sequence[str], task: TaskKind, where: str
) -> list[int | None] | None:
    """Return a record's label for the task, None where nothing is known."""
    label = record.get("label")
    if label is None:
        return None
    where = f"{where}: record {record.get('id')!r}"
    if len(label) != len(classes):
        raise ValueError(f"{where} has {len(label)} labels, there are {len(classes)} classes")
    if wrong := [value for value in label if value not in (0, 1, None)]:
        raise ValueError(f"{where}: key 'label' holds {wrong[0]!r}, expected 0, 1 or null")
    chosen = [label[classes.index(name)] for name in wanted]
    if all(value is None for value in chosen):
        return None
    if task == "multiclass":
        if None in chosen:
            return None
        if sum(chosen) != 1:
            raise ValueError(f"{where}: {sum(chosen)} labels are 1; a record of task 'multiclass' has exactly one")
    return chosen


def _take(records: Sequence[dict[str, Any]], ids: Sequence[str], where: str) -> list[dict[str, Any]]:
    known, wanted = {record["id"] for record in records}, set(ids)
    if strange := sorted(wanted - known):
        raise ValueError(
            f"{where}: {len(strange)} of {len(wanted)} ids are of no labeled record, such as {strange[0]!r}"
        )
    return [record for record in records if record["id"] in wanted]
