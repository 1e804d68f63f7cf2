from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from monai_place.data.sources import prepare_source
from monai_place.data.sources.options import check_option_types


def read(
    *,
    balance: bool | None = None,
    keep: bool = False,
    seed: int = 0,
    share: float = 0.1,
    mode: str = "clean",
    views: Sequence[str] = (),
    samplings: Sequence[int] = (),
) -> None:
    """Stands for the function of a data set."""


@pytest.mark.parametrize(
    "options",
    [
        {"balance": None, "keep": True, "seed": -1, "share": 1},
        {"balance": False, "share": 0.5, "mode": 5, "views": "PA", "samplings": [1, 2]},
    ],
)
def test_options_of_their_type_pass_and_others_than_switches_and_numbers_are_not_looked_at(
    options: dict[str, Any],
) -> None:
    check_option_types(read, options)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("balance", "no", "true or false, got 'no'"),
        ("keep", 1, "true or false, got 1"),
        ("keep", None, "true or false, got None"),
        ("seed", 1.5, "a whole number, got 1.5"),
        ("seed", True, "a whole number, got True"),
        ("share", "0,1", "a number, got '0,1'"),
    ],
)
def test_another_type_is_refused_with_the_name_and_the_value(name: str, value: object, words: str) -> None:
    with pytest.raises(ValueError, match=re.escape(f"option {name!r} must be {words}")):
        check_option_types(read, {name: value})


@pytest.mark.parametrize(
    ("source", "option", "value"),
    [("siim", "balance", "no"), ("nih-cxr14", "validation", "x"), ("vindr-cxr", "min_readers", 1.5)],
)
def test_a_data_set_is_not_read_with_an_option_of_another_type(
    tmp_path: Path, source: str, option: str, value: Any
) -> None:
    with pytest.raises(ValueError, match=f"option {option!r} must be"):
        prepare_source(source, tmp_path / "source", tmp_path / "out", **{option: value})
