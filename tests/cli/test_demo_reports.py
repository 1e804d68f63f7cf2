"""The demo's drafts on the tiny run of these tests: numbers, table and examples fit the page."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from monai_place.cli.demo_reports import SETTINGS, draft_reports
from monai_place.visualize import RunReport, render_run_report
from tests.cli.conftest import Done


@pytest.fixture
def unchanged_root_logger() -> Iterator[None]:
    """Give the root logger its handlers and level back: MONAI sets them as a bundle's logging.conf says."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level


TINY = {"epochs": 1, "val_interval": 1, "batch_size": 8, "decoder": {"width": 32, "heads": 2, "depth": 1}}


def test_drafts_are_measured_and_shown(
    trained: tuple[Path, Done], datalist: Path, tmp_path: Path, unchanged_root_logger: None
) -> None:
    found = draft_reports(trained[0], datalist, tmp_path / "drafts", settings=TINY, count=2, bootstrap=20)
    assert found.values["sections"] == SETTINGS["sections"]
    assert len(found.examples) == 2
    assert list(next(iter(found.scores.rows.values()))) == ["generator", "best constant report"]
    page = render_run_report(RunReport("Demo", drafts=found.examples, draft_scores=found.scores), show_text=True)
    assert "Generated reports" in page
    assert "best constant report" in page
    assert "difference in F1" in page
