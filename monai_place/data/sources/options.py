"""Options of a data set as a user gives them, held against the annotations of the function that takes them."""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

__all__ = ["check_option_types"]

KINDS: dict[type, tuple[tuple[type, ...], str]] = {
    bool: ((bool, np.bool_), "true or false"),
    int: ((int, np.integer), "a whole number"),
    float: ((int, float, np.integer, np.floating), "a number"),
}


def check_option_types(function: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Refuse switches that are neither true nor false, and numbers that are none: any text would be taken as true.

    Args:
        function: that takes the options; only those annotated as a switch or a number, or None, are looked at.
        options: by name.

    Raises:
        ValueError: an option is of another type; the message names it, its value, and what it must be.

    Example:
        >>> def read(*, balance: bool | None = None, seed: int = 0) -> None: ...
        >>> check_option_types(read, {"balance": None, "seed": 3})
    """
    hints = typing.get_type_hints(function)
    for name, value in options.items():
        is_union = typing.get_origin(hints[name]) in (types.UnionType, typing.Union)
        allowed = typing.get_args(hints[name]) if is_union else (hints[name],)
        kind = next((kind for kind in allowed if kind in KINDS), None)
        if kind is None or (value is None and type(None) in allowed):
            continue
        wanted, words = KINDS[kind]
        if not isinstance(value, wanted) or (isinstance(value, bool) and kind is not bool):
            raise ValueError(f"option {name!r} must be {words}, got {value!r:.40}")
