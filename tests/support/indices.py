"""Indices whose embeddings tell their ids, and what other processes do to them in tests."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import torch

from monai_place.inference import EmbeddingIndex, index_folder

__all__ = ["append_ten", "embedding_of", "entries", "hold_lock", "killed_append"]

WIDTH = 6


def embedding_of(text: str) -> torch.Tensor:
    """Return an embedding that tells its id, so that a mixture of two indices would be seen."""
    return torch.randn(WIDTH, generator=torch.Generator().manual_seed(int(text.rpartition(" ")[2])))


def entries(begin: int, end: int, **options: Any) -> EmbeddingIndex:
    ids = [f"study {number}" for number in range(begin, end)]
    return EmbeddingIndex(torch.stack([embedding_of(text) for text in ids]), ids, **options)


def killed_append(folder: str, step: int, *, after: bool) -> None:
    """Append, and die before or after the given rename; step 0 dies while the segment is written."""
    replace, done = Path.replace, [0]

    def watched(path: Path, target: Path) -> Path:
        done[0] += 1
        if done[0] == step and not after:
            os.kill(os.getpid(), signal.SIGKILL)
        moved = replace(path, target)
        if done[0] == step and after:
            os.kill(os.getpid(), signal.SIGKILL)
        return moved

    def half(tensors: object, path: Path, metadata: object = None) -> None:
        Path(path).write_bytes(b"half of a segm")
        os.kill(os.getpid(), signal.SIGKILL)

    Path.replace = watched  # type: ignore[method-assign]
    if step == 0:
        import safetensors.torch

        safetensors.torch.save_file = half  # type: ignore[assignment]
    entries(5, 8).append_to(folder)


def append_ten(folder: str, begin: int) -> None:
    for number in range(begin, begin + 10):
        entries(number, number + 1).append_to(folder)


def hold_lock(folder: str) -> None:
    with index_folder._locked(Path(folder)):
        Path(folder, "held").touch()
        time.sleep(60)
