"""Rows of a training log, as this project's handlers or anyone else writes them, in one form for the curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Rows", "history_rows", "loss_terms_of", "points_of", "step_name", "validation_terms_of"]

Rows = Sequence[Mapping[str, float]]
FloatLine = npt.NDArray[np.float64]
VALIDATION = "val/"
_STEPS = ("iteration", "epoch")
_TERMS = ("loss", "ita", "pcma", "cce")
_NO_TERMS = {*_STEPS, "lr", "studies_per_s", "seconds", "seconds_left", "time", "time_left"}


def history_rows(history: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """Bring the rows of a log into one form: numbers only, what the validation measured under `val/`.

    A row is of the validation by `"kind": "validation"`, or key by key by `val/` or `val_` in front. `val_loss_ita` is
    the validation's `ita`. Where there are learning rates by group only (`lr/..`), the greatest is the learning rate.
    What is no number is left out, NaN stays; so are the rows of studies that were skipped.

    Args:
        history: rows of the log, in order.

    Example:
        >>> history_rows([{"kind": "validation", "epoch": 1, "val_loss": 3.0, "pcma_gap": 1.5, "cce": None}])
        [{'epoch': 1.0, 'val/loss': 3.0, 'val/pcma_gap': 1.5}]
    """
    return [_plain(row) for row in history if row.get("kind") != "skipped"]


def _plain(row: Mapping[str, Any]) -> dict[str, float]:
    of_validation = row.get("kind") == "validation"
    plain: dict[str, float] = {}
    rates = []
    for name, value in row.items():
        if not isinstance(value, int | float) or isinstance(value, bool):
            continue
        if name.startswith("lr/"):
            rates.append(float(value))
        elif name.startswith(("val/", "val_")) or (of_validation and name not in _STEPS):
            bare = name.removeprefix("val/").removeprefix("val_")
            plain[VALIDATION + (bare.removeprefix("loss_") or bare)] = float(value)
        else:
            plain[name] = float(value)
    if rates and "lr" not in plain:
        plain["lr"] = max(rates)
    return plain


def loss_terms_of(rows: Rows) -> list[str]:
    """Name what was logged while training: the loss and its parts first, then what else is not zero throughout.

    Args:
        rows: of `history_rows`.

    Example:
        >>> loss_terms_of([{"iteration": 1, "pcma": 2.0, "loss": 3.0, "lr": 0.1, "skipped_steps": 0.0}])
        ['loss', 'pcma']
    """
    found = [name for row in rows for name in row if name not in _NO_TERMS and not name.startswith(VALIDATION)]
    return [name for name in dict.fromkeys([*_TERMS, *found]) if np.nan_to_num(points_of(rows, name)[1]).any()]


def validation_terms_of(rows: Rows) -> list[str]:
    """Name what the validation measured, other than terms of the loss that was trained.

    Args:
        rows: of `history_rows`.
    """
    names = dict.fromkeys(name.removeprefix(VALIDATION) for row in rows for name in row if name.startswith(VALIDATION))
    terms = loss_terms_of(rows)
    return [n for n in names if n not in terms and np.isfinite(points_of(rows, VALIDATION + n)[1]).any()]


def points_of(rows: Rows, name: str) -> tuple[FloatLine, FloatLine]:
    """Return at which steps `name` is what; NaN and infinities are NaN: gaps of the line.

    Args:
        rows: of `history_rows`.
        name: key of the number.
    """
    step = step_name(rows)
    found = [(row.get(step, math.nan) if step else at, row[name]) for at, row in enumerate(rows) if name in row]
    points = np.array(found, dtype=np.float64).reshape(-1, 2)
    points[np.isinf(points)] = np.nan
    return points[:, 0], points[:, 1]


def step_name(rows: Rows) -> str:
    """Name the key that counts the steps of a run; nothing where there is none, and rows are counted.

    Args:
        rows: of `history_rows`.
    """
    return next((name for name in _STEPS if any(name in row for row in rows)), "")
