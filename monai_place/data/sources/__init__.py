"""Public data sets: one module turns the files of one set into a datalist; this is their register."""

from __future__ import annotations

import inspect
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["SOURCES", "PrepareReport", "SourceInfo", "prepare_source"]


@dataclass
class PrepareReport:
    """What a preparation kept, what it left out and why, and what it changed.

    Args:
        datalist: the file that was written.
        splits: records by split.
        left_out: left-out entries by reason.
        notes: other counts worth knowing, such as masks that were resized.
    """

    datalist: Path = field(default_factory=Path)
    splits: dict[str, int] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)

    def to_dict(self) -> dict[str, Any]:
        """Return the counts as plain JSON values; the datalist by its name."""
        return {
            "datalist": self.datalist.name,
            "splits": dict(self.splits),
            "left_out": dict(self.left_out),
            "notes": dict(self.notes),
        }

    def __str__(self) -> str:
        lines = [f"{count:6d}  {split}" for split, count in self.splits.items()]
        lines += [f"{count:6d}  left out: {reason}" for reason, count in self.left_out.items()]
        lines += [f"{count:6d}  {note}" for note, count in self.notes.items()]
        return "\n".join(lines)


@dataclass(frozen=True)
class SourceInfo:
    """A data set that can be prepared.

    Args:
        name: as the command line spells it.
        title: one line for people.
        license: under what terms its files come.
        function: `module:function` with the signature `(source, output, *, report, ...) -> Path of the datalist`;
            imported when it is called.
    """

    name: str
    title: str
    license: str
    function: str

    def load(self) -> Callable[..., Path]:
        """Import and return the function that prepares this data set."""
        module, name = self.function.split(":")
        prepare: Callable[..., Path] = getattr(import_module(module), name)
        return prepare


SOURCES: dict[str, SourceInfo] = {
    info.name: info
    for info in (
        SourceInfo(
            "covid19-cxr",
            "COVID-19 image data collection (Cohen et al., arXiv:2006.11988)",
            "by image, some non-commercial; see the collection's metadata.csv",
            "monai_place.data.sources.covid19_cxr:prepare_covid19_cxr",
        ),
    )
}


def prepare_source(
    name: str, source: str | os.PathLike[str], output: str | os.PathLike[str], **options: Any
) -> PrepareReport:
    """Turn the files of a public data set into a datalist.

    Args:
        name: a key of `SOURCES`.
        source: the folder of the data set, as its publisher laid it out; it is only read.
        output: the folder for the datalist and what belongs to it; made where it is missing.
        options: keyword arguments of the data set's own function.

    Returns:
        What was kept and left out; `report.datalist` is the file.

    Raises:
        ValueError: the name or an option is unknown; the message lists the known ones.
    """
    if name not in SOURCES:
        raise ValueError(f"unknown data set {name!r}; known: {sorted(SOURCES)}")
    prepare = SOURCES[name].load()
    known = {key for key, value in inspect.signature(prepare).parameters.items() if value.kind is value.KEYWORD_ONLY}
    if unknown := sorted(set(options) - (known - {"report"})):
        raise ValueError(f"unknown options {unknown} for {name!r}; known: {sorted(known - {'report'})}")
    report = PrepareReport()
    prepare(source, output, report=report, **options)
    return report
