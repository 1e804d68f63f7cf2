"""The report of a run: one HTML page with everything inside it, for a browser without a network, and for paper."""

from __future__ import annotations

import logging
import os
from pathlib import Path

from monai_place.atomic import write_text_atomic
from monai_place.visualize.inputs import RunReport
from monai_place.visualize.rendering import render_template

__all__ = ["render_run_report", "write_run_report"]

logger = logging.getLogger(__name__)

_LARGE_BYTES = 3_000_000


def render_run_report(report: RunReport, *, show_text: bool = False) -> str:
    """Return the page of a run as HTML.

    The page loads nothing, runs no script (it forbids both to itself), and escapes every text. The same inputs give
    the same page.

    Args:
        report: the inputs; parts that are left out are left out of the page.
        show_text: show the texts of reports. They may be about real patients: False unless asked for. Images are
            shown in any case.

    Example:
        >>> "<h1>A run</h1>" in render_run_report(RunReport("A run"))
        True
    """
    from monai_place.visualize.page import build_page

    return render_template("report.html", **build_page(report, show_text=show_text))


def write_run_report(path: str | os.PathLike[str], report: RunReport, *, show_text: bool = False) -> Path:
    """Write the page of a run (`render_run_report`), whole or not at all.

    Args:
        path: HTML file to write.
        report: the inputs.
        show_text: show the texts of reports; False unless asked for.
    """
    text = render_run_report(report, show_text=show_text)
    if len(text) > _LARGE_BYTES:
        logger.warning("the run report is large: %.1f MB", len(text) / 1e6)
    write_text_atomic(path, text)
    return Path(path)
