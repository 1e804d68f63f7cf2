from __future__ import annotations

from pathlib import Path

import pytest

from monai_place.data.paths import PathGuard, resolve_inside

HOSTILE = [
    pytest.param("/etc/passwd", "absolute", id="absolute"),
    pytest.param("../secret.png", "'..'", id="parent"),
    pytest.param("images/../../secret.png", "'..'", id="inner parent"),
    pytest.param("images\\..\\..\\secret.png", "'..'", id="windows parent"),
    pytest.param("C:\\secret.png", "drive", id="drive"),
    pytest.param("c:secret.png", "drive", id="drive without slash"),
    pytest.param("\\\\server\\share\\secret.png", "absolute", id="UNC"),
    pytest.param("https://example.org/secret.png", "address", id="URL"),
    pytest.param("file:///etc/secret.png", "address", id="file URL"),
    pytest.param("a\0b.png", "NUL", id="NUL"),
    pytest.param("a/" * 2500 + "b.png", "5005 characters", id="long"),
    pytest.param("", "empty", id="empty"),
]


@pytest.mark.parametrize(("relative", "reason"), HOSTILE)
def test_a_path_that_leaves_its_root_is_refused_with_the_reason(tmp_path: Path, relative: str, reason: str) -> None:
    with pytest.raises(ValueError, match="must stay under its root") as error:
        resolve_inside(tmp_path, relative)
    assert reason in str(error.value)
    assert len(str(error.value)) < 200


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_link_out_of_the_root_is_refused_and_one_inside_is_followed(tmp_path: Path, kind: str) -> None:
    root, outside = tmp_path / "root", tmp_path / "root-outside"
    for folder in (root / "real", outside):
        folder.mkdir(parents=True)
        (folder / "a.png").touch()
    good, bad = ("real/a.png", "a.png") if kind == "file" else ("real", "")
    (root / "in").symlink_to(root / good)
    (root / "out").symlink_to(outside / bad)
    suffix = "" if kind == "file" else "/a.png"
    assert resolve_inside(root, f"in{suffix}") == root / "real/a.png"
    with pytest.raises(ValueError, match="a link leads out of it"):
        resolve_inside(root, f"out{suffix}")


def test_a_root_that_is_itself_a_link_is_followed(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "store")
    assert resolve_inside(tmp_path / "root", "a.png") == tmp_path / "store/a.png"


def test_dots_in_names_are_no_fault(tmp_path: Path) -> None:
    assert resolve_inside(tmp_path, "./a..b/.c/1.2.840.png") == tmp_path / "a..b/.c/1.2.840.png"


def test_a_refusal_names_the_file_and_not_the_folders_before_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"path 'scan\.png' must stay") as error:
        resolve_inside(tmp_path, "../jane_doe/scan.png")
    assert "jane_doe" not in str(error.value)
    assert str(tmp_path) not in str(error.value)


def test_a_guard_refuses_every_file_of_a_folder_that_is_a_link_outward_and_goes_on_with_the_others(
    tmp_path: Path,
) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    (root / "in").mkdir(parents=True)
    outside.mkdir()
    (root / "out").symlink_to(outside)
    guard = PathGuard(root)
    for name in ("a.png", "b.png"):
        with pytest.raises(ValueError, match=rf"path '{name}' .* a link leads out of it"):
            guard.resolve(f"out/{name}")
        assert guard.resolve(f"in/{name}") == str(root / "in" / name)


def test_a_guard_looks_at_each_file_of_a_folder_that_it_knows(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "in").mkdir(parents=True)
    (root / "in/b.png").symlink_to(tmp_path / "b.png")
    guard = PathGuard(root)
    assert guard.resolve("in/a.png") == str(root / "in/a.png")
    with pytest.raises(ValueError, match="a link leads out of it"):
        guard.resolve("in/b.png")


def test_links_are_followed_at_every_depth_and_however_often(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "real/deep/folder").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    (root / "one").symlink_to("real")
    (root / "real/deep/two").symlink_to(root / "one/deep/folder")
    (root / "real/deep/folder/out").symlink_to("../../../../outside")
    guard = PathGuard(root)
    for _ in range(2):
        assert guard.resolve("one/deep/two/a.png") == str(root / "real/deep/folder/a.png")
        assert guard.resolve("one/./deep//folder/a.png") == str(root / "real/deep/folder/a.png")
        with pytest.raises(ValueError, match="a link leads out of it"):
            guard.resolve("one/deep/two/out/a.png")


def test_a_path_of_two_thousand_folders_is_followed(tmp_path: Path) -> None:
    assert resolve_inside(tmp_path, "a/" * 2000 + "b") == tmp_path.joinpath(*"a" * 2000, "b")
