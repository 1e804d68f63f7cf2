"""What the figures share: a bare Matplotlib figure without pyplot or global state, its look, and saving it whole."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.ticker import MaxNLocator

from monai_place.atomic import atomic_path
from monai_place.visualize.theme import LIGHT

__all__ = [
    "FONT",
    "add_text",
    "as_labels",
    "cut",
    "new_figure",
    "new_grid",
    "panel_columns",
    "printable",
    "save_figure",
    "style_axes",
    "tick_sparsely",
]

FONT = "DejaVu Sans"  # comes with Matplotlib: the same figure on every machine
SMALL, NORMAL = 11, 12  # pixels at 72 dots an inch
_DPI = 72
_MOST_TITLE = 36  # letters; a longer one would push the panels together
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure that no global list knows of.

    Args:
        width: in pixels at 72 dots an inch.
        height: the same.
    """
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor=LIGHT["page"], layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def new_grid(panels: int, *, columns: int, width: float, panel_height: float) -> tuple[Figure, list[Axes]]:
    """Make a figure of panels in rows, left to right and top to bottom.

    Args:
        panels: number of panels, at least one.
        columns: panels in a row.
        width: of the figure, in pixels.
        panel_height: of a row, in pixels.
    """
    rows = -(-panels // columns)
    figure = new_figure(width, rows * panel_height)
    # In shares of a panel: numbers of one panel stay clear of the next.
    figure.set_layout_engine("constrained", wspace=0.03, hspace=0.05)
    grid = figure.add_gridspec(rows, columns)
    axes = [figure.add_subplot(grid[number // columns, number % columns]) for number in range(panels)]
    return figure, axes


def style_axes(axes: Axes, *, title: str = "", x_label: str = "", y_label: str = "") -> None:
    """Give a panel the look of the project: two thin axes, a faint grid, small muted numbers, its title at the left.

    Args:
        axes: the panel.
        title: its head, bold.
        x_label: what the horizontal axis is.
        y_label: what the vertical axis is.
    """
    axes.set_facecolor("none")
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(LIGHT["line"])
        spine.set_linewidth(1)
    axes.tick_params(colors=LIGHT["line"], labelcolor=LIGHT["muted"], labelsize=SMALL, length=3, width=1, pad=4)
    axes.tick_params(labelfontfamily=FONT)
    axes.grid(visible=True, color=LIGHT["grid"], linewidth=1)
    axes.set_axisbelow(True)
    head = axes.set_title(printable(cut(title, _MOST_TITLE)), loc="left", pad=8, parse_math=False)
    head.set(fontsize=NORMAL, fontfamily=FONT, fontweight="bold", color=LIGHT["ink"])
    for set_label, text in ((axes.set_xlabel, x_label), (axes.set_ylabel, y_label)):
        set_label(printable(text), fontsize=SMALL, fontfamily=FONT, color=LIGHT["muted"], parse_math=False)


def tick_sparsely(axes: Axes, *, x: int = 4, y: int = 4) -> None:
    """Put few round numbers on the axes.

    Args:
        axes: the panel.
        x: most intervals on the horizontal axis.
        y: most intervals on the vertical axis.
    """
    axes.xaxis.set_major_locator(MaxNLocator(x, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(y, steps=[1, 2, 2.5, 5, 10]))


def add_text(axes: Axes, x: float, y: float, text: str, **style: Any) -> None:
    """Write `text` as it is (a dollar sign is a dollar sign) at `x`, `y` of the panel.

    Args:
        axes: the panel.
        x: place in the panel, 0 left to 1 right, unless `transform` says otherwise.
        y: place in the panel, 0 bottom to 1 top.
        text: what to write.
        style: further properties of a Matplotlib text.
    """
    defaults = {"transform": axes.transAxes, "fontsize": SMALL, "fontfamily": FONT, "color": LIGHT["ink"]}
    axes.text(x, y, printable(text), **{**defaults, "parse_math": False, **style})


@cache
def _drawable() -> frozenset[int]:
    return frozenset(get_font(findfont(FontProperties(family=FONT))).get_charmap())


def printable(text: str) -> str:
    """Return `text` with a mark for each character that the font lacks; Matplotlib would warn about every one.

    Example:
        >>> printable("nodule 5 mm")
        'nodule 5 mm'
    """
    known = _drawable()
    return "".join(letter if ord(letter) in known or letter == "\n" else _REPLACEMENT for letter in text)


def cut(text: str, most: int) -> str:
    """Return the first `most` letters of a text that is longer, the last one an ellipsis.

    Args:
        text: what to cut.
        most: letters to keep.

    Example:
        >>> cut("pleural effusion", 8), cut("nodule", 8)
        ('pleural…', 'nodule')
    """
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def save_figure(figure: Figure, path: str | os.PathLike[str], *, dpi: int = 144) -> Path:
    """Write a figure, whole or not at all; the same figure gives the same bytes.

    Args:
        figure: what a `plot_` function returned.
        path: file to write; its ending says the format: .png or .pdf.
        dpi: dots an inch of a PNG; 72 give the figure's own size in pixels.

    Raises:
        ValueError: if the ending is neither.
    """
    target = Path(path)
    # What would change is left out: the version of Matplotlib, the time.
    metadata = {".png": {"Software": None}, ".pdf": {"CreationDate": None}}
    if target.suffix not in metadata:
        raise ValueError(f"path must end in one of {sorted(metadata)}, got {target.name!r}")
    with atomic_path(target) as temporary:
        figure.savefig(temporary, format=target.suffix[1:], dpi=dpi, metadata=metadata[target.suffix])
    return target


def panel_columns(panels: int, *, most: int = 4) -> int:
    """Choose how many panels stand in a row so that the last row is not nearly empty.

    Args:
        panels: number of panels.
        most: most in a row.

    Example:
        >>> [panel_columns(panels) for panels in (1, 3, 5, 7, 9)]
        [1, 3, 3, 4, 3]
    """
    if panels <= most:
        return max(1, panels)
    return min(range(most, max(1, most - 2), -1), key=lambda columns: (-panels) % columns)


def as_labels(names: Sequence[Any]) -> list[str]:
    """Turn names of findings into labels with a capital letter.

    Args:
        names: names as the data has them.

    Example:
        >>> as_labels(["pleural effusion", "COVID-19"])
        ['Pleural effusion', 'COVID-19']
    """
    return [str(name)[:1].upper() + str(name)[1:] for name in names]
