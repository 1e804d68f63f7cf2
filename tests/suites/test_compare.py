from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from monai_place.suites.compare import Difference, compare_checkpoints, holm
from monai_place.suites.store import CellResult

IDS = tuple(f"s{index}" for index in range(200))


def cell(values: np.ndarray, ids: tuple[str, ...] = IDS) -> CellResult:
    return CellResult({}, {"right": np.asarray(values, dtype=np.float64)}, ids)


def mean_right(studies: Mapping[str, Any], counts: np.ndarray) -> np.ndarray:
    return (counts @ studies["right"]) / counts.sum(axis=1)


def noisy(share: float, seed: int) -> np.ndarray:
    return (np.random.default_rng(seed).random(len(IDS)) < share).astype(float)


def test_the_mean_is_over_seeds_and_the_deviation_is_theirs() -> None:
    results = {"a": [cell(np.full(200, value)) for value in (0.2, 0.4, 0.6)]}
    estimates, differences = compare_checkpoints(results, mean_right, resamples=200)
    assert estimates["a"].mean == pytest.approx(0.4)
    assert estimates["a"].deviation == pytest.approx(0.2)
    assert estimates["a"].seeds == 3
    assert differences == []


def test_one_seed_has_no_deviation_and_its_interval_is_over_studies() -> None:
    estimates, _ = compare_checkpoints({"a": [cell(noisy(0.5, 0))]}, mean_right, resamples=2000)
    found = estimates["a"]
    # The standard error of a share of one half among 200 is sqrt(.25 / 200) = .035.
    assert found.deviation is None
    assert found.high - found.low == pytest.approx(2 * 1.96 * 0.0354, rel=0.15)


def test_seeds_widen_the_interval() -> None:
    same = compare_checkpoints({"a": [cell(noisy(0.5, 0))] * 5}, mean_right, resamples=500)[0]["a"]
    apart = {"a": [cell(np.clip(noisy(0.5, 0) + shift, 0, 1)) for shift in (-0.5, -0.25, 0, 0.25, 0.5)]}
    spread = compare_checkpoints(apart, mean_right, resamples=500)[0]["a"]
    assert spread.high - spread.low > 1.2 * (same.high - same.low)


def test_a_pair_is_compared_on_the_same_studies_so_what_they_share_cancels() -> None:
    base = noisy(0.5, 1)
    results = {"a": [cell(base + 0.01)], "b": [cell(base)]}
    estimates, (pair,) = compare_checkpoints(results, mean_right, resamples=500)
    assert (pair.first, pair.second) == ("a", "b")
    assert pair.mean == pytest.approx(0.01)
    assert pair.low == pytest.approx(0.01)
    assert pair.p_value == pytest.approx(1 / 500)
    assert estimates["a"].high - estimates["a"].low > 0.1


def test_no_difference_is_not_found_and_an_independent_one_is() -> None:
    results = {"a": [cell(noisy(0.9, 1))], "b": [cell(noisy(0.5, 2))], "c": [cell(noisy(0.5, 3))]}
    _, pairs = compare_checkpoints(results, mean_right, resamples=1000)
    by_name = {(pair.first, pair.second): pair for pair in pairs}
    assert by_name["a", "b"].p_holm < 0.05 < by_name["b", "c"].p_holm
    assert by_name["b", "c"].low < 0 < by_name["b", "c"].high


def test_pairs_of_other_studies_or_other_numbers_of_seeds_are_left_out() -> None:
    other = cell(noisy(0.5, 2)[:100], IDS[:100])
    assert compare_checkpoints({"a": [cell(noisy(0.5, 1))], "b": [other]}, mean_right, resamples=20)[1] == []
    twice = {"a": [cell(noisy(0.5, 1))] * 2, "b": [cell(noisy(0.5, 1))]}
    assert compare_checkpoints(twice, mean_right, resamples=20)[1] == []


def test_what_is_not_defined_is_none_in_json() -> None:
    def nothing(studies: Mapping[str, Any], counts: np.ndarray) -> np.ndarray:
        return np.full(len(counts), np.nan)

    estimates, (pair,) = compare_checkpoints({"a": [cell(noisy(0.5, 1))], "b": [cell(noisy(0.5, 1))]}, nothing)
    assert estimates["a"].to_dict()["mean"] is None
    assert pair.to_dict()["p_value"] is None


def test_holm_never_lets_a_larger_p_value_pass_a_smaller_one() -> None:
    corrected = holm([Difference("a", "b", 0, 0, 0, p) for p in (0.02, 0.01, 0.9, 0.03)])
    assert [round(pair.p_holm, 3) for pair in corrected] == [0.06, 0.04, 0.9, 0.06]


def test_a_checkpoint_without_result_is_named() -> None:
    with pytest.raises(ValueError, match=r"checkpoints \['b'\] have no result"):
        compare_checkpoints({"a": [cell(noisy(0.5, 1))], "b": []}, mean_right)


def test_checkpoints_of_other_seeds_are_not_paired() -> None:
    results = {name: [cell(noisy(0.5, seed)) for seed in (0, 1)] for name in ("a", "b", "c")}
    seeds = {"a": [0, 2], "b": [0, 1], "c": [0, 1]}
    _, differences = compare_checkpoints(results, mean_right, seeds=seeds, resamples=20)
    assert [(pair.first, pair.second) for pair in differences] == [("b", "c")]
