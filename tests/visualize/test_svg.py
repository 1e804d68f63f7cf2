from __future__ import annotations

import re
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from monai_place.visualize import plot_loss_curves, plot_roc
from monai_place.visualize.figures import add_text, new_figure, new_grid, style_axes
from monai_place.visualize.svg import figure_to_svg
from monai_place.visualize.theme import LIGHT


@pytest.fixture
def axes():
    figure = new_figure(400, 300)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 400), ylim=(0, 300))
    axes.set_axis_off()
    return axes


def draw(axes) -> ElementTree.Element:
    return ElementTree.fromstring(figure_to_svg(axes.figure, label="a", prefix="f"))


def test_a_line_lies_where_the_data_is_with_y_downward(axes):
    axes.plot([10, 110], [20, 220], color=LIGHT["blue"], linewidth=2)
    path = draw(axes).findall("path")[-1]
    assert path.attrib["d"] == "M10 280L110 80"
    assert path.attrib["stroke"] == "var(--blue)"
    assert path.attrib["stroke-width"] == "2"
    assert path.attrib["fill"] == "none"


def test_a_gap_in_the_data_is_a_gap_in_the_line(axes):
    axes.plot([10, 20, 30, 40, 50], [10, 10, np.nan, 10, 10])
    assert draw(axes).findall("path")[-1].attrib["d"].count("M") == 2


def test_colors_of_the_theme_go_by_name_and_others_stay(axes):
    axes.plot([0, 1], [0, 1], color="#123456", alpha=0.5)
    path = draw(axes).findall("path")[-1]
    assert (path.attrib["stroke"], path.attrib["stroke-opacity"]) == ("#123456", "0.5")


def test_dashes_and_filled_markers_are_drawn(axes):
    axes.plot([0, 100], [50, 50], linestyle=(0, (4, 3)), linewidth=1, color=LIGHT["line"])
    axes.plot([50], [50], marker="o", linestyle="none", color=LIGHT["orange"], markersize=4)
    dashed, marker = draw(axes).findall("path")[-2:]
    assert dashed.attrib["stroke-dasharray"] == "4 3"
    assert marker.attrib["fill"] == "var(--orange)"
    assert "C" in marker.attrib["d"]


@pytest.mark.parametrize(("side", "anchor"), [("left", "start"), ("center", "middle"), ("right", "end")])
def test_a_text_is_anchored_where_the_figure_anchors_it(axes, side, anchor):
    add_text(axes, 100, 200, "AUROC 0.81", transform=axes.transData, ha=side, fontweight="bold", color=LIGHT["teal"])
    text = draw(axes).find("text")
    assert (text.attrib["x"], text.attrib["text-anchor"]) == ("100", anchor)
    assert float(text.attrib["y"]) == pytest.approx(100, abs=0.5)
    assert (text.attrib["fill"], text.attrib["font-weight"], text.text) == ("var(--teal)", "600", "AUROC 0.81")


def test_the_label_of_the_vertical_axis_is_turned_and_centered_on_it():
    figure, (axes,) = new_grid(1, columns=1, width=300, panel_height=200)
    style_axes(axes, y_label="sensitivity")
    svg = ElementTree.fromstring(figure_to_svg(figure, label="a", prefix="f"))
    text = next(text for text in svg.findall("text") if text.text == "sensitivity")
    assert text.attrib["transform"].startswith("rotate(-90 ")
    assert text.attrib["text-anchor"] == "middle"
    box = axes.get_position()
    assert float(text.attrib["y"]) == pytest.approx(200 * (1 - (box.y0 + box.y1) / 2), abs=0.5)


def test_lines_are_clipped_to_their_panel_by_a_rectangle_of_their_own_figure():
    figure = plot_loss_curves([{"iteration": n, "loss": 1 / n, "ita": 2 / n} for n in range(1, 50)])
    svg = figure_to_svg(figure, label="a", prefix="loss")
    defined = re.findall(r'<clipPath id="([^"]+)"', svg)
    assert defined == ["loss-clip0", "loss-clip1"]
    assert set(re.findall(r"url\(#([^)]+)\)", svg)) == set(defined)


def test_markup_in_texts_and_label_is_escaped(axes):
    add_text(axes, 0.5, 0.5, "<b>&")
    svg = figure_to_svg(axes.figure, label='"><script>', prefix="f")
    assert "<b>" not in svg
    assert "<script>" not in svg
    assert ElementTree.fromstring(svg).find("text").text == "<b>&"


def test_the_same_figure_gives_the_same_svg_and_leaves_no_global_state(roc):
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    first, second = (
        figure_to_svg(plot_roc(roc.scores, roc.labels, classes=roc.classes), label="a", prefix="f") for _ in range(2)
    )
    assert first == second
    assert dict(mpl.rcParams) == before
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
