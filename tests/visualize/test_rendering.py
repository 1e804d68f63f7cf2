from __future__ import annotations

import pytest
from jinja2 import UndefinedError

from monai_place.visualize.rendering import render_template


def test_a_value_that_is_not_given_is_an_error_and_not_an_empty_place() -> None:
    with pytest.raises(UndefinedError, match="title"):
        render_template("suite.html")


def test_texts_are_escaped_and_the_theme_is_there() -> None:
    values = {"subtitle": "", "note": "", "settings": [], "datasets": [], "failed": [], "skipped": []}
    page = render_template("suite.html", title="<b>", **values)
    assert "<title>&lt;b&gt;</title>" in page
    assert "--ink:" in page
