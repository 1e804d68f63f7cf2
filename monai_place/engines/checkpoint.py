"""Training states as files: plain values only, whole or absent, with a checksum inside.

A file is what `torch.save` writes; the SHA-256 is the comment of its ZIP container. `torch.load(path,
weights_only=True)` reads it as any other, and no second file has to be kept in step with the first.
"""

from __future__ import annotations

import hashlib
import os
from collections import Counter, OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from monai_place.atomic import atomic_path
from monai_place.weights.writing import save_torch

__all__ = ["CorruptCheckpointError", "load_training_state", "save_training_state"]

END_OF_ARCHIVE = b"PK\x05\x06"
END_SIZE = 22  # of the ZIP's end record without a comment; its last two bytes are the comment's length
MARK = b"sha256="
COMMENT_SIZE = len(MARK) + 64


class CorruptCheckpointError(RuntimeError):
    """A checkpoint is not what was written: truncated, altered, or something else altogether."""


def save_training_state(path: str | os.PathLike[str], state: Mapping[str, Any]) -> None:
    """Write `state` to `path`: after any interruption there is the old file or the new one, whole.

    Args:
        path: the file. Its folder is made where it is missing.
        state: tensors, numbers, strings, None, and lists, tuples and dicts of them. Numpy's numbers and arrays become
            python's and torch's.

    Raises:
        TypeError: a value is something else; the message names its keys.
        OSError: the file could not be written, such as for want of space; the old one is as it was.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "state.pt"
        >>> save_training_state(path, {"iteration": 3})
        >>> load_training_state(path)
        {'iteration': 3}
    """
    plain = _plain(state, "state")
    with atomic_path(path) as temporary:
        with temporary.open("wb") as file:
            save_torch(plain, file)
        with temporary.open("rb+") as file:
            _append_checksum(file)


def load_training_state(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read what `save_training_state` wrote, with tensors on the CPU.

    Raises:
        FileNotFoundError: there is no such file.
        CorruptCheckpointError: the file is not whole or not the one that was written; the message names it.
    """
    path = Path(path)
    with path.open("rb") as file:
        reason = _checksum_fault(file)
    if reason:
        raise CorruptCheckpointError(f"checkpoint {path.name} is corrupt: {reason}")
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise CorruptCheckpointError(f"checkpoint {path.name} is corrupt: {error}") from error
    return state


def _append_checksum(file: BinaryIO) -> None:
    file.seek(-END_SIZE, os.SEEK_END)
    end = file.read(END_SIZE)
    if not (end.startswith(END_OF_ARCHIVE) and end.endswith(b"\0\0")):
        raise RuntimeError("torch.save wrote no plain ZIP archive; the checksum has no place")
    size = file.tell()
    comment = MARK + _digest(file, size)
    file.seek(size - 2)
    file.write(COMMENT_SIZE.to_bytes(2, "little") + comment)


def _checksum_fault(file: BinaryIO) -> str:
    """Return what is wrong with the file's checksum, or nothing."""
    size = file.seek(0, os.SEEK_END) - COMMENT_SIZE
    if size < END_SIZE:
        return "it is too short"
    file.seek(size - 2)
    length, comment = file.read(2), file.read()
    if int.from_bytes(length, "little") != COMMENT_SIZE or not comment.startswith(MARK):
        return "it has no checksum at its end; it is truncated, or not a training state"
    if comment[len(MARK) :] != _digest(file, size):
        return "its checksum does not fit"
    return ""


def _digest(file: BinaryIO, size: int) -> bytes:
    """Return the SHA-256 of the first `size` bytes less the last two, which hold the length of the checksum itself."""
    digest = hashlib.sha256()
    file.seek(0)
    left = size - 2
    while left > 0 and (block := file.read(min(left, 1 << 20))):
        digest.update(block)
        left -= len(block)
    return digest.hexdigest().encode()


def _plain(value: Any, where: str) -> Any:
    """Return `value` with nothing in it that `weights_only=True` would refuse."""
    # Exact types: numpy's float64 is a float to isinstance, and an unknown global to the loader.
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, torch.Tensor):
        return value.detach().as_subclass(torch.Tensor)
    if type(value) in (dict, OrderedDict, Counter):
        return _plain_dict(value, where)
    if type(value) in (list, tuple):
        return type(value)(_plain(item, f"{where}[{index}]") for index, item in enumerate(value))
    if isinstance(value, np.generic):
        return _plain(value.item(), where)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        return torch.from_numpy(value.copy())
    raise TypeError(
        f"{where} is a {type(value).__name__}; a training state holds tensors, numbers, strings, lists and dicts only"
    )


def _plain_dict(value: Mapping[Any, Any], where: str) -> dict[Any, Any]:
    if odd := [key for key in value if type(key) not in (str, int)]:
        raise TypeError(f"{where} has the keys {odd}; a training state's keys are strings or integers")
    plain = {key: _plain(item, f"{where}[{key!r}]") for key, item in value.items()}
    return Counter(plain) if isinstance(value, Counter) else plain
