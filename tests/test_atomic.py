"""Files are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import json
import math
import os
import signal
import stat
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

from monai_place.atomic import atomic_path, write_bytes_atomic, write_json_atomic, write_text_atomic


def leftovers(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if ".tmp" in path.name)


def test_new_file_holds_the_bytes_and_nothing_else_is_left(tmp_path: Path) -> None:
    write_bytes_atomic(tmp_path / "weights.bin", b"\x00new\xff")
    assert (tmp_path / "weights.bin").read_bytes() == b"\x00new\xff"
    assert [path.name for path in tmp_path.iterdir()] == ["weights.bin"]


def test_missing_folders_are_made(tmp_path: Path) -> None:
    write_text_atomic(tmp_path / "a" / "b" / "note.txt", "x")
    assert (tmp_path / "a" / "b" / "note.txt").read_text() == "x"


def test_a_folder_with_the_name_is_an_error_that_names_it_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "model.pt").mkdir()
    with pytest.raises(IsADirectoryError, match=r"^'model.pt' is a folder; the name of a file is expected$"):
        write_bytes_atomic(tmp_path / "model.pt", b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["model.pt"]


def test_old_file_is_whole_until_the_block_ends(tmp_path: Path) -> None:
    target = tmp_path / "model.pt"
    target.write_text("old")
    with atomic_path(target) as temporary:
        temporary.write_text("half of the n")
        assert target.read_text() == "old"
        temporary.write_text("new")
    assert target.read_text() == "new"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_an_error_leaves_the_old_file_and_no_temporary_one(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "model.pt"
    target.write_text("old")

    def write_half() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("half")
            raise error

    with pytest.raises(error):
        write_half()
    assert target.read_text() == "old"
    assert leftovers(tmp_path) == []


def test_the_data_is_on_the_disk_before_the_name_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "model.pt"
    target.write_text("old")
    synced: list[tuple[int, str]] = []
    sync = os.fsync

    def note(descriptor: int) -> None:
        sync(descriptor)
        synced.append((os.fstat(descriptor).st_ino, target.read_text()))

    monkeypatch.setattr(os, "fsync", note)
    write_text_atomic(target, "new")
    assert (target.stat().st_ino, "old") in synced  # the file's data, before
    assert (tmp_path.stat().st_ino, "new") in synced  # the folder's entry, after


def test_an_error_before_the_first_file_leaves_none(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), atomic_path(tmp_path / "model.pt"):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_target_that_cannot_be_replaced_raises_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    with pytest.raises(OSError, match="taken"):
        write_text_atomic(tmp_path / "taken", "x")
    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("mask", [0o022, 0o027, 0o077])
def test_file_mode_follows_the_umask_not_the_private_mode_of_a_temporary_file(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write_text_atomic(tmp_path / "shared.json", "{}")
    finally:
        assert os.umask(before) == mask  # writing has not changed it
    assert stat.S_IMODE((tmp_path / "shared.json").stat().st_mode) == 0o666 & ~mask


@pytest.mark.parametrize("name", ["scan.nii.gz", "model.safetensors", "page.html", "no_suffix"])
def test_temporary_name_ends_like_the_target_so_that_writers_pick_the_same_format(tmp_path: Path, name: str) -> None:
    with atomic_path(tmp_path / name) as temporary:
        assert temporary.parent == tmp_path
        assert temporary.name.startswith(".")
        if "." in name:
            assert temporary.name.endswith("." + name.partition(".")[2])


def test_a_name_of_the_greatest_length_works(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 250 + ".json")
    write_text_atomic(target, "x")
    assert target.read_text() == "x"


def test_text_is_utf8_whatever_the_locale(tmp_path: Path) -> None:
    write_text_atomic(tmp_path / "note.txt", "Röntgen 胸部")
    assert (tmp_path / "note.txt").read_bytes() == "Röntgen 胸部".encode()


def test_json_reads_back_and_ends_with_a_newline(tmp_path: Path) -> None:
    value = {"b": [1, 2.5, None], "a": "Röntgen"}
    write_json_atomic(tmp_path / "value.json", value)
    text = (tmp_path / "value.json").read_text(encoding="utf-8")
    assert json.loads(text) == value
    assert text.endswith("}\n")
    assert "Röntgen" in text


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_json_refuses_what_json_cannot_say_and_keeps_the_old_file(tmp_path: Path, number: float) -> None:
    (tmp_path / "value.json").write_text("{}")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json_atomic(tmp_path / "value.json", {"loss": number})
    assert (tmp_path / "value.json").read_text() == "{}"


def test_a_process_killed_in_mid_write_leaves_the_old_file_whole(tmp_path: Path) -> None:
    target = tmp_path / "model.pt"
    target.write_bytes(b"old" * 1000)
    script = f"""
        import os, signal
        from monai_place.atomic import atomic_path
        with atomic_path({str(target)!r}) as temporary:
            temporary.write_bytes(b"new" * 500)
            os.kill(os.getpid(), signal.SIGKILL)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert target.read_bytes() == b"old" * 1000
    # What the killed process leaves behind cannot be taken for the file or one of its kind.
    assert [path.name for path in tmp_path.glob("[!.]*")] == ["model.pt"]


def test_a_process_killed_at_any_moment_leaves_one_whole_version(tmp_path: Path) -> None:
    target = tmp_path / "model.pt"
    script = f"""
        from monai_place.atomic import write_bytes_atomic
        write_bytes_atomic({str(target)!r}, b"0" * 300_000)
        print("ready", flush=True)
        for turn in range(1, 1_000_000):
            write_bytes_atomic({str(target)!r}, str(turn % 10).encode() * 300_000)
    """
    for delay in (0.0, 0.013, 0.037, 0.071):
        child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        with child.stdout:
            assert child.stdout.readline() == b"ready\n"
            threading.Event().wait(delay)
            child.kill()
            child.wait()
        content = target.read_bytes()
        assert len(content) == 300_000
        assert len(set(content)) == 1


def test_two_writers_of_one_file_leave_the_whole_of_one(tmp_path: Path) -> None:
    target = tmp_path / "shared.bin"

    def write(letter: bytes) -> None:
        for _ in range(20):
            write_bytes_atomic(target, letter * 100_000)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert target.read_bytes() in {b"a" * 100_000, b"b" * 100_000}
    assert leftovers(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="modes of files are POSIX")
def test_a_private_file_is_its_owners_alone_also_where_an_open_one_was(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("old")
    path.chmod(0o644)
    with atomic_path(path, mode=0o600) as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
        temporary.write_text("new")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o600)
    write_text_atomic(path, "newer", mode=0o600)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
