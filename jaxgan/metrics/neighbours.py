"""Nearest neighbours in the training set: does a generator copy it?"""

from typing import NamedTuple

import jax
import numpy as np

from jaxgan.metrics.checks import check_features
from jaxgan.metrics.distances import centre_of, slices, tiles

ArrayLike = jax.Array | np.ndarray

BLOCK = 4096  # rows whose final distances are taken at a time


class Neighbours(NamedTuple):
    """The nearest training sample of each query.

    Attributes:
      distance: (N,) Euclidean, float64, 0 for a copy.
      index: (N,) of that training sample; the first, should several be as near to within rounding.
    """

    distance: np.ndarray
    index: np.ndarray  # type: ignore[assignment]  # hides tuple.index


def nearest(queries: ArrayLike, train: ArrayLike) -> Neighbours:
    """Finds the nearest training sample of each query.

    Args:
      queries: (N, D).
      train: (M, D).

    Returns:
      Distances and indices.

    Raises:
      SetupError: as the features of any metric.
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
    """Whether fakes lie nearer to the training set than new real samples do.

    Attributes:
      farther: share of pairs (fake, held-out) of which the fake lies farther from the training set, a tie
        counting half: ½ if neither is nearer, 0 if every fake is a copy, 1 if every fake is far off.
      z: the same in standard deviations of chance, N(0, 1) if both are of one distribution: below −3 the
        generator copies, above 3 it underfits. It grows with the samples, which ``farther`` does not.
      nearest: of each fake, to look at the pairs.
    """

    farther: float
    z: float
    nearest: Neighbours


def data_copying(train: ArrayLike, held_out: ArrayLike, fake: ArrayLike) -> Copying:
    """The three-sample test of copying: Mann and Whitney's on distances to the training set.

    U = #{(y, x): d(y, T) > d(x, T)},  farther = U / MN,  z = (U − MN/2) / √(MN (M + N + 1) / 12)

    y are fake, x held out, T the training set. This is the paper's Z_U on the whole space as one cell.

    Args:
      train: (T, D) what the generator was trained on.
      held_out: (N, D) real samples that it was not trained on, of the same distribution.
      fake: (M, D).

    Returns:
      The share, its z, and the fakes' neighbours.

    Raises:
      SetupError: as the features of any metric.

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
