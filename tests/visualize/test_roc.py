from __future__ import annotations

import numpy as np
import pytest

from monai_place.visualize import RocScores, plot_precision_recall, plot_roc
from monai_place.visualize.roc import finding_auroc

LABELS = np.array([[0, 1], [1, 1], [0, 0], [1, 0], [np.nan, 1]], dtype=float)
SCORES = np.array([[0.1, 0.9], [0.8, 0.2], [0.4, 0.3], [0.3, 0.1], [0.9, 0.5]])


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_the_curve_steps_through_the_points_worked_by_hand():
    # Finding 0, known labels only: scores 0.8 (1), 0.4 (0), 0.3 (1), 0.1 (0): AUROC 3 of 4 pairs.
    axes = plot_roc(SCORES, LABELS, classes=["nodule", "edema"]).axes[0]
    curve = np.column_stack([axes.lines[1].get_xdata(), axes.lines[1].get_ydata()])
    np.testing.assert_array_equal(curve, [[0, 0], [0, 0.5], [0.5, 0.5], [0.5, 1], [1, 1]])
    assert texts(axes) == ["0.750"]


def test_precision_and_recall_are_those_worked_by_hand():
    # Finding 1: 0.9 (1), 0.5 (1), 0.3 (0), 0.2 (1), 0.1 (0): average precision (1 + 1 + 3/4) / 3.
    axes = plot_precision_recall(SCORES, LABELS, classes=["nodule", "edema"]).axes[1]
    assert texts(axes) == ["0.917"]
    recall, precision = axes.lines[1].get_data()
    np.testing.assert_allclose(precision, [0.6, 0.75, 2 / 3, 1, 1, 1])
    assert axes.lines[1].get_drawstyle() == "steps-post"
    assert (precision[:-1] * -np.diff(recall)).sum() == pytest.approx(2.75 / 3)  # the area below these steps
    np.testing.assert_allclose(axes.lines[0].get_ydata(), 0.6)  # share of positives


def test_ways_of_scoring_share_a_panel_and_given_intervals_are_written():
    figure = plot_roc(
        {"global": SCORES, "local": -SCORES},
        LABELS,
        classes=["nodule", "edema"],
        intervals={"global": [(0.751, 0.6, 0.9), 0.5]},
    )
    assert texts(figure.axes[0]) == ["global 0.751", "local 0.250"]
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["Nodule", "Edema"]


@pytest.mark.parametrize(
    ("label", "text"), [(0.0, "no positive label"), (1.0, "all labels positive"), (np.nan, "no label")]
)
@pytest.mark.parametrize("plot", [plot_roc, plot_precision_recall])
def test_a_finding_without_both_kinds_of_label_says_so(plot, label, text):
    axes = plot(SCORES[:, :1], np.full((5, 1), label), classes=["nodule"]).axes[0]
    assert texts(axes) == [text]
    assert not axes.lines
    data = RocScores({"": SCORES[:, :1]}, np.full((5, 1), label), ["nodule"])
    assert np.isnan(finding_auroc(data)[""][0].value)


def test_a_score_that_is_not_known_is_left_out():
    scores = np.vstack([SCORES, [[np.nan, 0.0]]])
    labels = np.vstack([LABELS, [[0.0, 0.0]]])
    assert texts(plot_roc(scores, labels, classes=["nodule", "edema"]).axes[0]) == ["0.750"]


def test_a_name_with_dollar_signs_is_no_formula():
    figure = plot_roc(SCORES, LABELS, classes=["$\\frac{$", "edema"])
    figure.canvas.draw()
    assert figure.axes[0].get_title(loc="left") == "$\\frac{$"


def test_a_hundred_findings_make_panels_up_to_a_bound():
    labels = np.tile(LABELS[:, :1], (1, 100))
    assert len(plot_roc(np.tile(SCORES[:, :1], (1, 100)), labels, classes=[str(n) for n in range(100)]).axes) == 24


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": LABELS[:, :1]}, r"labels must have the shape \(B, C\) with C = 2, got \(5, 1\)"),
        ({"labels": LABELS * 2}, r"labels must be 0, 1 or NaN, got \[.*2\.0"),
        ({"scores": SCORES[:4]}, r"must have the shape of labels \(5, 2\), got \(4, 2\)"),
        ({"scores": {}}, "at least one way of scoring"),
        ({"intervals": [0.5]}, "must hold 2 estimates, got 1"),
    ],
    ids=["classes", "labels", "studies", "none", "intervals"],
)
def test_what_does_not_fit_is_refused(change, message):
    arguments = {"scores": SCORES, "labels": LABELS, "classes": ["nodule", "edema"], **change}
    with pytest.raises(ValueError, match=message):
        plot_roc(arguments.pop("scores"), arguments.pop("labels"), **arguments)
