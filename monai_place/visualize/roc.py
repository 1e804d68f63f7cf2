"""ROC and precision-recall curves, a panel a finding, the ways of scoring in one panel."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score, roc_curve

from monai_place.visualize.estimates import Estimate, as_estimate
from monai_place.visualize.figures import add_text, as_labels, cut, new_grid, panel_columns, style_axes
from monai_place.visualize.inputs import RocScores
from monai_place.visualize.theme import LIGHT, SERIES

__all__ = ["finding_auroc", "plot_precision_recall", "plot_roc"]

Array = npt.NDArray[Any]
Curve = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]
_MOST_NAME = 16  # letters of a way of scoring
_MOST_PANELS = 24
_MOST_POINTS = 300


def plot_roc(
    scores: Array | Mapping[str, Array],
    labels: Array,
    *,
    classes: Sequence[str],
    intervals: Any = None,
    width: float = 1000,
) -> Figure:
    """Plot ROC curves, a panel a finding.

    Args:
        scores: (B, C), or several of them by name, such as {"global": .., "local": ..}.
        labels: (B, C) of 0, 1 and NaN (not known).
        classes: C names.
        intervals: C estimates of the AUROC, or by name as in `scores`; computed, without intervals, where None.
        width: of the figure, in pixels.

    Raises:
        ValueError: if shapes do not fit each other.

    Example:
        >>> import numpy as np
        >>> labels = np.array([[0.0], [1.0], [1.0], [0.0]])
        >>> figure = plot_roc(labels * 0.8 + 0.1, labels, classes=["nodule"])
        >>> figure.axes[0].get_title(loc="left")
        'Nodule'
    """
    data = _as_roc_scores(scores, labels, classes, intervals)
    return _plot(
        data,
        _roc_points,
        width=width,
        summary=finding_auroc(data),
        axes_names=("1 \N{MINUS SIGN} specificity", "sensitivity"),
    )


def plot_precision_recall(
    scores: Array | Mapping[str, Array],
    labels: Array,
    *,
    classes: Sequence[str],
    intervals: Any = None,
    width: float = 1000,
) -> Figure:
    """Plot precision over recall, a panel a finding; a dashed line shows the share of positives.

    Args:
        scores: (B, C), or several of them by name.
        labels: (B, C) of 0, 1 and NaN (not known).
        classes: C names.
        intervals: C estimates of the average precision, or by name; computed, without intervals, where None.
        width: of the figure, in pixels.

    Raises:
        ValueError: if shapes do not fit each other.
    """
    data = _as_roc_scores(scores, labels, classes, intervals)
    summary = _summary(data, average_precision_score)
    return _plot(data, _precision_recall_points, width=width, summary=summary, axes_names=("recall", "precision"))


def finding_auroc(data: RocScores) -> dict[str, list[Estimate]]:
    """Return the AUROC of every finding for every way of scoring: as given, or else computed without intervals.

    Args:
        data: scores, labels and what is known of their AUROC.
    """
    return _summary(data, roc_auc_score)


def _summary(data: RocScores, measure: Callable[[Array, Array], float]) -> dict[str, list[Estimate]]:
    summary = {}
    for name in data.scores:
        if name in data.auroc:
            summary[name] = [as_estimate(value) for value in data.auroc[name]]
            continue
        pairs = [_known(data, name, column) for column in range(len(data.classes))]
        summary[name] = [Estimate(float(measure(*pair)) if _has_both(pair[0]) else math.nan) for pair in pairs]
    return summary


def _as_roc_scores(scores: Any, labels: Array, classes: Sequence[str], intervals: Any) -> RocScores:
    named = scores if isinstance(scores, Mapping) else {"": scores}
    if intervals is None:
        intervals = {}
    elif not isinstance(intervals, Mapping):
        intervals = dict.fromkeys(named, intervals)
    return RocScores(named, labels, classes, auroc=intervals)


def _plot(
    data: RocScores,
    points: Callable[[Array, Array], Curve],
    *,
    width: float,
    summary: Mapping[str, Sequence[Estimate]],
    axes_names: tuple[str, str],
) -> Figure:
    shown = list(range(len(data.classes)))[:_MOST_PANELS]
    columns = panel_columns(len(shown))
    figure, axes = new_grid(len(shown), columns=columns, width=width, panel_height=width / columns + 10)
    titles = as_labels(data.classes)
    for panel, column in zip(axes, shown, strict=True):
        last_row, first_column = column + columns >= len(shown), column % columns == 0
        style_axes(
            panel,
            title=titles[column],
            x_label=axes_names[0] if last_row else "",
            y_label=axes_names[1] if first_column else "",
        )
        panel.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), aspect="equal")
        panel.set_xticks([0, 0.5, 1], ["0", ".5", "1"])
        panel.set_yticks([0, 0.5, 1], ["0", ".5", "1"])
        estimates = {name: summary[name][column] for name in data.scores}
        _draw_curves(panel, data, column, points, estimates)
    return figure


def _draw_curves(
    panel: Axes,
    data: RocScores,
    column: int,
    points: Callable[[Array, Array], Curve],
    estimates: Mapping[str, Estimate],
) -> None:
    truth, _ = _known(data, next(iter(data.scores)), column)
    if not _has_both(truth):
        text = (
            "all labels positive" if truth.size and truth.all() else "no positive label" if truth.size else "no label"
        )
        add_text(panel, 0.5, 0.5, text, color=LIGHT["muted"], ha="center", va="center")
        return
    is_roc = points is _roc_points
    chance = [0.0, 1.0] if is_roc else [float(truth.mean())] * 2
    panel.plot([0, 1], chance, color=LIGHT["line"], linewidth=1, linestyle=(0, (4, 3)))
    for number, name in enumerate(data.scores):
        color = LIGHT[SERIES[number % len(SERIES)]]
        style = "default" if is_roc else "steps-post"
        panel.plot(*points(*_known(data, name, column)), color=color, linewidth=2, drawstyle=style)
        estimate = estimates[name]
        label = f"{cut(name, _MOST_NAME)} {estimate.number}".strip()
        # The corner that a good curve leaves free: lower right for ROC, upper right for a rare finding's precision.
        height = 0.03 + 0.1 * (len(data.scores) - 1 - number) if is_roc else 0.9 - 0.1 * number
        add_text(panel, 0.98, height, label, color=color, ha="right", va="bottom", fontweight="bold")


def _known(data: RocScores, name: str, column: int) -> tuple[Array, Array]:
    """Return labels and scores of the studies whose label and score are known."""
    truth = np.asarray(data.labels, dtype=np.float64)[:, column]
    values = np.asarray(data.scores[name], dtype=np.float64)[:, column]
    known = np.isfinite(truth) & np.isfinite(values)
    return truth[known], values[known]


def _has_both(truth: Array) -> bool:
    return bool(truth.size) and 0 < truth.sum() < truth.size


def _roc_points(truth: Array, values: Array) -> Curve:
    false_positives, true_positives, _ = roc_curve(truth, values)
    return _thin(false_positives, true_positives)


def _precision_recall_points(truth: Array, values: Array) -> Curve:
    # From the highest recall down; drawn as steps, the area below is the average precision.
    precision, recall, _ = precision_recall_curve(truth, values)
    return _thin(recall, precision)


def _thin(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> Curve:
    if x.size <= _MOST_POINTS:
        return x, y
    kept = np.unique(np.linspace(0, x.size - 1, _MOST_POINTS).round().astype(np.int64))
    return x[kept], y[kept]
