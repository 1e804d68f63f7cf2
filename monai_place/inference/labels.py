"""Labels of records as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

__all__ = ["label_table"]


def label_table(records: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> torch.Tensor:
    """Return the labels of B records as (B, C) of 0, 1, NaN; a record without labels has NaN only.

    Args:
        records: from `monai_place.data.load_records`.
        classes: names of the entries of `label`.

    Raises:
        ValueError: a record has another number of labels.

    Example:
        >>> label_table([{"label": [1, None]}, {"id": "b"}], ["nodule", "edema"])
        tensor([[1., nan],
                [nan, nan]])
    """
    rows = []
    for index, record in enumerate(records):
        label = record.get("label")
        if label is None:
            label = [None] * len(classes)
        if len(label) != len(classes):
            raise ValueError(
                f"record {record.get('id', index)!r} has {len(label)} labels, there are {len(classes)} classes; "
                "pass the classes of its datalist"
            )
        rows.append([float("nan") if value is None else float(value) for value in label])
    return torch.tensor(rows, dtype=torch.float32).reshape(len(records), len(classes))
