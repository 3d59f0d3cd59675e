"""What may be said of scores over seeds: intervals, paired differences, ranks."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95
RESAMPLES = 5000


class Interval(NamedTuple):
    """A mean and the bootstrap's 95 % interval of it, whose ends are NaN for fewer than two values."""

    mean: float
    low: float
    high: float


def interval(values: Sequence[float] | np.ndarray) -> Interval:
    """The mean of values, one a seed, with its percentile bootstrap interval.

    References:
      Efron and Tibshirani, 1993, An Introduction to the Bootstrap, chapter 13
    """
    values = np.asarray(values, float)
    if len(values) < 2:
        mean = float(values.mean()) if len(values) else math.nan
        return Interval(mean, math.nan, math.nan)
    rng = np.random.default_rng(0)  # the same values always have the same interval
    means = values[rng.integers(len(values), size=(RESAMPLES, len(values)))].mean(1)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Interval(float(values.mean()), float(low), float(high))


class Ranking(NamedTuple):
    """How treatments rank over blocks.

    Attributes:
      mean_ranks: one a treatment, 1 is best.
      critical_difference: mean ranks further apart than this differ, at 5 % for all pairs together.
      p_value: of Friedman's test that all treatments are alike.
    """

    mean_ranks: np.ndarray
    critical_difference: float
    p_value: float


def rank(scores: np.ndarray, more_is_better: bool = False) -> Ranking:
    """Friedman's ranks with Nemenyi's critical difference.

    CD = q √(k (k + 1) / (6 N)),  q the studentised range's 95 % point for k treatments, over √2

    Args:
      scores: (blocks N, treatments k), k ≥ 2; NaN is worse than any number, and ties share their ranks.
      more_is_better: whether rank 1 goes to the greatest.

    Returns:
      The ranking; a p-value of 1 where all tie.

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
    # Friedman's statistic, with ties allowed for: SciPy's takes three treatments or more.
    between = np.square(ranks.sum(0) - blocks * (count + 1) / 2).sum()
    statistic = (count - 1) * between / spread
    return Ranking(ranks.mean(0), critical, float(stats.chi2.sf(statistic, count - 1)))
