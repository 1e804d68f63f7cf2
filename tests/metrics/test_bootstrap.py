from __future__ import annotations

import math

import numpy as np
import pytest

from monai_place.metrics import bootstrap
from monai_place.metrics.bootstrap import bootstrap_difference, bootstrap_intervals, bootstrap_mean, weighted_mean


def test_mean_interval_equals_a_loop_over_the_same_resamples():
    values = np.random.default_rng(5).normal(size=30)
    counts = np.random.default_rng(0).multinomial(30, np.full(30, 1 / 30), size=500)
    means = [np.repeat(values, count).mean() for count in counts]
    interval = bootstrap_mean(values, resamples=500, confidence=0.9)
    assert interval.value == pytest.approx(values.mean())
    assert [interval.low, interval.high] == pytest.approx(np.quantile(means, [0.05, 0.95]).tolist())
    assert (interval.confidence, interval.resamples) == (0.9, 500)


def test_interval_covers_the_truth_about_as_often_as_it_says():
    generator = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        interval = bootstrap_mean(generator.normal(size=60), resamples=200, seed=seed)
        covered += interval.low <= 0 <= interval.high
    assert 178 <= covered <= 199  # 95 % of 200, two to three standard errors and the bootstrap's own shortfall


def test_seed_alone_decides_and_the_global_generator_is_left_alone():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    first = bootstrap_mean(range(20), seed=1)
    assert first == bootstrap_mean(range(20), seed=1)
    assert first != bootstrap_mean(range(20), seed=2)
    assert (np.random.get_state()[1] == before).all()


def test_blocks_do_not_change_the_resamples(monkeypatch):
    whole = bootstrap_mean(range(20), resamples=50)
    monkeypatch.setattr(bootstrap, "_CELLS", 60)  # three resamples a block
    assert bootstrap_mean(range(20), resamples=50) == whole


def test_missing_values_are_left_out():
    interval = bootstrap_mean([1.0, math.nan, 3.0, math.nan])
    assert interval.value == 2.0
    assert 1.0 <= interval.low <= interval.high <= 3.0


def test_groups_are_drawn_whole():
    # Two studies of ten equal sentences each: a resample of studies has the mean 0, 1/2 or 1 and nothing between.
    values, groups = [0.0] * 10 + [1.0] * 10, ["a"] * 10 + ["b"] * 10
    interval = bootstrap_mean(values, groups=groups)
    assert (interval.value, interval.low, interval.high) == (0.5, 0.0, 1.0)
    alone = bootstrap_mean(values)
    assert 0.2 < alone.low < alone.high < 0.8


def test_constant_has_an_interval_of_no_width():
    interval = bootstrap_mean([2.0] * 9)
    assert (interval.value, interval.low, interval.high) == (2.0, 2.0, 2.0)


@pytest.mark.parametrize("values", [[], [math.nan, math.nan]], ids=["none", "none known"])
def test_nothing_has_no_interval(values):
    interval = bootstrap_mean(values)
    assert all(math.isnan(number) for number in (interval.value, interval.low, interval.high))
    assert interval.resamples == 0
    assert interval.to_dict() == {"value": None, "low": None, "high": None, "confidence": 0.95, "resamples": 0}


def test_resamples_without_a_number_are_left_out_and_counted():
    # One known value of four: a resample misses it with probability (3/4)^4 = .32.
    interval = bootstrap_mean([1.0, math.nan, math.nan, math.nan], resamples=1000)
    assert (interval.value, interval.low, interval.high) == (1.0, 1.0, 1.0)
    assert 630 < interval.resamples < 740


def test_several_numbers_share_their_resamples():
    values = np.arange(10.0)

    def statistic(counts):
        means = weighted_mean(values, counts)
        return np.hstack([means, 2 * means])

    first, second = bootstrap_intervals(statistic, 10)
    assert (second.low, second.high) == pytest.approx((2 * first.low, 2 * first.high))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"resamples": 0}, "resamples must be at least 1, got 0", id="resamples"),
        pytest.param({"confidence": 1.0}, r"confidence must lie in \(0, 1\), got 1.0", id="confidence"),
        pytest.param({"groups": [1]}, "groups must have the length of values, 2, got 1", id="groups"),
    ],
)
def test_ill_argument_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        bootstrap_mean([1.0, 2.0], **change)


def test_statistic_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"must return \(R, M\) with R = 1, got \(1,\)"):
        bootstrap_intervals(lambda counts: counts.sum(axis=1), 3)


def test_paired_difference_is_narrower_than_that_of_two_systems_apart():
    generator = np.random.default_rng(0)
    hard = generator.normal(size=80)  # what makes a study hard for both
    systems = [hard + 0.1 + 0.1 * generator.normal(size=80), hard + 0.1 * generator.normal(size=80)]
    first, second = (lambda counts, values=values: weighted_mean(values, counts) for values in systems)
    paired = bootstrap_difference(first, second, 80, seed=3)[0]
    alone = bootstrap_mean(systems[0] - systems[1], seed=3)
    assert [paired.value, paired.low, paired.high] == pytest.approx([alone.value, alone.low, alone.high])
    assert paired.low > 0
    apart = [bootstrap_mean(values, seed=3) for values in systems]
    assert paired.high - paired.low < 0.3 * (apart[0].high - apart[0].low)
