"""Studies that a run left out are named, once each, whoever prepared them and however often the run is taken up."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ignite.engine import Engine
from monai.transforms import Transform

from monai_place.engines import SkippedStudiesHandler, StudyDataset, StudyError, TrainingHistoryHandler, study_loader
from monai_place.engines.handlers.history import read_history
from tests.support.training import MakeStudy, records


class Breaks(Transform):
    """Cannot prepare the studies that are named, and tells a whole path of them."""

    def __init__(self, *bad: str) -> None:
        self.bad = bad

    def __call__(self, data: Mapping[str, Any]) -> dict[str, Any]:
        if data["id"] in self.bad:
            raise FileNotFoundError(2, "No such file", f"/secret/place/{data['id']}.png")
        return MakeStudy()(data)


def run(handler: SkippedStudiesHandler, *bad: str, workers: int = 0, cache: bool = True, max_bad: int = 10) -> None:
    dataset = StudyDataset(records(8), [Breaks(*bad)], on_error="skip", max_bad=max_bad, cache=cache)
    engine: Any = Engine(lambda _engine, _batch: None)
    engine.data_loader = study_loader(dataset, 2, num_workers=workers)
    handler.attach(engine)
    engine.run(engine.data_loader, max_epochs=2)


@pytest.mark.parametrize(
    ("workers", "cache"),
    [pytest.param(0, True, id="cached"), pytest.param(0, False, id="here"), pytest.param(2, False, id="in workers")],
)
def test_each_study_is_a_line_of_the_history_and_of_the_log(
    workers: int, cache: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    handler = SkippedStudiesHandler(TrainingHistoryHandler(tmp_path / "history.jsonl"))
    with caplog.at_level(logging.WARNING):
        run(handler, "s002", "s003", "s006", workers=workers, cache=cache)
    rows = read_history(tmp_path / "history.jsonl")
    assert [row["id"] for row in rows] == sorted({row["id"] for row in rows})
    assert {row["id"]: row["reason"] for row in rows} == {
        name: f"FileNotFoundError: {name}.png: No such file" for name in ("s002", "s003", "s006")
    }
    assert {(row["kind"], row["split"]) for row in rows} == {("skipped", "training")}
    assert "3 studies of training were left out: ['s002', 's003', 's006']" in caplog.text
    assert "secret" not in caplog.text


def test_a_run_that_is_taken_up_names_a_study_no_second_time(tmp_path: Path) -> None:
    first = SkippedStudiesHandler(TrainingHistoryHandler(tmp_path / "history.jsonl"))
    run(first, "s002")
    again = SkippedStudiesHandler(TrainingHistoryHandler(tmp_path / "again.jsonl"))
    again.load_state_dict(first.state_dict())
    run(again, "s002", "s004")
    assert [row["id"] for row in read_history(tmp_path / "again.jsonl")] == ["s004"]
    assert again.state_dict()["training"].keys() == {"s002", "s004"}


def test_what_several_workers_left_out_counts_together() -> None:
    # Each worker has seen one of them, and none is above the limit by itself.
    with pytest.raises(
        StudyError, match=r"2 studies of training could not be prepared, max_bad is 1: \['s000', 's002'\]"
    ):
        run(SkippedStudiesHandler(), "s000", "s002", workers=2, cache=False, max_bad=1)


def test_a_run_without_bad_studies_says_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        run(SkippedStudiesHandler(TrainingHistoryHandler(tmp_path / "history.jsonl")))
    assert not caplog.records
    assert not (tmp_path / "history.jsonl").exists()


def test_an_item_says_in_whose_place_it_stands() -> None:
    dataset = StudyDataset(records(5), [Breaks("s002", "s003")], on_error="skip")
    assert [entry["id"] for entry in dataset[2]["skipped"]] == ["s002", "s003"]
    assert dataset[2]["id"] == "s004"
    assert "skipped" not in dataset[4]
    assert dataset.left_out.keys() == {"s002", "s003"}
