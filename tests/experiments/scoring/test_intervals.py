"""Intervals and ranks against SciPy, closed forms and tables."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from experiments.scoring import intervals


def test_the_interval_is_scipys_percentile_bootstrap():
    values = np.random.default_rng(0).exponential(size=16)
    found = intervals.interval(values)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=50_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert found.mean == pytest.approx(values.mean(), rel=1e-12)
    # Of 5,000 resamples a 2.5 % point is itself uncertain by about 0.02 standard errors of the mean.
    np.testing.assert_allclose(found[1:], theirs, atol=0.08 * values.std() / 4)


def test_the_interval_covers_as_often_as_it_says():
    # A little less than 95 % is known of the percentile bootstrap at 16 values: the t interval's width over
    # the normal's, with n for n − 1, makes it about 92 %.
    rng = np.random.default_rng(2)
    found = [intervals.interval(rng.normal(size=16)) for _ in range(400)]
    assert 0.88 < np.mean([low < 0 < high for _, low, high in found]) < 0.97


def test_few_values_have_no_interval():
    assert intervals.interval([2.0])[0] == 2.0
    assert np.isnan(intervals.interval([2.0])[1:]).all()
    assert np.isnan(intervals.interval([])).all()


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
