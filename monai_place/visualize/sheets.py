"""Sheets of examples as figures: what was retrieved, and where sentences were grounded."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from monai_place.visualize.estimates import NOTHING, as_estimate, format_number
from monai_place.visualize.figures import add_text, new_figure
from monai_place.visualize.inputs import GroundingExample, RetrievalExample, RetrievedItem, check_shown_image
from monai_place.visualize.overlay import overlay_heat
from monai_place.visualize.theme import LIGHT

__all__ = ["TEXT_WITHHELD", "plot_grounding_sheet", "plot_retrieval_sheet", "rank_line", "score_line", "shorten"]

TEXT_WITHHELD = "(text not shown)"
_MOST_LETTERS = 420
_HEAD, _GAP = 26, 14  # pixels


def shorten(text: str, most: int = _MOST_LETTERS) -> str:
    """Cut a text at a word, with an ellipsis, and put it on one line.

    Args:
        text: what to cut.
        most: letters to keep.

    Example:
        >>> shorten("small left effusion", 12)
        'small left…'
    """
    return textwrap.shorten(text, most, placeholder="…")


def rank_line(example: RetrievalExample) -> str:
    """Say at which rank the right answer stands.

    Args:
        example: a query with its answers.

    Example:
        >>> rank_line(RetrievalExample([], query_text="edema", right_rank=12, candidates=200))
        'right answer: rank 12 of 200'
    """
    if example.right_rank is None:
        return ""
    among = "" if example.candidates is None else f" of {example.candidates}"
    return f"right answer: rank {example.right_rank}{among}"


def score_line(value: Any) -> str:
    """Write a score of an example: words as they are, numbers as numbers.

    Args:
        value: a word or an estimate.
    """
    return value if isinstance(value, str) else as_estimate(value).text


def plot_retrieval_sheet(
    examples: Sequence[RetrievalExample], *, show_text: bool = False, width: float = 1000
) -> Figure:
    """Draw each query with its best answers, best first; the right one is framed and named.

    Args:
        examples: queries with their answers.
        show_text: write the texts of reports; False for real patients' unless you mean it.
        width: of the figure, in pixels.

    Raises:
        ValueError: if there is no example.
    """
    if not examples:
        raise ValueError("examples must hold at least one query, got none")
    columns = 1 + max(len(example.items) for example in examples)
    side = (width - _GAP * (columns - 1)) / columns
    row_height = side + 64
    figure = new_figure(width, row_height * len(examples))
    for row, example in enumerate(examples):
        text = example.query_text if show_text or example.query_text is None else TEXT_WITHHELD
        top = row * row_height
        _draw_cell(_place(figure, 0, top, side), example.query_image, text, head="query", foot=rank_line(example))
        for rank, item in enumerate(example.items, start=1):
            _draw_item(_place(figure, rank * (side + _GAP), top, side), item, rank, show_text=show_text)
    return figure


def plot_grounding_sheet(
    examples: Sequence[GroundingExample], *, show_text: bool = False, width: float = 1000
) -> Figure:
    """Draw each sentence's image and the image under the sentence's map, with the true region outlined.

    Args:
        examples: sentences with their maps.
        show_text: write the sentences; False for real patients' unless you mean it.
        width: of the figure, in pixels.

    Raises:
        ValueError: if there is no example.
    """
    if not examples:
        raise ValueError("examples must hold at least one sentence, got none")
    columns = min(2, len(examples))
    side = (width - _GAP * (2 * columns - 1)) / (2 * columns)
    row_height = side + 84
    figure = new_figure(width, row_height * -(-len(examples) // columns))
    for number, example in enumerate(examples):
        row, column = divmod(number, columns)
        left, right = (
            _place(figure, at * (side + _GAP), row * row_height + 20, side) for at in (2 * column, 2 * column + 1)
        )
        left.imshow(check_shown_image(example.image), cmap="gray", vmin=0, vmax=1)
        right.imshow(overlay_heat(example.image, example.heat, mask=example.mask))
        sentence = shorten(example.sentence, 110) if show_text else TEXT_WITHHELD
        add_text(left, 0, 1.03, textwrap.fill(sentence, 64), va="bottom", fontweight="bold")
        scores = " · ".join(f"{name} {score_line(value)}" for name, value in example.scores.items())
        add_text(left, 0, -0.03, scores, color=LIGHT["muted"], va="top")
    return figure


def _place(figure: Figure, left: float, top: float, side: float) -> Axes:
    """Add a square cell without axes, its place in pixels from the upper left; a head of one line fits above it."""
    width, height = figure.get_size_inches() * figure.dpi
    figure.set_layout_engine("none")  # places are given
    axes = figure.add_axes((left / width, 1 - (top + _HEAD + side) / height, side / width, side / height))
    axes.set_axis_off()
    return axes


def _draw_item(axes: Axes, item: RetrievedItem, rank: int, *, show_text: bool) -> None:
    score = format_number(item.score, digits=2)
    text = (item.text or NOTHING) if show_text else TEXT_WITHHELD
    if item.right:
        _draw_cell(axes, item.image, text, head=f"{rank} · {score} · right", color=LIGHT["teal"])
        axes.add_patch(
            Rectangle((0, 0), 1, 1, transform=axes.transAxes, fill=False, edgecolor=LIGHT["teal"], linewidth=3)
        )
    else:
        _draw_cell(axes, item.image, text, head=f"{rank} · {score}", color=LIGHT["muted"])


def _draw_cell(
    axes: Axes, image: Any, text: str | None, *, head: str, color: str = LIGHT["ink"], foot: str = ""
) -> None:
    add_text(axes, 0, 1.03, head, color=color, va="bottom", fontweight="bold")
    add_text(axes, 0, -0.03, foot, color=LIGHT["muted"], va="top", fontsize=10)
    if image is not None:
        axes.imshow(check_shown_image(image), cmap="gray", vmin=0, vmax=1)
    elif text is not None:
        add_text(axes, 0.04, 0.95, textwrap.fill(shorten(text, 230), 25), va="top", fontsize=9)
