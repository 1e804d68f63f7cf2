"""Finished cells of a suite on disk, each whole or not there, so that none is ever measured twice."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from monai_place.atomic import atomic_path, write_json_atomic

__all__ = ["CellResult", "CellStore"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class CellResult:
    """What a cell measured.

    Args:
        metrics: by name; None where a number is not defined.
        studies: arrays with one row a study of the test split, from which `monai_place.suites.tasks` computes the main
            metric anew for any resample: scores and labels, ranks, counts.
        ids: of those studies, so that only the same studies are ever compared.
        seconds: that it took.
        note: such as how many files could not be read.
    """

    metrics: dict[str, float | None]
    studies: dict[str, Array]
    ids: tuple[str, ...]
    seconds: float = 0.0
    note: str = ""


@dataclass
class CellStore:
    """A folder with two files a cell: numbers as JSON, arrays as npz. The JSON is written last: it makes the cell.

    Args:
        folder: made where it is missing.
    """

    folder: Path
    _known: dict[str, CellResult] = field(default_factory=dict, repr=False)

    def __contains__(self, key: str) -> bool:
        return self._head(key).is_file()

    def save(self, key: str, result: CellResult, *, about: Mapping[str, Any]) -> None:
        """Write a cell.

        Args:
            key: from `SuiteCell.key`.
            result: of it.
            about: what the cell is, in words, for whoever opens the file.
        """
        with atomic_path(self.folder / f"{key}.npz") as temporary, temporary.open("wb") as file:
            np.savez_compressed(file, **result.studies)  # type: ignore[arg-type]  # numpy's stub reads a name as a flag
        head = {"about": dict(about), "metrics": result.metrics, "seconds": round(result.seconds, 1)}
        write_json_atomic(self._head(key), head | {"note": result.note, "ids": list(result.ids)})

    def load(self, key: str) -> CellResult:
        """Read a cell.

        Raises:
            ValueError: its files are damaged; the message names them, and the way to measure it anew.
        """
        try:
            head = json.loads(self._head(key).read_text(encoding="utf-8"))
            with np.load(self.folder / f"{key}.npz", allow_pickle=False) as arrays:
                studies = {name: arrays[name] for name in arrays.files}
            ids = tuple(head["ids"])
            if any(len(array) != len(ids) for array in studies.values()):
                raise ValueError("its arrays have another length than its ids")
            return CellResult(head["metrics"], studies, ids, head["seconds"], head["note"])
        except (OSError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{key}.json: a damaged result ({error}); remove it to measure it anew") from None

    def _head(self, key: str) -> Path:
        return Path(os.fspath(self.folder)) / f"{key}.json"
