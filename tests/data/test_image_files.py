"""Which files of a folder are images: by name, by content, each once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from monai_place.data.image_files import image_files, images_below


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.png", "a.PNG", "sub/c.nii.gz", "sub/d.dcm", ".hidden.png", "notes.txt", "table.csv", "x.tar.gz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "LICENSE").write_text("no image")
    for name in ("IM0001", "1.2.840.113619"):
        (tmp_path / name).write_bytes(bytes(128) + b"DICM and more")
    return tmp_path


def test_a_folder_stands_for_the_images_below_it_in_order(folder: Path) -> None:
    found = [path.relative_to(folder).as_posix() for path in image_files([folder])]
    assert found == ["1.2.840.113619", "IM0001", "a.PNG", "b.png", "sub/c.nii.gz", "sub/d.dcm"]


def test_a_file_that_is_named_is_taken_as_it_is_and_once(folder: Path) -> None:
    named = [folder / "notes.txt", folder / "b.png", folder / "notes.txt"]
    assert image_files(named) == [folder / "notes.txt", folder / "b.png"]
    assert image_files([folder / "b.png", folder]).count(folder / "b.png") == 1


def test_two_ways_to_name_a_file_name_one_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert image_files([Path("b.png"), folder / "b.png"]) == [Path("b.png")]


def test_an_input_that_is_not_there_is_named(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^'gone\.png' does not exist$"):
        image_files([folder / "b.png", folder / "gone.png"])


def test_a_folder_without_images_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no image .* in \['empty'\]"):
        image_files([tmp_path / "empty"])


def names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in images_below(folder)]


def test_a_broken_file_with_a_name_as_archives_give_is_listed(tmp_path: Path) -> None:
    for name in ("1.2.840.113619", "IM000001", "i10"):
        (tmp_path / name).write_bytes(b"")
    assert names(tmp_path) == ["1.2.840.113619", "IM000001", "i10"]


def test_dicom_is_known_by_content_whatever_its_name_and_with_or_without_preamble(tmp_path: Path) -> None:
    (tmp_path / "chest.img").write_bytes(bytes(128) + b"DICM and more")
    (tmp_path / "old").write_bytes(b"\x08\0\x05\0\x0a\0\0\0ISO_IR 100")
    (tmp_path / "Makefile").write_text("all: of them, and no radiograph")
    assert names(tmp_path) == ["chest.img", "old"]


def test_the_list_of_a_medium_hidden_folders_pipes_and_dead_links_are_no_images(tmp_path: Path) -> None:
    (tmp_path / "DICOMDIR").write_bytes(bytes(128) + b"DICM and more")
    for name in (".thumbnails/a.png", "sub/.b.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"x")
    os.mkfifo(tmp_path / "c.png")
    (tmp_path / "d.png").symlink_to(tmp_path / "gone.png")
    assert names(tmp_path) == []


def test_a_folder_in_a_hidden_one_may_be_asked_for(tmp_path: Path) -> None:
    (tmp_path / ".cache" / "images").mkdir(parents=True)
    (tmp_path / ".cache" / "images" / "a.png").write_bytes(b"x")
    assert names(tmp_path / ".cache" / "images") == ["a.png"]
