"""Encodings of texts that do not say theirs."""

from __future__ import annotations

import pytest

from monai_place.data.encodings import check_encoding, text_encoding


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(b"", "utf-8-sig", id="nothing"),
        pytest.param("Erguß".encode(), "utf-8-sig", id="UTF-8"),
        pytest.param("Erguß".encode("utf-8-sig"), "utf-8-sig", id="BOM"),
        pytest.param("Erguß".encode("utf-16"), "utf-16", id="UTF-16"),
        pytest.param("Erguß".encode("cp1252"), "cp1252", id="Western"),
        pytest.param("выпот".encode("cp1251"), "cp1252", id="Cyrillic, which nothing tells"),
    ],
)
def test_what_can_be_found_out_is_found_out(data: bytes, expected: str) -> None:
    assert text_encoding(data) == expected


@pytest.mark.parametrize(("name", "expected"), [("UTF8", "utf-8-sig"), ("GBK", "gbk"), ("windows-1251", "cp1251")])
def test_an_encoding_has_many_names(name: str, expected: str) -> None:
    assert check_encoding(name) == expected


@pytest.mark.parametrize("name", ["klingon", "base64", "rot13", "", "a\0b", 7])
def test_what_encodes_no_text_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="encoding must be one that Python knows"):
        check_encoding(name)
