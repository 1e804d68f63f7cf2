"""Which records a report generator learns from, and what is said of the others."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from monai_place.data.report_format import ReportFormat
from monai_place.data.report_records import load_report_records

REPORTS = [
    "FINDINGS: Clear lungs.\nIMPRESSION: Normal.",
    "FINDINGS: No effusion.",  # no impression
    "The heart is large.",  # no heading: findings
    None,
]


@pytest.fixture
def datalist(tmp_path: Path) -> Path:
    records = [{"id": f"s{k}", "image": f"{k}.png", "report": text} for k, text in enumerate(REPORTS)]
    path = tmp_path / "datalist.json"
    path.write_text(json.dumps({"image_root": ".", "classes": [], "training": records, "validation": records[1:]}))
    return path


def test_a_report_without_the_section_is_left_out_and_counted(datalist: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        records = load_report_records(datalist, "training", report_format=ReportFormat(("impression",)))
    assert [record["id"] for record in records] == ["s0"]
    assert "2 of 3 records of split 'training' have no sentence in sections ['impression']: left out" in caplog.text


def test_each_report_with_one_of_the_sections_is_kept(datalist: Path) -> None:
    both = load_report_records(datalist, "training", report_format=ReportFormat())
    assert [record["id"] for record in both] == ["s0", "s1", "s2"]
    assert len(load_report_records(datalist, "training", report_format=ReportFormat(), limit=2)) == 2


def test_a_split_of_which_nothing_is_left_is_an_error(datalist: Path) -> None:
    with pytest.raises(
        ValueError, match=r"datalist.json: none of the 2 records of split 'validation' .* sections \['impression'\]"
    ):
        load_report_records(datalist, "validation", report_format=ReportFormat(("impression",)))
