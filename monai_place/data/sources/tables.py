"""Tables of public data sets: CSV in every encoding and line end they come in, gzipped or not, read row by row."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from monai_place.data.encodings import UTF_8, UTF_16, WESTERN

__all__ = ["check_counts", "find_file", "find_images", "read_table", "table_encoding"]

FIELD_LIMIT = 1 << 24  # characters of a cell: Python's own limit is below some run lengths

Row = dict[str, str]


def find_file(folder: Path, *names: str, what: str) -> Path:
    """Return the first of some files that is there; each is also looked for with `.gz` behind it.

    Args:
        folder: the source.
        names: paths below it, in the order to try them.
        what: the file in words, for the message.

    Raises:
        FileNotFoundError: none is there; the message lists the names.
    """
    for name in names:
        for candidate in (folder / name, folder / f"{name}.gz"):
            if candidate.is_file():
                return candidate
    listed = " or ".join(repr(name) for name in names)
    raise FileNotFoundError(f"{what} is not in the source folder: expected {listed} (or with .gz)")


def find_images(folder: Path, images: Iterable[Sequence[str]], *, what: str) -> int:
    """Return which way of laying out its images a source has: that of the first image found in any of them.

    Args:
        folder: the source.
        images: of each image its path below the source in each of the ways, in the order to try them.
        what: the images in words, for the message.

    Returns:
        The number of the way, from 0.

    Raises:
        FileNotFoundError: none of the images is there; the message shows the ways by one image.
    """
    shown: Sequence[str] = ()
    for ways in images:
        shown = shown or ways
        for number, way in enumerate(ways):
            if (folder / way).is_file():
                return number
    raise FileNotFoundError(f"{what} are not in the source folder: expected {' or '.join(map(repr, shown))} and so on")


def read_table(
    path: Path, columns: Sequence[str], *, delimiter: str = ",", encoding: str | None = None
) -> Iterator[Row]:
    """Yield the rows of a table as text, stripped; an id keeps its leading zeros.

    A row that is too short has empty cells, and what a row has too much is dropped. A byte order mark, Windows line
    ends, quoted line breaks, UTF-16 and Windows' Western encoding are read; NUL characters are dropped. Only one row is
    in memory at a time.

    Args:
        path: a CSV file; `.gz` is unpacked on the way.
        columns: that must be there.
        delimiter: between cells.
        encoding: of the file, where it is another one than these.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: columns are missing, it is no table, or not in that encoding; the message names the file and the
            line.
    """
    _require_file(path)
    with _open(path, encoding or table_encoding(path)) as file:
        csv.field_size_limit(FIELD_LIMIT)
        table = csv.DictReader((line.replace("\0", "") for line in file), delimiter=delimiter)
        try:
            fieldnames = [(name or "").strip() for name in (table.fieldnames or ())]
            table.fieldnames = fieldnames
            if missing := [column for column in columns if column not in fieldnames]:
                # Where none is found the first line may be data, and is not quoted.
                found = fieldnames[:40] if len(missing) < len(columns) else f"{len(fieldnames)} others: is it a header?"
                raise ValueError(f"{path.name}: columns {missing} are missing; found {found}")
            for row in table:
                yield {key: (value or "").strip() for key, value in row.items() if isinstance(key, str)}
        except UnicodeDecodeError:
            raise ValueError(f"{path.name}: not in encoding {encoding!r} behind line {table.line_num}") from None
        except (csv.Error, OSError, EOFError, zlib.error) as error:
            raise ValueError(f"{path.name}: not a readable table at line {table.line_num}: {error}") from None


def check_counts(name: str, expected: Mapping[str, int], found: Mapping[str, int], *, check: bool = True) -> None:
    """Refuse a data set that does not hold what its publisher says it holds.

    Args:
        name: of the data set.
        expected: how many there must be, by what is counted, such as `{"rows of train.csv": 223414}`.
        found: how many there are, of the same.
        check: False lets everything pass.

    Raises:
        ValueError: a count differs; the message names each with both numbers, and the way to go on.
    """
    wrong = [f"{what}: expected {count}, found {found.get(what, 0)}" for what, count in expected.items()]
    wrong = [line for line, (what, count) in zip(wrong, expected.items(), strict=True) if found.get(what, 0) != count]
    if check and wrong:
        raise ValueError(
            f"{name}: another version, or an incomplete download: {'; '.join(wrong)}. "
            "`--any-count` (check_counts=False) takes it as it is"
        )


def table_encoding(path: Path) -> str:
    """Return the encoding that all of a table can be read in; `WESTERN` is taken where UTF-8 fails.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it cannot be unpacked.
    """
    _require_file(path)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as raw:
            if raw.read(2) in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                return UTF_16
        with _open(path, UTF_8) as file:
            while file.read(1 << 20):
                pass
    except UnicodeDecodeError:
        return WESTERN
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path.name}: cannot be unpacked: {type(error).__name__}") from None
    return UTF_8


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"{path.name} is not in the source folder")


def _open(path: Path, encoding: str) -> IO[str]:
    errors = "replace" if encoding in (WESTERN, UTF_16) else "strict"  # cp1252 has holes
    if path.suffix == ".gz":
        return io.TextIOWrapper(gzip.open(path), encoding=encoding, errors=errors, newline="")
    return path.open(encoding=encoding, errors=errors, newline="")
