from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from monai_place.transforms import RandSentencesd
from monai_place.transforms.contract import check_transform
from monai_place.transforms.contract.chance_checks import calls_per_second
from tests.support import bad_transforms


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("DrawsGlobally", "gives different records for the same one"),
        ("DrawsPastItsSeed", "gives different records for the same seed"),
        ("DrawsNothing", "gives the same record for 5 different seeds"),
    ],
)
def test_chance_that_no_seed_rules_is_found(name: str, message: str) -> None:
    check = check_transform(getattr(bad_transforms, name), worker=False)["seed"]
    assert (check.status, check.message) == ("fail", message)
    assert "self.R" in check.cure


@pytest.mark.parametrize("name", ["Counts", "Remembers", "CountsBesideItsSeed"])
def test_a_state_that_is_kept_from_record_to_record_is_found(name: str) -> None:
    check = check_transform(getattr(bad_transforms, name), worker=False)["seed"]
    assert (check.status, check.message) == ("fail", "gives another record when it has been called before")
    assert "keep no state" in check.cure


def test_what_draws_by_its_seed_passes_and_need_not_replay() -> None:
    report = check_transform(bad_transforms.DrawsByItsSeed, worker=False)
    report.require()
    assert report["replay"].status == "not applicable"
    assert "ReplayableTransform" in report["replay"].message


def test_a_replay_that_is_none_is_found() -> None:
    class Forgetful(RandSentencesd):
        def replay(self, data: Mapping[Any, Any], parameters: Mapping[str, Any] | None) -> dict[Any, Any]:
            return dict(data)

    report = check_transform(Forgetful, arguments={"drop_prob": 0.9}, keys=["sentence_texts"], worker=False)
    assert report["replay"].status == "fail"


def test_speed_is_for_information() -> None:
    check = check_transform(bad_transforms.Keeps, worker=False)["speed"]
    assert check.status == "pass"
    assert "records/s of 512 x 512 pixels on one core" in check.message
    assert calls_per_second(lambda: None) > 100
