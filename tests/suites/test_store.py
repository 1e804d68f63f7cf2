from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from monai_place.suites.store import CellResult, CellStore

RESULT = CellResult(
    {"auroc": 0.75, "ece": None},
    {"scores": np.array([[0.1], [0.9]]), "labels": np.array([[0.0], [1.0]])},
    ("a", "b"),
    1.5,
)


def test_a_cell_comes_back_as_it_was(tmp_path: Path) -> None:
    store = CellStore(tmp_path)
    assert "k" not in store
    store.save("k", RESULT, about={"task": "probe"})
    assert "k" in store
    found = CellStore(tmp_path).load("k")
    assert (found.metrics, found.ids, found.seconds, found.note) == (RESULT.metrics, RESULT.ids, 1.5, "")
    np.testing.assert_array_equal(found.studies["scores"], RESULT.studies["scores"])


def test_arrays_without_their_head_are_no_cell(tmp_path: Path) -> None:
    store = CellStore(tmp_path)
    store.save("k", RESULT, about={})
    (tmp_path / "k.json").unlink()
    assert "k" not in store


@pytest.mark.parametrize("damage", ["cut head", "no arrays", "cut arrays", "other length"])
def test_a_damaged_cell_is_named_with_the_way_out(tmp_path: Path, damage: str) -> None:
    store = CellStore(tmp_path)
    store.save("k", RESULT, about={})
    if damage == "cut head":
        (tmp_path / "k.json").write_text('{"metrics": ')
    elif damage == "no arrays":
        (tmp_path / "k.npz").unlink()
    elif damage == "cut arrays":
        (tmp_path / "k.npz").write_bytes(b"PK")
    else:
        store.save("k", CellResult({}, {"scores": np.zeros((3, 1))}, ("a", "b")), about={})
    with pytest.raises(ValueError, match=r"k\.json: a damaged result .*remove it to measure it anew"):
        store.load("k")


def test_pickled_arrays_are_refused(tmp_path: Path) -> None:
    store = CellStore(tmp_path)
    store.save("k", RESULT, about={})
    np.savez(tmp_path / "k.npz", scores=np.array([{"a": 1}, {}], dtype=object))
    with pytest.raises(ValueError, match="damaged result"):
        store.load("k")
