"""The templates of the pages: texts are escaped, a name that is not given is an error, the colors are the theme's."""

from __future__ import annotations

from typing import Any

from monai_place.visualize.theme import DARK, LIGHT, css_variables

__all__ = ["render_template"]


def render_template(name: str, **values: Any) -> str:
    """Fill a template of this package.

    Args:
        name: of a file in `templates`.
        values: what it shows.

    Raises:
        jinja2.UndefinedError: the template wants a value that is not given.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("monai_place.visualize", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name).render(values, light=css_variables(LIGHT), dark=css_variables(DARK))
