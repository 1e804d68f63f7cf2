"""The commands and programs of README and docs do run: each block below the comment `<!-- runs -->` is executed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from monai_place.data import write_phantom
from tests.support.models import save_tiny_place

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", "CONTRIBUTING.md", *(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^<!-- runs -->\n```(?P<language>\w+)\n(?P<code>.*?)^```$", re.M | re.S)
MARK = re.compile(r"^<!-- runs -->", re.M)


def blocks(page: str) -> list[tuple[str, str]]:
    """Return (language, code) of the blocks of a page that are to run, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = [(match["language"], match["code"]) for match in BLOCK.finditer(text)]
    assert len(found) == len(MARK.findall(text)), f"{page}: a mark without a block below it"
    return found


@pytest.mark.parametrize("page", sorted(page for page in PAGES if blocks(page)))
def test_marked_blocks_run(page: str, tmp_path: Path) -> None:
    # One folder a page, so that a block finds what the one before it made; README begins where `make demo` ended.
    if page == "README.md":
        write_phantom(tmp_path / "runs" / "demo" / "phantom", studies=6, size=64, seed=0)
        save_tiny_place(tmp_path / "runs" / "demo" / "model")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for language, code in blocks(page):
        interpreter = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}[language]
        done = subprocess.run(
            [*interpreter, code],
            cwd=tmp_path,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        assert done.returncode == 0, f"{page}:\n{code}\n{done.stdout}\n{done.stderr}"
        assert done.stdout.strip(), f"{page}: this block prints nothing, so a reader learns nothing:\n{code}"


def test_every_page_is_read() -> None:
    assert {"README.md", "docs/getting_started.md"} <= set(PAGES)
    assert blocks("docs/getting_started.md")
