"""Tests of intervals and ranks against SciPy, closed forms and published tables."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from experiments.scoring import intervals


@pytest.mark.parametrize(("ones", "count"), [(8, 20), (3, 12), (40, 64)])
def test_the_interval_of_zeros_and_ones_is_binomial(ones, count):
    # The mean of a resample of zeros and ones is binomial, so the ends of the interval are its quantiles.
    values = np.zeros(count)
    values[:ones] = 1
    found = intervals.interval(values)
    assert found.mean == pytest.approx(ones / count, rel=1e-12)
    for tail, end in ((0.025, found.low), (0.975, found.high)):
        # The share of 5,000 resamples in a tail has a standard error of 0.0022; 0.008 is 3.6 times that.
        nearest = stats.binom.ppf([tail - 0.008, tail + 0.008], count, ones / count) / count
        assert nearest[0] - 1e-12 <= end <= nearest[1] + 1e-12


def test_the_interval_agrees_with_a_bootstrap_in_numpy():
    values = np.random.default_rng(0).exponential(size=16)
    found = intervals.interval(values)
    assert found.mean == pytest.approx(values.mean(), rel=1e-12)
    rng = np.random.default_rng(1)
    means = [rng.choice(values, len(values)).mean() for _ in range(20_000)]
    # With 5,000 resamples the 2.5 % point has an error of about 0.04 standard errors of the mean.
    np.testing.assert_allclose(found[1:], np.quantile(means, [0.025, 0.975]), atol=0.1 * values.std() / 4)
    assert found == intervals.interval(list(values))  # Equal values have equal intervals.


def test_the_interval_covers_as_often_as_it_says():
    # The percentile bootstrap is known to cover a little less than 95 % at 16 values. It uses the normal
    # width instead of the t interval's, and n instead of n − 1, which makes it about 92 %.
    rng = np.random.default_rng(2)
    found = [intervals.interval(rng.normal(size=16)) for _ in range(400)]
    assert 0.88 < np.mean([low < 0 < high for _, low, high in found]) < 0.97


def test_few_values_have_no_interval():
    assert intervals.interval([2.0])[0] == 2.0
    assert np.isnan(intervals.interval([2.0])[1:]).all()
    assert np.isnan(intervals.interval([])).all()


@pytest.mark.parametrize("count", [2, 3, 16])
def test_the_interval_of_equal_values_is_their_mean(count):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = intervals.interval([0.1] * count)
    assert found.low == found.high == found.mean == pytest.approx(0.1, rel=1e-12)


def test_demsars_critical_differences():
    # Demšar's table 5a has q = 2.343, 2.728 and 3.031 for 3, 5 and 8 treatments at 5 %.
    for count, q in ((3, 2.343), (5, 2.728), (8, 3.031)):
        found = intervals.rank(np.random.default_rng(0).normal(size=(14, count)))
        assert found.critical_difference == pytest.approx(q * np.sqrt(count * (count + 1) / 84), rel=1e-3)


@given(arrays(float, (6, 4), elements=st.integers(0, 5).map(float)))
def test_ranks_are_friedmans(scores):
    found = intervals.rank(scores)
    np.testing.assert_allclose(found.mean_ranks.sum(), 10)
    if len(np.unique(scores)) == 1 or (np.ptp(scores, axis=1) == 0).all():
        assert found.p_value == 1
        return
    np.testing.assert_allclose(found.p_value, stats.friedmanchisquare(*scores.T).pvalue, rtol=1e-6)
    turned = intervals.rank(scores, more_is_better=True)
    np.testing.assert_allclose(turned.mean_ranks, 5 - found.mean_ranks)


def test_failures_rank_last():
    scores = np.array([[1.0, np.nan, 2.0], [np.nan, np.nan, 5.0]])
    np.testing.assert_allclose(
        intervals.rank(scores).mean_ranks, [(1 + 2.5) / 2, (3 + 2.5) / 2, (2 + 1) / 2]
    )
