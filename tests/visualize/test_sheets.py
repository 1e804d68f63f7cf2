from __future__ import annotations

import pytest
from matplotlib.patches import Rectangle

from monai_place.visualize import (
    RetrievalExample,
    RetrievedItem,
    plot_grounding_sheet,
    plot_retrieval_sheet,
    save_figure,
)


def all_texts(figure) -> str:
    return " ".join(text.get_text().replace("\n", " ") for axes in figure.axes for text in axes.texts)


def test_each_query_stands_beside_its_answers_and_the_right_one_is_framed(report):
    figure = plot_retrieval_sheet(report.retrieval_examples, show_text=True)
    assert len(figure.axes) == 12
    framed = [number for number, axes in enumerate(figure.axes) if any(isinstance(p, Rectangle) for p in axes.patches)]
    assert framed == [2, 7]  # the second answer of the first query, the first one of the second
    assert [len(axes.images) for axes in figure.axes] == [1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1]
    assert "2 · 0.80 · right" in all_texts(figure)
    assert "right answer: rank 2 of 200" in all_texts(figure)


def test_each_sentence_has_its_image_and_the_image_under_its_map(report):
    figure = plot_grounding_sheet(report.grounding_examples, show_text=True)
    assert [axes.images[0].get_array().shape for axes in figure.axes] == [(64, 64), (64, 64, 3)]
    assert "Left effusion." in all_texts(figure)
    assert "pointing game hit" in all_texts(figure)


def test_texts_are_withheld_unless_asked_for(report, studies):
    shown = all_texts(plot_retrieval_sheet(report.retrieval_examples))
    assert shown.count("(text not shown)") == 6
    assert not any(sentence.text[:20] in shown for study in studies for sentence in study.sentences)
    assert "effusion" not in all_texts(plot_grounding_sheet(report.grounding_examples))


def test_letters_that_the_font_lacks_and_dollar_signs_do_not_disturb_a_sheet(studies, tmp_path):
    items = [RetrievedItem(0.5, right=True, text="$x_ 胸部 🫁 \\frac{$")]
    figure = plot_retrieval_sheet([RetrievalExample(items, query_image=studies[0].image)], show_text=True)
    save_figure(figure, tmp_path / "sheet.png")  # warnings are errors
    assert "$x_ \N{REPLACEMENT CHARACTER}" in all_texts(figure)


@pytest.mark.parametrize("plot", [plot_retrieval_sheet, plot_grounding_sheet])
def test_a_sheet_of_nothing_is_refused(plot):
    with pytest.raises(ValueError, match="got none"):
        plot([])
