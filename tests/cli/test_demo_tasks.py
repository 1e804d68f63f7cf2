from __future__ import annotations

from pathlib import Path

from monai_place.cli.demo_tasks import MEASURES, classify_test_split


def test_the_probe_is_measured_on_the_test_split_in_words(model: Path, datalist: Path, tmp_path: Path) -> None:
    found = classify_test_split(model, datalist, tmp_path / "probe", seed=0, settings={"epochs": 1, "bootstrap": 20})
    assert set(found) <= set(MEASURES.values())
    assert {"AUROC", "calibration error"} <= set(found)
    assert set(found["AUROC"]) >= {"value", "low", "high"}
    assert (tmp_path / "probe" / "scores.json").is_file()
