"""Sphinx settings: Markdown pages, and the reference from the docstrings. `make docs` builds; a warning is an error."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import monai_place

project = "monai-place"
author = "The monai-place developers"
version = release = monai_place.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.mathjax", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"monai-place {release}"
html_show_copyright = False
html_show_sphinx = False

myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

default_role = "code"  # docstrings write `name`, as Markdown does
autodoc_default_options = {"members": True, "show-inheritance": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_numpy_docstring = False
napoleon_custom_sections = ["Shape", "Reference"]

TABLE_RULE = re.compile(r"\|(\s*:?-+:?\s*\|)+")
PACKAGE = Path(monai_place.__file__).parent
REFERENCE = Path(__file__).parent / "reference"


def setup(app: Any) -> None:
    """Write the reference pages, and let docstrings keep the Markdown that is readable in the source."""
    _write_reference()
    app.connect("autodoc-process-docstring", _markdown_to_rest, priority=100)  # before napoleon, at 500
    app.connect("autodoc-skip-member", _skip_what_another_module_defines)


def _write_reference() -> None:
    """Write one page a package, with every module of it, so that none is forgotten (the pages are not committed)."""
    parts = sorted(path for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file())
    for part in parts:
        name = part.stem
        if name.startswith("_"):
            continue
        files = [part] if part.is_file() else sorted(part.rglob("*.py"))
        modules = [path.relative_to(PACKAGE).with_suffix("").as_posix().replace("/", ".") for path in files]
        page = [f"# {name}"]
        for module in (f"monai_place.{module}".removesuffix(".__init__") for module in modules):
            if part.is_dir():
                page.append(f"## {module.removeprefix('monai_place.')}")
            page.append(f"```{{eval-rst}}\n.. automodule:: {module}\n```")
        text = "\n\n".join(page) + "\n"
        target = REFERENCE / f"{name}.md"
        if not target.exists() or target.read_text(encoding="utf-8") != text:
            target.write_text(text, encoding="utf-8")
    for old in REFERENCE.glob("*.md"):
        if old.stem not in {"index", *(part.stem for part in parts)}:
            old.unlink()


def _skip_what_another_module_defines(app: Any, what: str, _name: str, thing: Any, skip: bool, _options: Any) -> bool:  # noqa: FBT001
    """Document a name where it is defined, and not again where it is only handed on."""
    home, module = getattr(thing, "__module__", None), app.env.temp_data.get("autodoc:module")
    return skip or bool(what == "module" and home and module and home != module)


def _markdown_to_rest(_app: Any, _what: str, _name: str, _thing: Any, _options: Any, lines: list[str]) -> None:
    lines[:] = list(_tables(lines))


def _tables(lines: list[str]) -> Iterator[str]:
    """Yield the lines with each Markdown table as a list-table."""
    index = 0
    while index < len(lines):
        if index + 1 < len(lines) and lines[index].startswith("|") and TABLE_RULE.fullmatch(lines[index + 1].strip()):
            yield from ("", ".. list-table::", "   :header-rows: 1", "")
            while index < len(lines) and lines[index].startswith("|"):
                if not TABLE_RULE.fullmatch(lines[index].strip()):
                    cells = [cell.strip() for cell in lines[index].strip().strip("|").split("|")]
                    yield from (f"   {'* -' if column == 0 else '  -'} {cell}" for column, cell in enumerate(cells))
                index += 1
            yield ""
        else:
            yield lines[index]
            index += 1
