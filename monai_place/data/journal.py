"""What a long job has done, file by file, so that a killed one goes on where it stopped.

A journal is a text file of JSON lines: first the settings, then one line a file. A line that was cut off by a kill is
not counted; a journal of other settings is begun anew.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from monai_place.atomic import write_text_atomic

__all__ = ["FileJournal", "file_stamp"]

HEAD_BYTES = 1 << 16


def file_stamp(path: str | os.PathLike[str]) -> str:
    """Return what changes when a file does: a hash of its size, its time of change and its first 64 KiB.

    Unpacked archives give many files one time, and uncompressed pictures have one size: the beginning tells them apart.
    It is a hash of all three because a journal travels with the data, and a file's time may be the day of a study.

    Args:
        path: the file.
    """
    with Path(path).open("rb") as file:
        state = os.fstat(file.fileno())
        told = hashlib.blake2b(f"{state.st_size} {state.st_mtime_ns} ".encode(), digest_size=16)
        told.update(file.read(HEAD_BYTES))
    return told.hexdigest()


class FileJournal:
    """A journal that is read when it is opened, and grows by a line for each `add`; use it in a `with` block.

    One process writes it at a time.

    Args:
        path: the journal; made where it is missing.
        settings: what the entries depend on, plain JSON values; entries of other settings are forgotten.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with FileJournal(Path(folder, "j.jsonl"), {"side": 8}) as journal:
        ...         journal.add("a", {"stamp": "1"})
        ...     FileJournal(Path(folder, "j.jsonl"), {"side": 8}).entries
        {'a': {'stamp': '1'}}
    """

    def __init__(self, path: str | os.PathLike[str], settings: Mapping[str, Any]) -> None:
        self.path = Path(path)
        self.settings = json.loads(json.dumps(dict(settings)))
        self.entries: dict[str, dict[str, Any]] = {}
        self._file: IO[str] | None = None
        self._whole = self._read()

    def __enter__(self) -> FileJournal:
        if not self._whole:
            # Also drops a line that was cut off, before another is written behind it.
            lines = [self.settings, *([key, entry] for key, entry in self.entries.items())]
            write_text_atomic(self.path, "".join(f"{json.dumps(line)}\n" for line in lines))
            self._whole = True
        self._file = self.path.open("a", encoding="utf-8")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def add(self, key: str, entry: Mapping[str, Any]) -> None:
        """Note that a file is done; the line is handed to the system at once.

        Args:
            key: of the file; a later entry takes the place of an earlier one.
            entry: plain JSON values.
        """
        if self._file is None:
            raise RuntimeError("a journal is written inside its with block")
        if self.entries.get(key) != entry:
            self.entries[key] = dict(entry)
            self._file.write(f"{json.dumps([key, entry])}\n")
            self._file.flush()

    def _read(self) -> bool:
        """Fill the entries; False where the file has to be written anew."""
        try:
            file = self.path.open(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return False
        with file:
            if _parsed(file.readline()) != self.settings:
                return False
            for line in file:
                entry = _parsed(line)
                if not isinstance(entry, list) or len(entry) != 2:
                    return False
                self.entries[entry[0]] = entry[1]
        return True


def _parsed(line: str) -> Any:
    try:
        return json.loads(line) if line.endswith("\n") else None
    except json.JSONDecodeError:
        return None
