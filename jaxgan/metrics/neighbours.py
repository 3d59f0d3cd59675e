"""Nearest neighbours in the training set, which show whether a generator copies it."""

from typing import NamedTuple

import jax
import numpy as np

from jaxgan.metrics.distances import centre_of, slices, tiles
from jaxgan.metrics.feature_checks import check_features

ArrayLike = jax.Array | np.ndarray

BLOCK = 4096  # number of rows whose final distances are computed at a time


class Neighbours(NamedTuple):
    """Nearest training sample of each query.

    Attributes:
      distance: Euclidean distance, (N,), float64; 0 for a copy.
      index: Index of the training sample, (N,); the first index if several samples are equally near up to
        rounding.
    """

    distance: np.ndarray
    index: np.ndarray  # type: ignore[assignment]  # hides tuple.index


def nearest(queries: ArrayLike, train: ArrayLike) -> Neighbours:
    """Finds the nearest training sample of each query.

    Args:
      queries: Query samples, (N, D).
      train: Training samples, (M, D).

    Returns:
      Distances and indices.

    Raises:
      SetupError: The samples are invalid, see :mod:`jaxgan.metrics.feature_checks`.
    """
    queries, train = check_features(least=1, queries=queries, train=train)
    centre = centre_of(train)
    best, index = np.full(len(queries), np.inf), np.zeros(len(queries), np.int64)
    for rows, columns, squares in tiles(queries, train, centre):
        column = np.argmin(squares, axis=1)
        square = np.take_along_axis(squares, column[:, None], axis=1)[:, 0]
        nearer = square < best[rows]
        best[rows] = np.where(nearer, square, best[rows])
        index[rows] = np.where(nearer, columns.start + column, index[rows])
    distance = np.concatenate(
        [
            np.linalg.norm(queries[rows].astype(np.float64) - train[index[rows]], axis=1)
            for rows in slices(len(queries), BLOCK)
        ]
    )
    return Neighbours(distance, index)


class Copying(NamedTuple):
    """Evidence that fakes lie nearer to the training set than new real samples do.

    Attributes:
      farther: Share of pairs (fake, held-out sample) in which the fake lies farther from the training set;
        a tie counts half. The share is ½ if neither set is nearer, 0 if every fake is a copy, and 1 if
        every fake is far off.
      z: The same comparison in standard deviations, N(0, 1) if both sets are from one distribution. Below
        −3 the generator copies, above 3 it underfits. Unlike ``farther``, z grows with the number of
        samples.
      nearest: Nearest training sample of each fake, to inspect the pairs.
    """

    farther: float
    z: float
    nearest: Neighbours


def data_copying(train: ArrayLike, held_out: ArrayLike, fake: ArrayLike) -> Copying:
    """Runs the three-sample test of copying, a Mann-Whitney test on distances to the training set.

    U = #{(y, x): d(y, T) > d(x, T)},  farther = U / MN,  z = (U − MN/2) / √(MN (M + N + 1) / 12)

    Here y are fakes, x are held-out samples and T is the training set. The test is the paper's Z_U with the
    whole space as one cell.

    Args:
      train: Samples on which the generator was trained, (T, D).
      held_out: Real samples on which the generator was not trained, from the same distribution, (N, D).
      fake: Generated samples, (M, D).

    Returns:
      The share, its z, and the neighbours of the fakes.

    Raises:
      SetupError: The samples are invalid, see :mod:`jaxgan.metrics.feature_checks`.

    References:
      Meehan et al., 2020, section 3.1, https://arxiv.org/abs/2004.05675
    """
    from scipy.stats import mannwhitneyu

    train, held_out, fake = check_features(train=train, held_out=held_out, fake=fake)
    found = nearest(fake, train)
    u = float(mannwhitneyu(found.distance, nearest(held_out, train).distance).statistic)
    pairs = len(fake) * len(held_out)
    deviation = np.sqrt(pairs * (len(fake) + len(held_out) + 1) / 12)
    return Copying(u / pairs, float((u - pairs / 2) / deviation), found)
