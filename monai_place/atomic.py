"""Files that appear whole or not at all: temporary file in the same folder, flush, fsync, rename."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["atomic_path", "write_bytes_atomic", "write_json_atomic", "write_text_atomic"]

TEMPORARY_SUFFIX = ".tmp"


@contextmanager
def atomic_path(path: str | os.PathLike[str], *, mode: int | None = None) -> Iterator[Path]:
    """Yield a temporary path beside `path`; it takes the name `path` when the block ends without an error.

    The data is on the disk before the name changes, and the old file stays until then, so that a killed process
    leaves the old file or the new one. After an error the temporary file is gone and the old file untouched.

    Args:
        path: the file to write. Its folder is made where it is missing.
        mode: of the file, such as 0o600 for its owner alone, which it then has from its first byte on; by default what
            the user's umask leaves.

    Raises:
        IsADirectoryError: a folder has that name already.
    """
    target = Path(path)
    if target.is_dir():
        raise IsADirectoryError(f"{target.name!r} is a folder; the name of a file is expected")
    target.parent.mkdir(parents=True, exist_ok=True)
    # The suffix of the target stays last: writers such as nibabel choose their format by it.
    suffix = TEMPORARY_SUFFIX + "".join(target.suffixes[-2:])
    handle, name = tempfile.mkstemp(prefix=f".{target.name[:80]}.", suffix=suffix, dir=target.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.chmod(0o666 & ~_umask() if mode is None else mode)
        temporary.replace(target)
        _sync_folder(target.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes_atomic(path: str | os.PathLike[str], data: bytes, *, mode: int | None = None) -> None:
    """Write `data` to `path`, whole or not at all; `mode` as in `atomic_path`."""
    with atomic_path(path, mode=mode) as temporary:
        temporary.write_bytes(data)


def write_text_atomic(path: str | os.PathLike[str], text: str, *, mode: int | None = None) -> None:
    """Write `text` to `path` as UTF-8, whole or not at all; `mode` as in `atomic_path`."""
    write_bytes_atomic(path, text.encode("utf-8"), mode=mode)


def write_json_atomic(path: str | os.PathLike[str], value: Any, *, indent: int | None = 2) -> None:
    """Write `value` to `path` as JSON, whole or not at all; NaN and infinities are refused (they are not JSON)."""
    write_text_atomic(path, json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False) + "\n")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    """Make the new name itself durable; some file systems refuse to open or sync a folder, which is no error."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)
