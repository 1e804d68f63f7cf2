from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest


def test_splits_and_lists_are_written_and_the_datalist_is_sound(datalist: Path, call: Any, tmp_path: Path) -> None:
    done = call("split", datalist, tmp_path / "out", "--label-fractions", "0.1,0.5", "--label-seeds", "0,1")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1] == str(tmp_path / "out" / "datalist.json")
    assert {path.name for path in (tmp_path / "out").glob("*.txt")} == {
        "training.txt", "validation.txt", "test.txt",
        *(f"training_{share}pct_seed{seed}.txt" for share in (10, 50) for seed in (0, 1)),
    }  # fmt: skip
    assert call("verify", tmp_path / "out" / "datalist.json").code == 0


def test_own_splits_are_kept_where_asked_for(datalist: Path, call: Any, tmp_path: Path) -> None:
    found = call("split", datalist, tmp_path / "out", "--keep", "--json").json()
    assert found["splits"] == {"training": 21, "validation": 3, "test": 6}
    assert found["lists"]["training_10pct_seed0.txt"] == 2


@pytest.mark.parametrize("words", [("--fractions", "a,b,c"), ("--seed", -1), ("--label-fractions", "1%")])
def test_what_is_no_number_is_bad_usage(words: Any, datalist: Path, call: Any, tmp_path: Path) -> None:
    assert call("split", datalist, tmp_path / "out", *words).code == 2
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--fractions", "0.5,0.5", "fractions must be 3 numbers of at least 0 that sum to 1, got [0.5, 0.5]"),
        ("--fractions", "0.5,0.1,0.1", "fractions must be 3 numbers"),
        ("--fractions", "nan,0.5,0.5", "fractions must be 3 numbers"),
        ("--label-fractions", "0.1,1.5", "expected shares above 0 and at most 1, got [0.1, 1.5]"),
        ("--label-fractions", "0", "expected shares above 0"),
        ("--label-seeds", "1.5", "expected whole numbers of 0 or more, got [1.5]"),
        ("--label-seeds", "inf", "expected whole numbers of 0 or more"),
    ],
)
def test_what_can_be_no_split_is_bad_usage(
    datalist: Path, call: Any, tmp_path: Path, option: str, value: str, message: str
) -> None:
    done = call("split", datalist, tmp_path / "out", option, value)
    assert done.code == 2
    assert message in " ".join(done.err.replace("\u2502", " ").split())
    assert option in done.err
    assert not (tmp_path / "out").exists()
