"""Writing tensors: whole or not at all, and with the system's own word where there is no space left."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

import torch

from monai_place.atomic import atomic_path

__all__ = ["save_torch", "write_safetensors", "write_state_dict"]


def write_state_dict(path: str | os.PathLike[str], state: Mapping[str, torch.Tensor]) -> None:
    """Write a state dict as `torch.save` does, whole or not at all.

    Args:
        path: the file.
        state: what to write.

    Raises:
        OSError: it cannot be written, as where no space is left.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        save_torch(dict(state), file)


def write_safetensors(
    path: str | os.PathLike[str], tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file, whole or not at all.

    Args:
        path: the file.
        tensors: contiguous, and none a part of another.
        metadata: of its header.

    Raises:
        OSError: it cannot be written, as where no space is left.
    """
    from safetensors.torch import save_file

    with atomic_path(path) as temporary, _told_by_the_system(path):
        save_file(dict(tensors), temporary, metadata=None if metadata is None else dict(metadata))


def save_torch(plain: Any, file: BinaryIO) -> None:
    """Do what `torch.save` does, and raise what the system says of a failure.

    After a failed write torch still tries to close its archive, and that second error hides "no space left".

    Args:
        plain: what to write.
        file: open for writing.

    Raises:
        OSError: it cannot be written.
    """
    try:
        torch.save(plain, file)
    except RuntimeError as error:
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


@contextmanager
def _told_by_the_system(path: str | os.PathLike[str]) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except SafetensorError as error:
        if (number := re.search(r"\(os error (\d+)\)", str(error))) is None:
            raise
        code = int(number[1])
        raise OSError(code, os.strerror(code), os.path.basename(path)) from None  # noqa: PTH119  (any path-like)
