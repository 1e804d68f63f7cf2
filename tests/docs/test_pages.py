"""What the pages point to is there."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted(path.relative_to(ROOT).as_posix() for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
LINK = re.compile(r"\]\((?!https?:|#)([^)#\s]+)(?:#[^)]*)?\)|\{image\} (\S+)")


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files_of_the_repository(page: str) -> None:
    folder = (ROOT / page).parent
    targets = [first or second for first, second in LINK.findall((ROOT / page).read_text(encoding="utf-8"))]
    missing = [target for target in targets if not (folder / target).exists()]
    assert not missing


@pytest.mark.parametrize("page", ["README.md", "docs/index.md", "docs/getting_started.md", "docs/clinical_teams.md"])
def test_page_says_that_this_is_no_medical_device(page: str) -> None:
    text = " ".join((ROOT / page).read_text(encoding="utf-8").replace("*", "").split())
    assert "not a medical device" in text.lower()


def test_pictures_are_whole_and_load_nothing_from_elsewhere() -> None:
    pictures = sorted((ROOT / "docs" / "images").glob("*.svg"))
    assert pictures
    for picture in pictures:
        text = picture.read_text(encoding="utf-8")
        assert ElementTree.fromstring(text).find("{http://www.w3.org/2000/svg}title") is not None
        assert not re.search(r"(href|src)\s*=|@import|url\((?!#)|<script", text)
