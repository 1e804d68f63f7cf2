"""Paths that come with data: they are relative, and stay under the folder that the data lies in."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

__all__ = ["PathGuard", "relative_root", "resolve_inside", "safe_name"]

MAX_CHARACTERS = 4096
JUNCTIONS = os.name == "nt"  # links of Windows that islink does not tell
SEPARATORS = re.compile(r"[/\\]")  # both, on every system: a datalist travels between them


def resolve_inside(root: str | os.PathLike[str], relative: str) -> Path:
    """Return the absolute path of `relative` under `root`, links followed.

    Args:
        root: the folder that must not be left.
        relative: a path from a datalist; the file need not exist.

    Raises:
        ValueError: the path is absolute, has a drive, a server or a scheme, holds `..` or NUL, is empty or longer than
            4096 characters, or a link on the way leads out of the root.

    Example:
        >>> resolve_inside("/data", "../etc/passwd")
        Traceback (most recent call last):
            ...
        ValueError: path 'passwd' must stay under its root, but it holds '..'
    """
    return Path(PathGuard(root).resolve(relative))


def relative_root(folder: Path, start: Path) -> str:
    """Return a folder as a datalist in `start` names it: relative, or absolute where it lies on another drive."""
    folder = folder.resolve()
    try:
        return Path(os.path.relpath(folder, start.resolve())).as_posix()
    except ValueError:
        return str(folder)


def safe_name(record_id: str) -> str:
    """Return a file name for an id, its own where it can be one.

    Example:
        >>> safe_name("a-1.png"), safe_name("a/1")
        ('a-1.png', 'a_1-773232ab')
    """
    name = re.sub(r"[^A-Za-z0-9._-]", "_", record_id)[:120].lstrip(".") or "_"
    return name if name == record_id else f"{name}-{hashlib.sha256(record_id.encode()).hexdigest()[:8]}"


class PathGuard:
    """`resolve_inside` for many paths of one root: each folder is followed once, each file only looked at.

    Args:
        root: the folder that must not be left.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = os.path.realpath(root)
        self._folders: dict[str, str] = {"": self.root}

    def resolve(self, relative: str) -> str:
        """Return the absolute path of `relative`; see `resolve_inside` for what is refused."""
        if reason := _lexical_fault(relative):
            raise _refusal(relative, reason)
        folder, name = os.path.split(relative)
        real_folder = self._folders.get(folder)
        if real_folder is None:
            real_folder = self._follow(folder, relative)
        path = os.path.join(real_folder, name)  # noqa: PTH118  (a Path object a record would double the time)
        if os.path.islink(path):  # noqa: PTH114
            path = self._inside(os.path.realpath(path), relative)
        return path

    def _follow(self, folder: str, relative: str) -> str:
        """Follow a folder from the nearest one above it that is known: studies of a patient share all but the last."""
        unknown = []
        while folder not in self._folders:
            unknown.append(folder)
            folder = os.path.split(folder)[0]
        real = self._folders[folder]
        for below in reversed(unknown):
            real = os.path.join(real, os.path.split(below)[1])  # noqa: PTH118
            if JUNCTIONS or os.path.islink(real):  # noqa: PTH114
                real = os.path.realpath(real)
            real = self._inside(os.path.normpath(real), relative)
            self._folders[below] = real
        return real

    def _inside(self, path: str, relative: str) -> str:
        if os.path.commonpath((self.root, path)) != self.root:
            raise _refusal(relative, "a link leads out of it")
        return path


def _refusal(relative: str, reason: str) -> ValueError:
    # Only the last part is named: the rest may tell about the machine or the person who wrote it.
    name = SEPARATORS.split(relative)[-1][:80]
    return ValueError(f"path {name!r} must stay under its root, but {reason}")


def _lexical_fault(relative: str) -> str | None:
    if not relative:
        return "it is empty"
    if len(relative) > MAX_CHARACTERS:
        return f"it has {len(relative)} characters, more than {MAX_CHARACTERS}"
    if "\0" in relative:
        return "it holds a NUL character"
    if "://" in relative:
        return "it is an address"
    if relative[0] in "/\\":
        return "it is absolute"
    if relative[1:2] == ":" and relative[0].isalpha():
        return "it names a drive"
    if ".." in relative and ".." in SEPARATORS.split(relative):
        return "it holds '..'"
    return None
