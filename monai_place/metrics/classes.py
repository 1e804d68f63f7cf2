"""Class labels in one form: a column a class, of 0, 1 and NaN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

__all__ = ["class_columns", "class_names"]


def class_columns(
    first: torch.Tensor | Sequence[Any],
    second: torch.Tensor | Sequence[Any],
    *,
    rows: tuple[int, int],
    classes: int | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return two sets of labels as columns (rows, C) of 0, 1 and NaN.

    Args:
        first: class numbers (rows,) from 0, negative where not known; or (rows, C) of 0, 1, NaN.
        second: in the same form.
        rows: rows expected of each.
        classes: C; None takes it from the labels.

    Raises:
        ValueError: forms or lengths do not fit, or a number is another.

    Example:
        >>> class_columns([0, 1], [1, -1], rows=(2, 2))[1].tolist()
        [[0.0, 1.0], [nan, nan]]
    """
    tensors = [torch.as_tensor(labels).detach().to("cpu", torch.float64) for labels in (first, second)]
    for labels, expected in zip(tensors, rows, strict=True):
        if labels.ndim not in {1, 2} or len(labels) != expected or labels.ndim != tensors[0].ndim:
            raise ValueError(f"labels must be ({expected},) or ({expected}, C), got {tuple(labels.shape)}")
    if tensors[0].ndim == 1:
        largest = int(max((labels.max().item() for labels in tensors if len(labels)), default=-1))
        columns = max(largest + 1, 0) if classes is None else classes
        if largest >= columns:
            raise ValueError(f"labels must be class numbers below {columns}, got {largest}")
        tensors = [_one_hot(labels, columns) for labels in tensors]
    widths = {labels.shape[1] for labels in tensors}
    if len(widths) > 1 or (classes is not None and widths != {classes}):
        raise ValueError(f"labels must have {classes or 'one number of'} classes, got {sorted(widths)}")
    for labels in tensors:
        if not ((labels == 0) | (labels == 1) | labels.isnan()).all():
            raise ValueError("labels (rows, C) must be 0, 1 or NaN")
    return tensors[0], tensors[1]


def class_names(classes: Sequence[str] | None, number: int) -> list[str]:
    """Return the names of the classes, or their numbers as text.

    Raises:
        ValueError: there is another number of names, or a name occurs twice.
    """
    names = [str(index) for index in range(number)] if classes is None else [str(name) for name in classes]
    if len(names) != number or len(set(names)) != number:
        raise ValueError(f"classes must be {number} different names, got {names}")
    return names


def _one_hot(numbers: torch.Tensor, classes: int) -> torch.Tensor:
    if not (numbers == numbers.round()).all():
        raise ValueError("class numbers (rows,) must be whole; labels of 0, 1, NaN have the shape (rows, C)")
    columns = (numbers[:, None] == torch.arange(classes)).double()
    return columns.masked_fill(numbers[:, None] < 0, float("nan"))
