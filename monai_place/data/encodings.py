"""In which encoding a text is that does not say so: UTF-8, UTF-16 with its mark, or else Windows' Western one."""

from __future__ import annotations

import codecs

__all__ = ["UTF_8", "UTF_16", "WESTERN", "check_encoding", "text_encoding"]

UTF_8, UTF_16, WESTERN = "utf-8-sig", "utf-16", "cp1252"


def text_encoding(data: bytes) -> str:
    """Return the encoding of a text; of what is no UTF-8 nothing is known, and `WESTERN` is taken.

    Example:
        >>> text_encoding("Herzgröße".encode()), text_encoding("Herzgröße".encode("latin-1"))
        ('utf-8-sig', 'cp1252')
    """
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return UTF_16
    try:
        data.decode(UTF_8)
    except UnicodeDecodeError:
        return WESTERN
    return UTF_8


def check_encoding(encoding: str) -> str:
    """Return Python's name of an encoding of text, such as cp1251, gbk, big5, shift_jis or latin-1.

    Args:
        encoding: by any of its names.

    Raises:
        ValueError: Python knows no such encoding of text.

    Example:
        >>> check_encoding("Windows-1251")
        'cp1251'
    """
    try:
        "".encode(encoding)  # refuses what encodes no text, too, such as base64
        name = codecs.lookup(encoding).name
    except (LookupError, TypeError, ValueError):
        raise ValueError(f"encoding must be one that Python knows, such as cp1251 or gbk, got {encoding!r}") from None
    return UTF_8 if name == "utf-8" else name
