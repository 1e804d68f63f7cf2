"""The commands and programs of README and docs do run.

Each block below the comment `<!-- runs -->` is executed. The others, which take too long or need the reader's data,
are held against the command line: the verb and every option must be there.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer

from monai_place.cli.app import app
from monai_place.cli.train import GIVEN_ELSEWHERE, read_settings
from monai_place.data import write_phantom
from monai_place.inference.classification_runs import classification_configs
from tests.support.models import save_tiny_place

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", "CONTRIBUTING.md", *(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^<!-- runs -->\n```(?P<language>\w+)\n(?P<code>.*?)^```$", re.M | re.S)
SHELL = re.compile(r"^```bash\n(.*?)^```$", re.M | re.S)
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
        write_phantom(tmp_path / "runs" / "demo" / "data", studies=6, size=64, seed=0)
        save_tiny_place(tmp_path / "runs" / "demo" / "run" / "models")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for language, code in blocks(page):
        interpreter = {"bash": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}[language]
        done = subprocess.run(
            [*interpreter, code],
            cwd=tmp_path,
            env=os.environ | {"PATH": path},
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        assert done.returncode == 0, f"{page}:\n{code}\n{done.stdout}\n{done.stderr}"
        assert done.stdout.strip(), f"{page}: this block prints nothing, so a reader learns nothing:\n{code}"


def test_every_page_is_read() -> None:
    assert {"README.md", "docs/getting_started.md"} <= set(PAGES)
    assert blocks("docs/getting_started.md")


def verbs() -> dict[str, Any]:
    group: Any = typer.main.get_command(app)  # a click group, or typer's own copy of it
    commands: dict[str, Any] = group.commands
    return commands


def command_lines(page: str) -> list[list[str]]:
    """Return the words of every use of `monai-place` in the shell blocks of a page."""
    text = "".join(SHELL.findall((ROOT / page).read_text(encoding="utf-8"))).replace("\\\n", " ")
    return [shlex.split(line, comments=True) for line in text.splitlines() if line.lstrip().startswith("monai-place ")]


@pytest.mark.parametrize("page", sorted(page for page in PAGES if command_lines(page)))
def test_verbs_and_options_on_the_pages_exist(page: str) -> None:
    for _, verb, *words in command_lines(page):
        assert verb in verbs(), f"monai-place has no verb {verb!r}"
        parameters = verbs()[verb].params
        options = {
            name: parameter
            for parameter in parameters
            for name in [*parameter.opts, *parameter.secondary_opts]
            if name.startswith("-")
        }
        used = [word for word in words if word.startswith("-")]
        assert set(used) <= options.keys(), f"{verb} has no {set(used) - options.keys()}"
        values = sum(1 for name in used if not options[name].is_flag)
        arguments = [parameter for parameter in parameters if parameter.param_type_name == "argument"]
        wanted = [parameter.name for parameter in arguments if parameter.nargs == 1]
        given = len(words) - len(used) - values
        assert given == len(wanted) or (given > len(wanted) and len(wanted) < len(arguments)), f"{verb} takes {wanted}"


@pytest.mark.parametrize("page", sorted(page for page in PAGES if command_lines(page)))
def test_settings_on_the_pages_exist(page: str) -> None:
    for _, verb, *words in command_lines(page):
        pairs = [value for name, value in pairwise(words) if name == "--set"]
        if verb in ("pretrain", "demo"):
            assert len(read_settings(pairs, None)) == len(pairs)
        if verb in ("probe", "finetune"):
            mode = dict(pairwise(words)).get("--mode", "clean")
            configs = classification_configs({"probe": "linear_probe"}.get(verb, verb), mode)
            assert len(read_settings(pairs, None, configs=configs)) == len(pairs)
        if verb == "train-report":
            assert len(read_settings(pairs, None, configs=("train_report.json",))) == len(pairs)


def test_settings_of_the_table_for_monai_users_exist() -> None:
    text = (ROOT / "docs" / "monai_users.md").read_text(encoding="utf-8")
    table = text.partition("| setting | meaning |")[2].partition("\n\n")[0]
    names = [
        name for line in table.splitlines() for name in re.findall(r"`([^`]+)`", line.split("|")[1] if line else "")
    ]
    ours = [name for name in names if name not in GIVEN_ELSEWHERE]
    assert len(ours) > 15
    assert read_settings([f"{name}=1" for name in ours], None).keys() == set(ours)


def test_the_table_of_verbs_is_whole() -> None:
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| `([\w-]+)", text, re.M)) == set(verbs())
