"""The table that comes with one's own images or reports: columns of any name, cells that are in no message."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from monai_place.data.datalist import SPLITS
from monai_place.data.deidentify import date_forms, name_forms
from monai_place.data.encodings import WESTERN
from monai_place.data.paths import resolve_inside
from monai_place.data.sources.tables import Row, read_table, table_encoding

__all__ = ["LABEL", "OwnTable", "open_table"]

LABEL = "label:"
LABELS = {"": None, "0": 0, "1": 1, "0.0": 0, "1.0": 1}
SPLIT_NAMES = {"train": "training", "val": "validation", "valid": "validation", **{split: split for split in SPLITS}}


@dataclass(frozen=True)
class OwnTable:
    """Rows, and which of their columns holds what.

    Args:
        name: of the file.
        rows: as text.
        columns: the column of each key; keys without one are not there.
        personal: columns whose cells tell about people.
        is_guess: whether the encoding is no more than likely, since the file is no UTF-8.
    """

    name: str = ""
    rows: tuple[Row, ...] = ()
    columns: Mapping[str, str] = field(default_factory=dict)
    personal: tuple[str, ...] = ()
    is_guess: bool = False

    @property
    def classes(self) -> list[str]:
        """Names of the classes that have a column."""
        return [key.removeprefix(LABEL) for key in self.columns if key.startswith(LABEL)]

    def cell(self, row: Row, key: str) -> str:
        """Return what a row has of a key; blank where it has nothing."""
        return row.get(self.columns[key], "") if key in self.columns else ""

    def known(self, row: Row) -> set[str]:
        """Return the strings of a row that a report must not hold: its numbers, and its personal cells in all forms."""
        cells = {row.get(column, "") for column in self.personal}
        forms = {form for cell in cells for form in (*name_forms(cell), *date_forms(cell))}
        return forms | cells | {self.cell(row, key) for key in ("patient_id", "study_id", "accession", "study_uid")}

    def label(self, number: int, row: Row) -> list[int | None]:
        """Return 1, 0 or None for each class.

        Args:
            number: of the row, for the message.
            row: of this table.

        Raises:
            ValueError: a cell is something else; the message does not quote it.
        """
        cells = {key: self.cell(row, key) for key in self.columns if key.startswith(LABEL)}
        for key, cell in cells.items():
            if cell not in LABELS:
                place = f"{self.name}: row {number}, column {self.columns[key]!r}"
                raise ValueError(f"{place}: a label is 1, 0 or blank, this cell holds something else")
        return [LABELS[cell] for cell in cells.values()]

    def split(self, row: Row) -> str | None:
        """Return the split that a row names, or None."""
        return SPLIT_NAMES.get(self.cell(row, "split").lower())


def open_table(
    source: Path,
    table: str,
    columns: Mapping[str, str] | None,
    *,
    keys: Sequence[str],
    required: Sequence[str],
    delimiter: str = ",",
    encoding: str | None = None,
    personal: Sequence[str] = (),
) -> OwnTable:
    """Read a table whole.

    Args:
        source: the folder of the archive.
        table: path of the file below it.
        columns: the column of each key; by default the columns that are named like keys.
        keys: that there are, besides those which begin with `label:`.
        required: of the keys.
        delimiter: between cells.
        encoding: of the file; None finds it out as far as that can be done.
        personal: columns whose cells tell about people.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the path leaves the source, a key is unknown, or a column is missing; the message quotes no cell,
            and not the header, since a table without one begins with a person.
    """
    path = resolve_inside(source, table)
    chosen = encoding or table_encoding(path)
    rows = tuple(read_table(path, (), delimiter=delimiter, encoding=chosen))
    if not rows:
        raise ValueError(f"{path.name}: the table has no row")
    there = list(rows[0])
    if columns is not None and not isinstance(columns, Mapping):
        raise ValueError(f"columns must map keys to columns, such as {{'image': 'file'}}, got {type(columns).__name__}")
    if columns is None:
        columns = {name: name for name in there if name in keys or name.startswith(LABEL)}
    if unknown := [key for key in columns if key not in keys and not key.startswith(LABEL)]:
        raise ValueError(f"columns: unknown keys {unknown}; known: {[*keys, LABEL + 'CLASS']}")
    wanted = [*columns.values(), *personal]
    missing = [name for name in wanted if name not in there] + [key for key in required if key not in columns]
    if missing:
        raise ValueError(
            f"{path.name}: columns {missing} are missing among the {len(there)} that are there; `columns` says which "
            "column holds what, `delimiter` what stands between cells"
        )
    return OwnTable(path.name, rows, dict(columns), tuple(personal), is_guess=encoding is None and chosen == WESTERN)
