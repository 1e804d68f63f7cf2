"""A Matplotlib figure as inline SVG whose colors follow the page: light, dark, or printed.

Matplotlib's own SVG writer reads global settings, numbers its parts at random and fixes its colors. This renderer
draws the same figure with real text in the page's font and with the theme's colors by name.
"""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
from matplotlib.backend_bases import GraphicsContextBase, RendererBase
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.path import Path
from matplotlib.transforms import Transform

from monai_place.visualize.theme import LIGHT

__all__ = ["ThemedSvgRenderer", "figure_to_svg"]

_NAMES = {color: name for name, color in LIGHT.items()}
_LETTERS = {Path.MOVETO: "M", Path.LINETO: "L", Path.CURVE3: "Q", Path.CURVE4: "C", Path.CLOSEPOLY: "Z"}
_ANCHORS = {"left": "start", "center": "middle", "right": "end"}


def figure_to_svg(figure: Figure, *, label: str, prefix: str) -> str:
    """Draw a figure as an `<svg>` element for a page that declares the theme's colors (`theme.css_variables`).

    Args:
        figure: what a `plot_` function returned.
        label: what the figure shows, for readers who do not see it.
        prefix: start of the element's ids; no two figures of a page may share it.

    Example:
        >>> from monai_place.visualize.figures import new_figure
        >>> figure_to_svg(new_figure(72, 36), label="nothing", prefix="f1")[:66]
        '<svg viewBox="0 0 72 36" width="72" height="36" role="img" aria-la'
    """
    width, height = (float(side) for side in figure.get_size_inches() * 72)
    renderer = ThemedSvgRenderer(width, height, prefix=prefix)
    figure.draw(renderer)
    size = f'viewBox="0 0 {width:g} {height:g}" width="{width:g}" height="{height:g}"'
    clips = f"<defs>{''.join(renderer.clips.values())}</defs>" if renderer.clips else ""
    body = "".join(renderer.parts)
    return f'<svg {size} role="img" aria-label="{escape(label)}">{clips}{body}</svg>'


class ThemedSvgRenderer(RendererBase):
    """Draws paths and texts as SVG elements into `parts`; pictures are the page's own affair.

    Args:
        width: of the picture, in pixels.
        height: of the picture, in pixels.
        prefix: start of the ids.
    """

    def __init__(self, width: float, height: float, *, prefix: str) -> None:
        super().__init__()
        self.width, self.height, self.prefix = width, height, prefix
        self.parts: list[str] = []
        self.clips: dict[str, str] = {}  # rectangle -> its element

    def draw_path(
        self,
        gc: GraphicsContextBase,
        path: Path,
        transform: Transform,
        rgbFace: Any = None,  # noqa: N803
    ) -> None:
        """Draw one path, filled where `rgbFace` is a color."""
        line = self._data(path, transform, simplify=rgbFace is None)
        style = [*self._fill(gc, rgbFace), *self._stroke(gc)]
        if line and style != ['fill="none"']:
            self.parts.append(f'<path d="{line}" {" ".join(style)}{self._clip(gc)}/>')

    def draw_text(  # Matplotlib's own signature
        self,
        gc: GraphicsContextBase,
        x: float,
        y: float,
        s: str,
        prop: Any,
        angle: float,
        ismath: Any = False,  # noqa: FBT002
        mtext: Any = None,
    ) -> None:
        """Draw one line of text, anchored where the figure anchors it: the page's font is not the figure's."""
        anchor = "start"
        if mtext is not None and angle in (0.0, 90.0):
            # The text's own place; x and y are the left end of its line as measured in the figure's font.
            place = mtext.get_transform().transform(mtext.get_unitless_position())
            anchor = _ANCHORS[mtext.get_horizontalalignment() if angle == 0 else _turned(mtext)]
            x, y = (float(place[0]), y) if angle == 0 else (x, self.height - float(place[1]))
        turn = f' transform="rotate({-angle:g} {_short(x)} {_short(y)})"' if angle else ""
        weight = ' font-weight="600"' if prop.get_weight() in ("bold", 700) else ""
        opacity = _opacity("fill", gc, gc.get_rgb())
        self.parts.append(
            f'<text x="{_short(x)}" y="{_short(y)}" font-size="{prop.get_size_in_points():g}" text-anchor="{anchor}"'
            f' fill="{_color(gc.get_rgb())}"{opacity}{weight}{turn}>{escape(s, quote=False)}</text>'
        )

    def flipy(self) -> bool:
        """Return True: y grows downward."""
        return True

    def get_canvas_width_height(self) -> tuple[float, float]:
        """Return the size of the picture in pixels."""
        return self.width, self.height

    def points_to_pixels(self, points: Any) -> Any:
        """Return `points`: a point is a pixel at 72 dots an inch."""
        return points

    def _data(self, path: Path, transform: Transform, *, simplify: bool) -> str:
        parts = []
        # None leaves it to the path whether points that cannot be seen are dropped.
        for points, code in path.iter_segments(transform, remove_nans=True, simplify=None if simplify else False):
            if code == Path.CLOSEPOLY:
                parts.append("Z")
                continue
            values = np.asarray(points, dtype=np.float64).tolist()
            numbers = [_short(self.height - value if at % 2 else value) for at, value in enumerate(values)]
            parts.append(_LETTERS[code] + " ".join(numbers))
        return "".join(parts)

    def _fill(self, gc: GraphicsContextBase, face: Any) -> list[str]:
        if face is None or (len(face) == 4 and face[3] == 0):
            return ['fill="none"']
        return [f'fill="{_color(face)}"{_opacity("fill", gc, face)}']

    def _stroke(self, gc: GraphicsContextBase) -> list[str]:
        width, color = gc.get_linewidth(), gc.get_rgb()
        if width == 0:
            return []
        style = [f'stroke="{_color(color)}"{_opacity("stroke", gc, color)}', f'stroke-width="{width:g}"']
        offset, dashes = gc.get_dashes()
        if dashes is not None:
            lengths = np.asarray(dashes, dtype=np.float64).tolist()
            style.append(f'stroke-dasharray="{" ".join(_short(length) for length in lengths)}"')
            style += [f'stroke-dashoffset="{_short(offset)}"'] if offset else []
        if gc.get_joinstyle() == "round":
            style.append('stroke-linejoin="round" stroke-linecap="round"')
        return style

    def _clip(self, gc: GraphicsContextBase) -> str:
        box = gc.get_clip_rectangle()
        if box is None:
            return ""
        place = f'x="{_short(box.x0)}" y="{_short(self.height - box.y1)}"'
        rectangle = f'<rect {place} width="{_short(box.width)}" height="{_short(box.height)}"/>'
        name = f"{self.prefix}-clip{list(self.clips).index(rectangle) if rectangle in self.clips else len(self.clips)}"
        self.clips.setdefault(rectangle, f'<clipPath id="{name}">{rectangle}</clipPath>')
        return f' clip-path="url(#{name})"'


def _turned(text: Any) -> str:
    """Return which end of a text turned by 90 degrees lies at its place, as a horizontal alignment."""
    if text.get_rotation_mode() == "anchor":
        return str(text.get_horizontalalignment())
    return {"bottom": "left", "top": "right"}.get(text.get_verticalalignment(), "center")


def _short(value: float) -> str:
    """Write a coordinate to a tenth of a pixel; two decimals would double the page for nothing that can be seen."""
    text = f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text


def _color(rgb: Any) -> str:
    color = to_hex(rgb)
    return f"var(--{_NAMES[color]})" if color in _NAMES else color


def _opacity(kind: str, gc: GraphicsContextBase, color: Any) -> str:
    alpha = gc.get_alpha() if gc.get_forced_alpha() or len(color) == 3 else color[3]
    return "" if alpha == 1 else f' {kind}-opacity="{alpha:g}"'
