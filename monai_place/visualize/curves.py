"""Curves of a training run: every term of the loss in a panel of its own, validation, the linear probe."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from monai_place.visualize.estimates import as_estimate, format_number
from monai_place.visualize.figures import add_text, cut, new_figure, new_grid, panel_columns, style_axes, tick_sparsely
from monai_place.visualize.history import (
    VALIDATION,
    history_rows,
    loss_terms_of,
    points_of,
    step_name,
    validation_terms_of,
)
from monai_place.visualize.theme import LIGHT, SERIES

__all__ = ["plot_linear_probe", "plot_loss_curves", "plot_validation_curves"]

FloatLine = npt.NDArray[np.float64]
_TITLES = {
    "loss": "Total loss",
    "ita": "ITA · image and report",
    "pcma": "PCMA · observation and sentence",
    "patch": "PCMA · patch and sentence",
    "cce": "CCE · by the report",
    "cce_image": "CCE · by the image",
    "lr": "Learning rate",
    "gradient_norm": "Gradient norm",
    "skipped_steps": "Skipped steps",
    "pcma_gap": "Swapped-image gap, nats",
    "slot_perplexity": "Query slots in use",
    "slot_cosine": "Cosine of a slot across images",
}
# What is measured twice to be compared stands in one panel.
_COMPARED = {
    "Zero-shot AUROC": {"auroc_global": "global", "auroc_local": "local"},
    "PCMA by image": {"pcma_right": "right", "pcma_swapped": "swapped"},
    "CCE explained, by report": {"cce_explained": "right", "cce_explained_shuffled": "shuffled"},
    "Recall at 5": {"recall_at_5_image_to_text": "to report", "recall_at_5_text_to_image": "to image"},
}
_MOST_NAME = 20  # letters of a network's name beside its line
_MOST_PANELS = 12
_MOST_POINTS = 400
_SMOOTH_FROM = 24  # rows; shorter runs show every value and nothing else


def plot_loss_curves(history: Sequence[Mapping[str, Any]], *, width: float = 1000) -> Figure:
    """Plot the loss by term, each in its own panel with its own scale, and the learning rate.

    Thin lines are the logged values, bold ones their running mean, points the validation's (`val/loss` and so on).

    Args:
        history: rows of the log, as `history_rows` takes them; a term may be missing in any row.
        width: of the figure, in pixels.

    Raises:
        ValueError: if no row holds a number to draw.

    Example:
        >>> figure = plot_loss_curves([{"iteration": 1, "loss": 3.0}, {"iteration": 2, "loss": 2.0}])
        >>> figure.axes[0].get_title(loc="left")
        'Total loss'
    """
    rows = history_rows(history)
    terms = loss_terms_of(rows)[: _MOST_PANELS - 1]
    panels = [*terms, "lr"] if np.isfinite(points_of(rows, "lr")[1]).any() else terms
    if not panels:
        raise ValueError("history must hold at least one row with a term of the loss, got none")
    figure, axes = new_grid(len(panels), columns=panel_columns(len(panels), most=3), width=width, panel_height=184)
    for panel, term in zip(axes, panels, strict=True):
        style_axes(panel, title=_title(term), x_label=step_name(rows) or "row")
        tick_sparsely(panel)
        if term == "lr":
            panel.plot(*_thin(*points_of(rows, term)), color=LIGHT["muted"], linewidth=2)
            panel.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
            continue
        labels = [(f"last {_draw_term(panel, *points_of(rows, term)):.3g}", "blue")]
        at, values = points_of(rows, VALIDATION + term)
        if np.isfinite(values).any():
            panel.plot(at, values, color=LIGHT["orange"], marker="o", markersize=4, linestyle="none")
            labels.append((f"validation {_last(values):.3g}", "orange"))
        _write_in_free_corner(panel, labels)
    return figure


def plot_validation_curves(history: Sequence[Mapping[str, Any]], *, width: float = 1000) -> Figure:
    """Plot what the validation measured over the run, other than the terms of the loss.

    Args:
        history: rows of the log, as `history_rows` takes them.
        width: of the figure, in pixels.

    Raises:
        ValueError: if there is nothing to draw.
    """
    rows = history_rows(history)
    panels = _validation_panels(validation_terms_of(rows))[:_MOST_PANELS]
    if not panels:
        raise ValueError("history must hold at least one number of the validation beside the loss, got none")
    figure, axes = new_grid(len(panels), columns=panel_columns(len(panels), most=3), width=width, panel_height=184)
    for panel, (title, lines) in zip(axes, panels, strict=True):
        style_axes(panel, title=title, x_label=step_name(rows) or "row")
        tick_sparsely(panel)
        labels = []
        for color, (name, label) in zip(SERIES, lines.items(), strict=False):
            at, values = _thin(*points_of(rows, VALIDATION + name))
            panel.plot(at, values, color=LIGHT[color], marker="o", markersize=3, linewidth=2)
            labels.append((f"{label} {format_number(_last(values))}", color))
        _write_in_free_corner(panel, labels)
    return figure


def plot_linear_probe(
    results: Mapping[str, Mapping[Any, Any]], *, metric: str = "macro AUROC", width: float = 480
) -> Figure:
    """Plot the linear probe over the share of training labels, one line a network, with intervals.

    Args:
        results: network -> share of labels (0 to 1) -> estimate; the first network is the pretrained one.
        metric: what the estimates are.
        width: of the figure, in pixels.

    Raises:
        ValueError: if there is nothing to draw.
    """
    shares = sorted({float(share) for line in results.values() for share in line})
    if not shares:
        raise ValueError("results must hold at least one network with one share of labels, got none")
    figure = new_figure(width, 250)
    axes = figure.add_subplot()
    style_axes(axes, x_label="share of training labels", y_label=metric)
    tick_sparsely(axes)
    for number, (name, line) in enumerate(results.items()):
        color = LIGHT[("blue", "muted", "orange", "teal")[number % 4]]
        points = sorted((shares.index(float(share)), as_estimate(value)) for share, value in line.items())
        # A little aside, so that the intervals of two networks do not hide each other.
        at = np.array([place for place, _ in points]) + 0.06 * (number - (len(results) - 1) / 2)
        values = np.array([estimate.value for _, estimate in points])
        axes.plot(at, values, color=color, linewidth=2, marker="o", markersize=5)
        axes.vlines(at, [e.low for _, e in points], [e.high for _, e in points], color=color, linewidth=2)
        if points and math.isfinite(values[-1]):
            add_text(
                axes,
                at[-1] + 0.12,
                values[-1],
                cut(str(name), _MOST_NAME),
                color=color,
                transform=axes.transData,
                va="center",
            )
    axes.set_xticks(range(len(shares)), [f"{100 * share:g} %" for share in shares])
    room = 24 + 7 * min(_MOST_NAME, max(len(str(name)) for name in results))  # pixels for the names behind the lines
    axes.set_xlim(-0.3, len(shares) - 1 + (len(shares) - 0.7) * room / max(60, width - 60 - room))
    return figure


def _draw_term(axes: Axes, at: FloatLine, values: FloatLine) -> float:
    """Draw what was logged and its running mean; return the mean's last value."""
    mean = values
    if at.size >= _SMOOTH_FROM:
        mean = _running_mean(values, max(3, at.size // 20))
        axes.plot(*_thin(at, values), color=LIGHT["faint"], linewidth=1)
    axes.plot(*_thin(at, mean), color=LIGHT["blue"], linewidth=2)
    return _last(mean)


def _write_in_free_corner(axes: Axes, labels: Sequence[tuple[str, str]]) -> None:
    """Write texts, each in its color, under each other into a corner of the panel without points, or make room."""
    line = 0.11  # height of a text, in shares of the panel
    size = (0.45, line * len(labels) + 0.05)
    points = np.concatenate([np.asarray(drawn.get_xydata()) for drawn in axes.lines])
    limits = np.array([axes.get_xlim(), axes.get_ylim()])  # asking makes the panel scale itself to its lines
    points = (points - limits[:, 0]) / (limits[:, 1] - limits[:, 0])

    def crowd(corner: tuple[int, int]) -> int:
        return int((np.abs(points - corner) < size).all(axis=1).sum())  # NaN is nowhere

    right, top = min(((1, 1), (1, 0), (0, 1), (0, 0)), key=crowd)
    if crowd((right, top)):
        right = top = 1
        low, high = limits[1]
        axes.set_ylim(low, low + (high - low) / (1 - size[1]))
    for number, (text, color) in enumerate(labels if top else reversed(labels)):
        height = 1 - line * number if top else 0.02 + line * number
        style = {"ha": "right" if right else "left", "va": "top" if top else "bottom"}
        add_text(axes, 1.0 if right else 0.02, height, text, color=LIGHT[color], **style)


def _title(name: str) -> str:
    return _TITLES.get(name, name.replace("_", " ").replace("auroc", "AUROC"))


def _validation_panels(names: Sequence[str]) -> list[tuple[str, dict[str, str]]]:
    """Sort what was measured into panels: title, and the label of each line."""
    panels = [(title, {n: label for n, label in lines.items() if n in names}) for title, lines in _COMPARED.items()]
    panels = [(title, lines) for title, lines in panels if lines]
    together = {name for _, lines in panels for name in lines}
    return panels + [(_title(name), {name: "last"}) for name in names if name not in together]


def _last(values: FloatLine) -> float:
    known = values[np.isfinite(values)]
    return float(known[-1]) if known.size else math.nan


def _running_mean(values: FloatLine, window: int) -> FloatLine:
    """Average over up to `window` values around each one, leaving out what is not a number."""
    known = np.isfinite(values)
    ones = np.ones(min(window, values.size))
    total = np.convolve(np.where(known, values, 0), ones, mode="same")
    count = np.convolve(known.astype(np.float64), ones, mode="same")
    return np.divide(total, count, out=np.full(values.shape, np.nan), where=count > 0)


def _thin(at: FloatLine, values: FloatLine) -> tuple[FloatLine, FloatLine]:
    """Keep so many points as can be told apart, the first and the last among them."""
    if at.size <= _MOST_POINTS:
        return at, values
    kept = np.unique(np.linspace(0, at.size - 1, _MOST_POINTS).round().astype(np.int64))
    return at[kept], values[kept]
