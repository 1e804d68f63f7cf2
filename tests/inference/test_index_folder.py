"""The folder of an index: appended to, merged, killed at each step, written by two, and of the first format."""

from __future__ import annotations

import json
import logging
import signal
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from monai_place.inference import EmbeddingIndex, index_folder
from monai_place.inference.index_folder import IndexLockedError
from monai_place.weights import WeightsError
from tests.support.indices import append_ten, embedding_of, entries, hold_lock, killed_append
from tests.support.processes import start


def assert_whole(folder: Path) -> list[int]:
    """Check every entry of an index, and return the numbers of its studies."""
    index = EmbeddingIndex.load(folder)
    index.verify()
    expected = torch.nn.functional.normalize(torch.stack([embedding_of(text) for text in index.ids]), dim=1)
    assert torch.allclose(index.embeddings, expected, atol=1e-6)
    return [int(text.rpartition(" ")[2]) for text in index.ids]


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".index.lock")


def test_each_append_adds_one_file_and_leaves_the_others_alone(tmp_path: Path) -> None:
    entries(0, 5).append_to(tmp_path)
    first = {name: (tmp_path / name).stat().st_ino for name in files(tmp_path) if name.startswith("segment-")}
    assert len(entries(5, 9).append_to(tmp_path)) == 9
    second = {name: (tmp_path / name).stat().st_ino for name in files(tmp_path) if name.startswith("segment-")}
    assert len(second) == 2
    assert first.items() < second.items()
    assert assert_whole(tmp_path) == list(range(9))


def test_a_file_in_the_place_of_the_folder_is_named_and_stays(tmp_path: Path) -> None:
    (tmp_path / "index").write_text("notes")
    with pytest.raises(NotADirectoryError, match=r"^'index' is a file; a folder is expected"):
        entries(0, 5).append_to(tmp_path / "index")
    assert (tmp_path / "index").read_text() == "notes"


def test_many_small_appends_are_merged_and_keep_their_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_folder, "MAX_SEGMENTS", 6)
    sizes = []
    for number in range(40):
        entries(3 * number, 3 * number + 3).append_to(tmp_path)
        sizes.append(len(files(tmp_path)) - 1)
    assert sizes[:7] == [1, 2, 3, 4, 5, 6, 1]
    assert max(sizes) <= 6
    assert assert_whole(tmp_path) == list(range(120))


def test_a_large_segment_is_not_written_again_for_small_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_folder, "MAX_SEGMENTS", 6)
    entries(0, 500).append_to(tmp_path)
    large = next(tmp_path.glob("segment-*")).name
    for number in range(500, 506):
        entries(number, number + 1).append_to(tmp_path)
    assert large in files(tmp_path)
    assert len(files(tmp_path)) == 3
    assert assert_whole(tmp_path) == list(range(506))


def test_a_save_replaces_what_is_there_and_works_from_another_folder(tmp_path: Path) -> None:
    entries(0, 4).append_to(tmp_path / "a")
    entries(4, 8).append_to(tmp_path / "a")
    EmbeddingIndex.load(tmp_path / "a").save(tmp_path / "b")
    EmbeddingIndex.load(tmp_path / "a").save(tmp_path / "a")
    assert assert_whole(tmp_path / "a") == assert_whole(tmp_path / "b") == list(range(8))
    entries(0, 2).save(tmp_path / "a")
    assert assert_whole(tmp_path / "a") == [0, 1]
    assert len(files(tmp_path / "a")) == 2


def test_what_was_damaged_gets_no_new_check_sum_by_a_merge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_folder, "MAX_SEGMENTS", 1)
    entries(0, 4).append_to(tmp_path)
    segment = next(tmp_path.glob("segment-*"))
    data = bytearray(segment.read_bytes())
    data[-110] ^= 1  # among the embeddings, which come before ids and offsets
    segment.write_bytes(data)
    before = (tmp_path / "index.json").read_bytes()
    with pytest.raises(WeightsError, match=f"{segment.name}: corrupt"):
        entries(4, 8).append_to(tmp_path)
    assert (tmp_path / "index.json").read_bytes() == before


@pytest.mark.parametrize(
    ("other", "message"),
    [
        pytest.param({"kind": "reports"}, "is an index of images, reports cannot be added", id="kind"),
        pytest.param(
            {"model": "b" * 64}, "made by another model: fingerprint aaaaaaaaaaaa, this model's is bbbb", id="model"
        ),
    ],
)
def test_entries_of_another_kind_or_model_are_refused(tmp_path: Path, other: dict[str, str], message: str) -> None:
    entries(0, 3, model="a" * 64).append_to(tmp_path)
    with pytest.raises(ValueError, match=message):
        entries(3, 4, **({"model": "a" * 64} | other)).append_to(tmp_path)
    assert assert_whole(tmp_path) == [0, 1, 2]
    found = EmbeddingIndex.load(tmp_path)
    assert (found.kind, found.model) == ("images", "a" * 64)


def test_an_id_that_is_there_and_another_width_are_refused(tmp_path: Path) -> None:
    entries(0, 3).append_to(tmp_path)
    with pytest.raises(ValueError, match=r"1 of 4 ids are in .* already, such as 'study 2'"):
        entries(2, 6).append_to(tmp_path)
    with pytest.raises(ValueError, match=r"different widths, \[3, 6\]"):
        EmbeddingIndex(torch.ones(1, 3), ["new"]).append_to(tmp_path)
    assert len(files(tmp_path)) == 2


KILLS = [(0, True, False), (1, False, False), (1, True, False), (2, False, False), (2, True, True)]


@pytest.mark.parametrize("made_before", [True, False], ids=["an index is there", "a new folder"])
def test_a_process_that_is_killed_at_any_step_leaves_the_old_index_or_the_new_one(
    tmp_path: Path, made_before: bool
) -> None:
    processes = []
    for step, after, _ in KILLS:  # two renames: of the segment, and of the head
        folder = tmp_path / f"{step}-{after}"
        if made_before:
            entries(0, 5).append_to(folder)
        processes.append(start(killed_append, str(folder), step, after=after))
    for (step, after, added), process in zip(KILLS, processes, strict=True):
        process.join(120)
        assert process.exitcode == -signal.SIGKILL
        folder = tmp_path / f"{step}-{after}"
        old = list(range(5)) if made_before else []
        if old or added:
            assert assert_whole(folder) == old + ([5, 6, 7] if added else [])
        else:
            with pytest.raises(FileNotFoundError, match="holds no index"):
                EmbeddingIndex.load(folder)
        entries(8, 9).append_to(folder)  # and what the dead process left does not stay
        assert len(files(folder)) == 1 + bool(old) + added + 1
        assert assert_whole(folder)[-1] == 8


def test_two_processes_that_append_lose_nothing_and_a_reader_sees_whole_indices(tmp_path: Path) -> None:
    entries(100, 102).append_to(tmp_path)
    processes = [start(append_ten, str(tmp_path), begin) for begin in (0, 50)]
    while any(process.is_alive() for process in processes):
        assert assert_whole(tmp_path)[:2] == [100, 101]
    assert [process.exitcode for process in processes] == [0, 0]
    found = assert_whole(tmp_path)
    assert [number for number in found if number < 50] == list(range(10))
    assert [number for number in found if 50 <= number < 100] == list(range(50, 60))


def test_a_writer_that_waits_too_long_says_so_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries(0, 3).append_to(tmp_path)
    process = start(hold_lock, str(tmp_path))
    try:
        while not (tmp_path / "held").exists():
            assert process.is_alive()
            time.sleep(0.01)
        monkeypatch.setattr(index_folder, "LOCK_TIMEOUT_S", 0.1)
        with pytest.raises(IndexLockedError, match="another process is writing this index"):
            entries(3, 4).append_to(tmp_path)
        assert assert_whole(tmp_path) == [0, 1, 2]
    finally:
        process.kill()
        process.join()
    assert len(entries(3, 4).append_to(tmp_path)) == 4  # a dead process holds no lock


def write_first_format(folder: Path, index: EmbeddingIndex) -> None:
    """Write what version 0.1.0 wrote."""
    folder.mkdir(exist_ok=True)
    save_file({"embeddings": index.embeddings}, folder / "embeddings-0123.safetensors")
    head = {"format_version": 1, "file": "embeddings-0123.safetensors", "ids": list(index.ids)}
    (folder / "index.json").write_text(json.dumps(head))


def test_the_first_format_is_read_with_a_word_of_warning_and_appended_to(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_first_format(tmp_path, entries(0, 4))
    with caplog.at_level(logging.WARNING):
        assert assert_whole(tmp_path) == [0, 1, 2, 3]
    assert "does not say which model made it" in caplog.text
    assert EmbeddingIndex.load(tmp_path).model is None
    entries(4, 6, model="a" * 64).append_to(tmp_path)
    assert assert_whole(tmp_path) == list(range(6))
    assert json.loads((tmp_path / "index.json").read_text())["format_version"] == 2
    assert EmbeddingIndex.load(tmp_path).model is None  # who made the first four is still not known
    assert "embeddings-0123.safetensors" not in files(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"file": "../embeddings-0123.safetensors"}, id="outside"),
        pytest.param({"ids": ["a"]}, id="ids"),
        pytest.param({"ids": None}, id="no ids"),
        pytest.param({"ids": ["a", "a", "b", "c"]}, id="twice"),
        pytest.param({"file": "gone.safetensors"}, id="gone"),
    ],
)
def test_a_damaged_head_of_the_first_format_is_refused(tmp_path: Path, change: dict[str, object]) -> None:
    write_first_format(tmp_path, entries(0, 4))
    head = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps(head | change))
    with pytest.raises(WeightsError, match=r"index\.json"):
        EmbeddingIndex.load(tmp_path)


SEGMENT = {"file": "segment-0.safetensors", "rows": 3, "sha256": ""}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"format_version": 9}, "format 9 is newer than 2", id="format"),
        pytest.param({"format_version": "x"}, "not an index", id="type"),
        pytest.param({"kind": "cats"}, "kind 'cats' is not one of", id="kind"),
        pytest.param({"segments": []}, "names no segment", id="no segment"),
        pytest.param({"segments": [SEGMENT | {"file": "/etc/passwd"}]}, "a file of another folder", id="absolute"),
        pytest.param({"segments": [SEGMENT | {"file": "../a"}]}, "a file of another folder", id="outside"),
        pytest.param({"segments": [SEGMENT]}, "names a file that is missing", id="gone"),
        pytest.param({"segments": [{"file": "a"}]}, "KeyError", id="keys"),
        pytest.param({"rows": 7}, "rows or model", id="rows"),
        pytest.param({"model": 7}, "rows or model", id="model"),
        pytest.param({"width": None}, "not an index", id="width"),
    ],
)
def test_a_damaged_head_is_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    entries(0, 3).save(tmp_path)
    head = json.loads((tmp_path / "index.json").read_text())
    (tmp_path / "index.json").write_text(json.dumps(head | change))
    with pytest.raises(WeightsError, match=message):
        EmbeddingIndex.load(tmp_path)
    (tmp_path / "index.json").write_text("[1]")
    with pytest.raises(WeightsError, match="not an index"):
        EmbeddingIndex.load(tmp_path)


def test_opening_reads_no_embedding(tmp_path: Path) -> None:
    rows = 60_000
    generator = torch.Generator().manual_seed(0)
    index = EmbeddingIndex(torch.randn(rows, 32, generator=generator), [f"{number:020d}" for number in range(rows)])
    index.save(tmp_path)
    segment = next(tmp_path.glob("segment-*"))
    data = bytearray(segment.read_bytes())
    data[-100_000:] = b"\xff" * 100_000  # NaN: whoever read them would refuse them
    segment.write_bytes(data)
    assert len(EmbeddingIndex.load(tmp_path)) == rows
