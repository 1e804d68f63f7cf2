"""The parts of an index on disk: embeddings with their ids, in files that are written once and never changed.

Opening maps a file and reads a few bytes of it. The ids lie as one run of UTF-8 with the places where each begins, so
that only those which are looked at become text.

Shapes: `M` entries of a segment, `D` features.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import overload

import torch

from monai_place.weights import WeightsError, read_safetensors
from monai_place.weights.writing import write_safetensors

__all__ = ["PackedIds", "Segment", "read_segment", "unit_rows", "write_segment"]

NEARLY = 1e-3  # a norm further from 1 than this was not written by us


class PackedIds(Sequence[str]):
    """Texts in two tensors.

    Args:
        data: uint8, the UTF-8 of all texts, one after the other.
        offsets: (M + 1,) int64, where each begins, and the end.

    Example:
        >>> ids = PackedIds.pack(["a", "Straße"])
        >>> len(ids), ids[1], ids.data.numel()
        (2, 'Straße', 8)
    """

    def __init__(self, data: torch.Tensor, offsets: torch.Tensor) -> None:
        self.data = data
        self.offsets = offsets

    @classmethod
    def pack(cls, texts: Sequence[str]) -> PackedIds:
        """Pack texts."""
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        ends = torch.tensor([0, *map(len, encoded)], dtype=torch.int64).cumsum(0)
        data = torch.frombuffer(bytearray(b"".join(encoded)) or bytearray(1), dtype=torch.uint8)
        return cls(data[: int(ends[-1])], ends)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[str, ...]: ...

    def __getitem__(self, index: int | slice) -> str | tuple[str, ...]:
        """Return one text, or several."""
        if isinstance(index, slice):
            return tuple(self[number] for number in range(*index.indices(len(self))))
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range for {len(self)} ids")
        begin, end = self.offsets[index % len(self)], self.offsets[index % len(self) + 1]
        return _decode(self.data[begin:end].numpy().tobytes())

    def __iter__(self) -> Iterator[str]:
        """Yield all texts; faster than one by one."""
        data, offsets = self.data.numpy().tobytes(), self.offsets.tolist()
        for begin, end in pairwise(offsets):
            yield _decode(data[begin:end])


@dataclass(frozen=True, eq=False)
class Segment:
    """A run of entries of an index.

    Args:
        embeddings: (M, D) float32, unit norm; perhaps mapped from a file.
        ids: M texts.
        file: name of its file, "" where it has none.
        sha256: of its content, "" where it has no file.
    """

    embeddings: torch.Tensor
    ids: PackedIds
    file: str = ""
    sha256: str = ""

    def __len__(self) -> int:
        return len(self.ids)

    def verify(self) -> None:
        """Read all of it and compare it with what was written.

        Raises:
            WeightsError: the file was changed, or holds what is no embedding.
        """
        if self.sha256 and _digest(self.embeddings, self.ids) != self.sha256:
            raise WeightsError(f"{self.file}: corrupt: not what was written (SHA-256 differs)")
        norms = self.embeddings.norm(dim=1)
        if bad := int((~((norms - 1).abs() < NEARLY)).sum()):
            raise WeightsError(f"{self.file or 'index'}: {bad} of {len(self)} embeddings have not unit norm")


def write_segment(folder: str | os.PathLike[str], segment: Segment) -> Segment:
    """Write a segment, whole or not at all, and return it with its name.

    Args:
        folder: of the index.
        segment: what to write.
    """
    digest = _digest(segment.embeddings, segment.ids)
    name = f"segment-{digest[:16]}.safetensors"
    tensors = {"embeddings": segment.embeddings, "ids": segment.ids.data, "offsets": segment.ids.offsets}
    write_safetensors(Path(folder, name), {key: value.contiguous() for key, value in tensors.items()})
    return Segment(segment.embeddings, segment.ids, name, digest)


def read_segment(folder: str | os.PathLike[str], file: str, *, rows: int, width: int, sha256: str) -> Segment:
    """Map a segment's file; its values are read when they are used.

    Args:
        folder: of the index.
        file: its name.
        rows: M, as the index says.
        width: D, as the index says.
        sha256: of its content, for `Segment.verify`.

    Raises:
        FileNotFoundError: there is no such file.
        WeightsError: it is damaged, or not of this size.
    """
    tensors, _ = read_safetensors(Path(folder, file))
    expected = {"embeddings": (torch.float32, 2), "ids": (torch.uint8, 1), "offsets": (torch.int64, 1)}
    for name, (dtype, dimensions) in expected.items():
        if name not in tensors or tensors[name].dtype != dtype or tensors[name].ndim != dimensions:
            raise WeightsError(f"{file}: corrupt: {name!r} is missing or of another type")
    embeddings, ids = tensors["embeddings"], PackedIds(tensors["ids"], tensors["offsets"])
    if embeddings.shape != (rows, width) or len(ids) != rows:
        shape = tuple(embeddings.shape)
        raise WeightsError(f"{file}: corrupt: embeddings {shape} and {len(ids)} ids, the index says {rows} x {width}")
    steps = ids.offsets.diff()
    if ids.offsets[0] != 0 or (steps < 0).any() or ids.offsets[-1] != len(ids.data):
        raise WeightsError(f"{file}: corrupt: the ids do not begin where they should")
    return Segment(embeddings, ids, file, sha256)


def unit_rows(rows: torch.Tensor, what: str) -> torch.Tensor:
    """Return rows (M, D) of unit norm, float32, on the CPU.

    Args:
        rows: not zero.
        what: a word for the message.

    Raises:
        ValueError: a row is zero or not finite.
    """
    rows = rows.detach().float().cpu()
    norm = rows.norm(dim=1, keepdim=True)
    if bad := [index for index, good in enumerate((norm.isfinite() & (norm > 0)).flatten().tolist()) if not good]:
        raise ValueError(f"{len(bad)} {what} rows are zero or not finite, such as row {bad[0]}")
    # Rows that have it already stay bit for bit, so that a saved index is the same index.
    return torch.where((norm - 1).abs() < 1e-6, rows, rows / norm).contiguous()


def _digest(embeddings: torch.Tensor, ids: PackedIds) -> str:
    digest = hashlib.sha256()
    for tensor in (embeddings, ids.offsets, ids.data):
        digest.update(str(tuple(tensor.shape)).encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.hexdigest()


def _decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogatepass")
