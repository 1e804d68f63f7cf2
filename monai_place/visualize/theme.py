"""One set of colors for figures and page, in a light and a dark version, told apart by color-blind readers too."""

from __future__ import annotations

__all__ = ["DARK", "LIGHT", "SERIES", "css_variables"]

# Blue against orange holds for all common kinds of color blindness; no meaning is carried by red against green.
# No two names share a color: the page finds the name of a figure's color by the color (svg.py).
LIGHT = {
    "page": "#ffffff",
    "panel": "#f5f7f8",
    "ink": "#1a2127",
    "muted": "#56626c",
    "line": "#ccd3d9",
    "grid": "#e8ecef",
    "blue": "#0b62a4",
    "orange": "#b4520a",
    "teal": "#0b7560",
    "faint": "#9fb9d0",
}
DARK = {
    "page": "#12171b",
    "panel": "#1a2126",
    "ink": "#e8ecef",
    "muted": "#9dabb6",
    "line": "#3a454e",
    "grid": "#262f36",
    "blue": "#6cb4f0",
    "orange": "#f0a15c",
    "teal": "#5cc9ae",
    "faint": "#3f6486",
}
# Colors of series that share a panel, in the order of their use.
SERIES = ("blue", "orange", "teal", "muted")


def css_variables(colors: dict[str, str]) -> str:
    """Declare `colors` as custom properties of a style sheet.

    Example:
        >>> css_variables({"ink": "#111111", "page": "#ffffff"})
        '--ink: #111111; --page: #ffffff;'
    """
    return " ".join(f"--{name}: {color};" for name, color in colors.items())
