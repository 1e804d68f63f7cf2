from __future__ import annotations

import numpy as np
import pytest

from monai_place.visualize import plot_linear_probe, plot_loss_curves, plot_validation_curves
from monai_place.visualize.history import history_rows, points_of


def titles(figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes]


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_each_term_has_a_panel_and_the_learning_rate_comes_last(history):
    assert titles(plot_loss_curves(history)) == ["Total loss", "ITA · image and report", "Learning rate"]


def test_a_long_run_shows_values_and_running_mean_a_short_one_its_values(history):
    long, short = plot_loss_curves(history).axes[1], plot_loss_curves(history[:10]).axes[1]
    assert (len(long.lines), len(short.lines)) == (2, 1)
    np.testing.assert_array_equal(short.lines[0].get_xdata(), np.arange(10, 110, 10))


def test_the_validation_s_loss_is_drawn_over_that_of_training(history):
    loss = plot_loss_curves(history).axes[0]
    np.testing.assert_array_equal(loss.lines[-1].get_xdata(), [200, 400, 600])
    assert texts(loss)[1] == "validation 3.4"


def test_the_running_mean_of_a_constant_is_that_constant_at_its_ends_too():
    rows = [{"iteration": n, "loss": 2.0} for n in range(100)]
    mean = plot_loss_curves(rows).axes[0].lines[1].get_ydata()
    np.testing.assert_allclose(mean, 2.0)


def test_missing_terms_nan_and_infinities_are_gaps_and_not_errors():
    rows = [
        {"iteration": 1, "loss": 3.0},
        {"iteration": 2, "loss": float("nan")},
        {"iteration": 3, "loss": float("inf")},
    ]
    rows += [{"iteration": 4, "ita": 1.0}, {"iteration": 5, "loss": 2.0, "note": "text", "amp": True, "cce": None}]
    figure = plot_loss_curves(rows)
    assert titles(figure) == ["Total loss", "ITA · image and report"]
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_xdata(), [1, 2, 3, 5])
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), [3, np.nan, np.nan, 2])
    figure.canvas.draw()


def test_a_run_without_steps_counts_its_rows():
    axes = plot_loss_curves([{"loss": 3.0}, {"loss": 2.0}]).axes[0]
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), [0, 1])
    assert axes.get_xlabel() == "row"


def test_a_very_long_run_is_thinned_but_keeps_both_ends():
    at, _ = points_of(history_rows([{"iteration": n, "loss": 1.0} for n in range(50_000)]), "loss")
    line = plot_loss_curves([{"iteration": int(n), "loss": 1.0} for n in at]).axes[0].lines[-1].get_xdata()
    assert len(line) <= 400
    assert (line[0], line[-1]) == (0, 49_999)


@pytest.mark.parametrize("history", [[], [{"iteration": 1}], [{"loss": None}], [{"iteration": 1, "val/loss": 1.0}]])
def test_a_log_without_a_term_is_refused(history):
    with pytest.raises(ValueError, match="at least one row with a term of the loss"):
        plot_loss_curves(history)


def test_what_is_compared_shares_a_panel_and_other_numbers_have_their_own():
    rows = [
        {"iteration": n, "val/pcma_right": 3.0, "val/pcma_swapped": 5.0 + n, "val/auroc_mean": 0.6, "val/loss": 1.0}
        for n in (1, 2)
    ]
    figure = plot_validation_curves([*rows, {"iteration": 2, "loss": 1.0}])
    assert titles(figure) == ["PCMA by image", "AUROC mean"]
    assert sorted(texts(figure.axes[0])) == ["right 3.000", "swapped 7.000"]


def test_labels_do_not_lie_on_the_lines():
    rows = [{"iteration": n, "val/pcma_right": 3 + 1 / n, "val/pcma_swapped": 5.4 - 1 / n} for n in range(1, 11)]
    axes = plot_validation_curves(rows).axes[0]
    low, high = axes.get_ylim()
    lowest_text = min(text.get_position()[1] for text in axes.texts) - 0.1
    assert (max(line.get_ydata().max() for line in axes.lines) - low) / (high - low) < lowest_text


def test_the_probe_draws_a_line_and_its_intervals_for_each_network():
    results = {"PLACE": {"1.0": (0.8, 0.7, 0.9), "0.1": (0.7, 0.6, 0.8)}, "untrained": {1.0: 0.7}}
    axes = plot_linear_probe(results).axes[0]
    assert [line.get_ydata().tolist() for line in axes.lines] == [[0.7, 0.8], [0.7]]  # in the order of the shares
    assert texts(axes) == ["PLACE", "untrained"]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["10 %", "100 %"]
    with pytest.raises(ValueError, match="at least one network"):
        plot_linear_probe({})
