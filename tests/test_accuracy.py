"""Intervals of scores, against closed forms and SciPy."""

import numpy as np
from scipy import stats

from tf_simclr.evaluation.accuracy import bootstrap_intervals, wilson_interval


def interval_of_mean(values: np.ndarray, **kwargs):
    (found,) = bootstrap_intervals(
        lambda drawn: [np.mean(values[drawn])], len(values), **kwargs
    )
    return found


def test_wilsons_interval_is_scipys():
    for hits, count in ((0, 4), (4, 4), (3, 7), (90, 100), (1, 100_000)):
        found = wilson_interval(hits, count)
        exact = stats.binomtest(hits, count).proportion_ci(method="wilson")
        assert found.value == hits / count
        assert np.allclose([found.low, found.high], exact)
    # Four of four are not certainly all.
    assert 0.5 < wilson_interval(4, 4).low < 0.52


def test_a_share_has_the_binomial_interval():
    # Drawing N images again gives a binomial number of right ones.
    right = np.arange(200) < 160
    found = interval_of_mean(right, resamples=4000)
    exact = stats.binom.ppf([0.025, 0.975], 200, 0.8) / 200
    assert found.value == 0.8
    assert np.allclose([found.low, found.high], exact, atol=0.0051)


def test_a_mean_has_scipys_interval():
    values = np.random.default_rng(1).exponential(size=80)
    found = interval_of_mean(values, resamples=4000)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=4000, method="percentile", rng=0
    ).confidence_interval
    assert np.allclose([found.low, found.high], theirs, rtol=0.02)


def test_the_seed_decides():
    values = np.random.default_rng(1).normal(size=50)
    first, again = (interval_of_mean(values, seed=3) for _ in range(2))
    assert first == again != interval_of_mean(values, seed=4)


def test_intervals_narrow_with_more_images():
    rng = np.random.default_rng(2)
    few, many = (
        interval_of_mean(rng.random(n) < 0.7, resamples=300) for n in (50, 5000)
    )
    assert many.high - many.low < 0.2 * (few.high - few.low)


def test_they_cover_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(3)
    covered = 0
    for seed in range(200):
        found = interval_of_mean(
            rng.random(100) < 0.7, seed=seed, resamples=200
        )
        covered += found.low <= 0.7 <= found.high
    # 95 % of 200, with a standard deviation of 3.
    assert 178 <= covered <= 199
