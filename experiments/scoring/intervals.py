"""Statistics of scores over seeds: bootstrap intervals of means, and ranks of treatments."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95
RESAMPLES = 5000


class Interval(NamedTuple):
    """A mean and the ends of its 95 % bootstrap interval, which are NaN for fewer than two values."""

    mean: float
    low: float
    high: float


def interval(values: Sequence[float] | np.ndarray) -> Interval:
    """Returns the mean of values, such as one score per seed, with its percentile bootstrap interval.

    References:
      Efron and Tibshirani, 1993, An Introduction to the Bootstrap, chapter 13
    """
    from scipy import stats

    values = np.asarray(values, float)
    if len(values) < 2:
        mean = float(values.mean()) if len(values) else math.nan
        return Interval(mean, math.nan, math.nan)
    found = stats.bootstrap(
        (values,),
        np.mean,
        n_resamples=RESAMPLES,
        vectorized=True,
        confidence_level=CONFIDENCE,
        method="percentile",
        rng=np.random.default_rng(0),  # The seed is fixed so that equal values have equal intervals.
    ).confidence_interval
    return Interval(float(values.mean()), float(found.low), float(found.high))


class Ranking(NamedTuple):
    """Ranks of treatments over blocks.

    Attributes:
      mean_ranks: Mean rank of each treatment; 1 is best.
      critical_difference: Two treatments differ, at 5 % for all pairs together, if their mean ranks are
        further apart than this.
      p_value: P-value of Friedman's test of the hypothesis that all treatments are alike.
    """

    mean_ranks: np.ndarray
    critical_difference: float
    p_value: float


def rank(scores: np.ndarray, more_is_better: bool = False) -> Ranking:
    """Computes Friedman's ranks with Nemenyi's critical difference.

    CD = q √(k (k + 1) / (6 N)),  q the 95 % point of the studentised range for k treatments, over √2

    Args:
      scores: Scores of shape (N blocks, k treatments), k ≥ 2. NaN is worse than any number, and equal
        scores share their ranks.
      more_is_better: Whether the greatest score has rank 1.

    Returns:
      The ranking. Its p-value is 1 if all treatments tie in every block.

    References:
      Demšar, 2006, Statistical Comparisons of Classifiers over Multiple Data Sets, section 3.2,
      https://www.jmlr.org/papers/v7/demsar06a.html
    """
    from scipy import stats

    blocks, count = scores.shape
    signed = np.where(np.isnan(scores), np.inf, -scores if more_is_better else scores)
    ranks = stats.rankdata(signed, axis=1)
    q = float(stats.studentized_range.ppf(CONFIDENCE, count, np.inf)) / math.sqrt(2)
    critical = q * math.sqrt(count * (count + 1) / (6 * blocks))
    spread = np.square(ranks - (count + 1) / 2).sum()
    if spread == 0:
        return Ranking(ranks.mean(0), critical, 1.0)
    # Friedman's statistic with the correction for ties. SciPy's version needs three treatments or more.
    between = np.square(ranks.sum(0) - blocks * (count + 1) / 2).sum()
    statistic = (count - 1) * between / spread
    return Ranking(ranks.mean(0), critical, float(stats.chi2.sf(statistic, count - 1)))
