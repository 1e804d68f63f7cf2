from __future__ import annotations

import os
from pathlib import Path

import pytest

from monai_place.data.journal import FileJournal, file_stamp


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "new" / "journal.jsonl"
    with FileJournal(path, {"side": 8}) as journal:
        journal.add("a", {"stamp": "1", "size": [2, 3]})
        journal.add("b", {"stamp": "2", "size": [4, 5]})
        journal.add("a", {"stamp": "3", "size": [2, 3]})
    return path


def test_entries_come_back_and_the_last_of_a_file_counts(path: Path) -> None:
    assert FileJournal(path, {"side": 8}).entries == {
        "a": {"stamp": "3", "size": [2, 3]},
        "b": {"stamp": "2", "size": [4, 5]},
    }


def test_entries_of_other_settings_are_forgotten(path: Path) -> None:
    with FileJournal(path, {"side": 16}) as journal:
        assert journal.entries == {}
        journal.add("c", {"stamp": "1"})
    assert FileJournal(path, {"side": 8}).entries == {}
    assert FileJournal(path, {"side": 16}).entries == {"c": {"stamp": "1"}}


def test_every_cut_leaves_the_lines_before_it(path: Path) -> None:
    whole = path.read_bytes()
    for length in range(len(whole) + 1):
        path.write_bytes(whole[:length])
        lines = whole[:length].count(b"\n")
        expected = {0: [], 1: [], 2: ["a"], 3: ["a", "b"], 4: ["a", "b"]}[lines]
        with FileJournal(path, {"side": 8}) as journal:
            assert sorted(journal.entries) == expected
            journal.add("z", {"stamp": "9"})
        assert sorted(FileJournal(path, {"side": 8}).entries) == [*expected, "z"]


def test_an_entry_is_on_its_way_to_the_disk_before_the_end(path: Path) -> None:
    with FileJournal(path, {"side": 8}) as journal:
        journal.add("c", {"stamp": "7"})
        assert FileJournal(path, {"side": 8}).entries["c"] == {"stamp": "7"}


def test_what_is_known_is_not_written_twice(path: Path) -> None:
    before = path.read_bytes()
    with FileJournal(path, {"side": 8}) as journal:
        journal.add("b", {"stamp": "2", "size": [4, 5]})
    assert path.read_bytes() == before


def test_writing_outside_the_block_is_a_mistake_of_ours(path: Path) -> None:
    with pytest.raises(RuntimeError, match="with block"):
        FileJournal(path, {"side": 8}).add("c", {})


def test_a_stamp_tells_size_time_and_beginning(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"abc")
    os.utime(path, ns=(0, 10**9))
    first = file_stamp(path)
    os.utime(path, ns=(0, 2 * 10**9))
    assert file_stamp(path) != first
    path.write_bytes(b"abd")
    os.utime(path, ns=(0, 10**9))
    assert file_stamp(path) != first
    path.write_bytes(b"abc")
    os.utime(path, ns=(0, 10**9))
    assert file_stamp(path) == first
