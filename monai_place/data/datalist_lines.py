"""The file of a datalist, read one line, that is one record, at a time: archives hold 400,000 of them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

__all__ = ["decode_json", "read_record_lines"]


def read_record_lines(path: Path, splits: Sequence[str]) -> dict[str, Any] | None:
    """Read a file of `write_datalist`'s layout record by record: the text of it all would take as much memory again.

    Args:
        path: the datalist.
        splits: the keys whose values are lists of records.

    Returns:
        What the file holds; None where it has another layout, or a fault: then it has to be read whole, and JSON's own
        messages tell what is wrong.
    """
    content: dict[str, Any] = {}
    with path.open(encoding="utf-8-sig") as file:
        if file.readline() != "{\n":
            return None
        more = True
        for line in file:
            text = line.strip()
            if text == "}":
                return content if content and not more and not file.read().strip() else None
            if not more:
                return None
            more = text.endswith(",")
            if text.endswith(": [") and text[1:-4] in splits:
                records = _read_records(file)
                if records is None:
                    return None
                content[text[1:-4]], more = records
            else:
                entry = _decoded("{" + text.removesuffix(",") + "}")
                if entry is None:
                    return None
                content.update(entry)
    return None


def _read_records(file: Iterator[str]) -> tuple[list[Any], bool] | None:
    """Read lines up to the end of a list: its records, and whether more follows behind it."""
    records: list[Any] = []
    more = True
    for line in file:
        text = line.strip()
        if text in ("]", "],"):
            return None if more and records else (records, text == "],")
        record = _decoded(text.removesuffix(","))
        if record is None or not more:
            return None
        records.append(record)
        more = text.endswith(",")
    return None


def decode_json(text: str) -> Any:
    """Decode JSON; equal keys of its objects are one string in memory, and what is not JSON (NaN) is refused.

    Raises:
        ValueError: it is not JSON.

    Example:
        >>> decode_json('{"a": [1, null]}')
        {'a': [1, None]}
    """
    return _DECODER.decode(text)


def _decoded(text: str) -> Any:
    try:
        return _DECODER.decode(text)
    except ValueError:
        return None


def _shared_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object whose keys are those of all others: a hundred megabytes less for a large archive."""
    return {sys.intern(key): value for key, value in pairs}


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_shared_keys, parse_constant=_refuse)
