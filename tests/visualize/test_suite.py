from __future__ import annotations

from pathlib import Path
from typing import Any

from monai_place.visualize.suite import render_suite_page, write_suite_page


def estimate(mean: float | None, seeds: int = 5) -> dict[str, Any]:
    if mean is None:
        return {"mean": None, "low": None, "high": None, "deviation": None, "seeds": 1}
    return {"mean": mean, "low": mean - 0.05, "high": mean + 0.05, "deviation": 0.01, "seeds": seeds}


def row(fraction: float | None, first: float, second: float | None, p_value: float) -> dict[str, Any]:
    pair = {"first": "<PLACE>", "second": "random", "mean": 0.1, "low": 0.05, "high": 0.15, "p_holm": p_value}
    return {
        "task": "probe",
        "dataset": "phantom & co",
        "fraction": fraction,
        "metric": "macro AUROC",
        "studies": 1000,
        "estimates": {"<PLACE>": estimate(first), "random": estimate(second)},
        "differences": [pair],
        "metrics": {},
    }


TABLE = {
    "name": "A suite",
    "split": "test",
    "note": "Not a medical device.",
    "rows": [row(0.01, 0.7, 0.6, 0.001), row(1.0, 0.8, 0.75, 0.2)],
    "failed": [{"cell": "probe, random", "reason": "OSError"}],
    "skipped": [{"cell": "a", "reason": "no text"}, {"cell": "b", "reason": "no text"}],
}


def test_the_page_shows_means_intervals_pairs_curves_and_what_is_missing() -> None:
    page = render_suite_page(TABLE, settings={"torch": "2"})
    assert "probe, 1 %" in page
    assert "0.650 to 0.750" in page
    assert "SD 0.010, 5 seeds" in page
    assert page.count('<td class="best">') == 2
    assert page.count("&lt;PLACE&gt; is higher") == 1
    assert page.count("not told apart") == 1
    assert page.count("<svg") == 1
    assert "probe, random: OSError" in page
    assert "a; b: no text" in page
    assert "Not a medical device" in page


def test_every_text_is_escaped_and_nothing_is_loaded() -> None:
    page = render_suite_page(TABLE)
    assert "<PLACE>" not in page
    assert "phantom &amp; co" in page
    assert "default-src 'none'" in page
    assert "<script" not in page


def test_one_share_of_labels_has_no_curve_and_no_number_is_a_dash() -> None:
    page = render_suite_page({**TABLE, "rows": [row(1.0, 0.8, None, 0.2)]})
    assert "<svg" not in page
    assert "<td>\N{EN DASH}</td>" in page


def test_it_is_written_whole(tmp_path: Path) -> None:
    path = write_suite_page(tmp_path / "suite.html", TABLE)
    assert path.read_text(encoding="utf-8") == render_suite_page(TABLE)
    assert [file.name for file in tmp_path.iterdir()] == ["suite.html"]
