"""The package that the page writes is the one that lies in tests/data, where it is linted; the page itself runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "tests" / "data" / "vendor_package"
FILE = re.compile(r"^cat > northside/(?P<name>\S+) <<'FILE'\n(?P<text>.*?)^FILE$", re.M | re.S)


def written() -> dict[str, str]:
    text = (ROOT / "docs" / "extend_transforms.md").read_text(encoding="utf-8")
    return {match["name"]: match["text"] for match in FILE.finditer(text)}


def test_the_page_writes_every_file_of_the_package() -> None:
    files = {path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*") if path.suffix in (".py", ".toml")}
    assert written().keys() == files


@pytest.mark.parametrize("name", sorted(written()))
def test_a_file_on_the_page_is_the_one_that_is_linted(name: str) -> None:
    assert written()[name] == (PACKAGE / name).read_text(encoding="utf-8")


def test_the_package_knows_nothing_of_our_insides() -> None:
    for text in written().values():
        assert set(re.findall(r"^from (monai_place[\w.]*) import", text, re.M)) <= {"monai_place.data"}
