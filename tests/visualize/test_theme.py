from __future__ import annotations

import re

import numpy as np
import pytest

from monai_place.visualize.theme import DARK, LIGHT, SERIES, css_variables


def luminance(color: str) -> float:
    channels = np.array([int(color[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["ink", *SERIES])
def test_texts_of_every_color_can_be_read_on_page_and_panel(theme, name):
    for ground in ("page", "panel"):
        lighter, darker = sorted((luminance(theme[name]), luminance(theme[ground])), reverse=True)
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5  # WCAG 2, AA


def test_both_themes_name_the_same_colors_and_no_two_names_share_one():
    assert LIGHT.keys() == DARK.keys()
    assert len(set(LIGHT.values())) == len(LIGHT)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_every_series_has_a_color_of_its_own(theme):
    assert len({theme[name] for name in SERIES}) == len(SERIES)


def test_a_style_sheet_declares_every_color_by_its_name():
    declared = dict(re.findall(r"--(\w+): (#[0-9a-f]{6});", css_variables(DARK)))
    assert declared == DARK
