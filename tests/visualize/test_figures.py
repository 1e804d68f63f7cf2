from __future__ import annotations

import sys

import pytest
from PIL import Image

from monai_place.visualize import plot_grounding_sheet, save_figure
from monai_place.visualize.figures import add_text, new_figure, new_grid, panel_columns, printable, style_axes


@pytest.mark.parametrize("suffix", [".png", ".pdf"])
def test_a_saved_figure_is_the_same_file_every_time(report, tmp_path, suffix):
    first, second = (
        save_figure(plot_grounding_sheet(report.grounding_examples), tmp_path / f"{name}{suffix}", dpi=72)
        for name in "ab"
    )
    assert first.read_bytes() == second.read_bytes()


def test_an_unknown_ending_is_refused_and_nothing_is_left(report, tmp_path):
    with pytest.raises(ValueError, match=r"must end in one of .*got 'a\.bmp'"):
        save_figure(plot_grounding_sheet(report.grounding_examples), tmp_path / "a.bmp")
    assert list(tmp_path.iterdir()) == []


def test_at_72_dots_an_inch_a_saved_figure_has_its_own_size_in_pixels(tmp_path):
    with Image.open(save_figure(new_figure(300, 200), tmp_path / "a.png", dpi=72)) as picture:
        assert picture.size == (300, 200)


def test_a_figure_that_cannot_be_written_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    figure = new_figure(100, 100)
    axes = figure.add_subplot()
    axes.text(0.5, 0.5, r"$\frac{$")  # a formula that Matplotlib cannot read, found out while it draws
    with pytest.raises(ValueError, match="frac"):
        save_figure(figure, path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_panels_stand_left_to_right_and_top_to_bottom():
    figure, axes = new_grid(5, columns=3, width=600, panel_height=100)
    figure.canvas.draw()
    corners = [(round(panel.get_position().x0, 2), round(panel.get_position().y0, 2)) for panel in axes]
    assert len(corners) == 5
    assert corners == sorted(corners, key=lambda corner: (-corner[1], corner[0]))
    assert len({y for _, y in corners}) == 2


@pytest.mark.parametrize("panels", range(1, 30))
def test_there_are_never_more_panels_in_a_row_than_allowed_nor_than_there_are(panels):
    assert 1 <= panel_columns(panels) <= min(4, panels)
    assert panel_columns(panels, most=3) <= 3


def test_a_long_title_is_cut_and_a_formula_in_it_is_no_formula():
    _, (axes,) = new_grid(1, columns=1, width=300, panel_height=200)
    style_axes(axes, title="$" + "x" * 50)
    title = axes.get_title(loc="left")
    assert len(title) == 36
    assert title.startswith("$x")
    axes.figure.canvas.draw()


def test_letters_that_the_font_lacks_are_marked_and_line_breaks_stay():
    assert printable("a\n\N{HIRAGANA LETTER A}b") == "a\n\N{REPLACEMENT CHARACTER}b"


def test_a_written_text_stands_at_its_share_of_the_panel_in_the_style_asked_for():
    _, (axes,) = new_grid(1, columns=1, width=300, panel_height=200)
    axes.set(xlim=(0, 1000), ylim=(0, 1000))
    add_text(axes, 0.25, 0.75, "here", fontsize=20)
    (text,) = axes.texts
    assert text.get_position() == (0.25, 0.75)
    assert text.get_transform() == axes.transAxes
    assert text.get_fontsize() == 20


def test_a_new_figure_is_known_to_no_global_list():
    new_figure(100, 100)
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
