"""Precision, recall, density and coverage, which measure fidelity and diversity separately."""

from typing import NamedTuple

import jax
import numpy as np

from jaxgan.errors import SetupError
from jaxgan.metrics.distances import centre_of, rounding, tiles
from jaxgan.metrics.feature_checks import check_at_least, check_features

ArrayLike = jax.Array | np.ndarray


class PRDC(NamedTuple):
    """Scores of how two sets cover each other.

    Attributes:
      precision: Share of fakes that lie in a ball around a real sample, in [0, 1].
      recall: Share of real samples that lie in a ball around a fake, in [0, 1].
      density: Mean number of real samples' balls in which a fake lies, divided by k. The density is about 1
        for fakes like the real samples, and may exceed 1.
      coverage: Share of real samples' balls that contain a fake, in [0, 1].
    """

    precision: float
    recall: float
    density: float
    coverage: float


def _squared_radii(x: np.ndarray, centre: np.ndarray, k: int) -> np.ndarray:
    """Returns the (N,) squared distances from each sample to its k-th nearest other sample."""
    # We keep k + 1 distances, because the nearest sample of all is the sample itself.
    nearest = np.full((len(x), k + 1), np.inf)
    for rows, _, squares in tiles(x, x, centre):
        if squares.shape[1] > k + 1:
            squares = np.partition(squares, k, axis=1)[:, : k + 1]
        nearest[rows] = np.sort(np.concatenate([nearest[rows], squares], axis=1), axis=1)[:, : k + 1]
    return nearest[:, k]


def precision_recall_density_coverage(real: ArrayLike, fake: ArrayLike, *, k: int = 5) -> PRDC:
    """Computes improved precision and recall, density and coverage.

    precision = 1/M Σ_j [y_j in any B(x_i)]      recall = 1/N Σ_i [x_i in any B(y_j)]
    density = 1/(kM) Σ_j Σ_i [y_j in B(x_i)]     coverage = 1/N Σ_i [any y_j in B(x_i)]

    Here x are real samples and y are fakes. B(x_i) is the closed ball around x_i that reaches to the k-th
    nearest other real sample, and B(y_j) is the same ball among fakes. Distances that differ only by
    rounding count as equal, so a point at the edge of a ball is in the ball. (The code of Naeem et al. has
    open balls, which differ where there are ties: a set against itself has density (k + 1)/k here and 1
    there.)

    Distances are computed in tiles, so the distance matrix is never held in memory. Time and memory are
    measured by ``python -m benchmarks.metric_speed --only=prdc``.

    Args:
      real: Real features, (N, D).
      fake: Generated features, (M, D); recall and coverage are comparable only between equal N and M.
      k: Rank of the neighbour that the balls reach; 3 in Kynkäänniemi et al., 5 in Naeem et al.

    Returns:
      The four scores.

    Raises:
      SetupError: The features are invalid (see :mod:`jaxgan.metrics.feature_checks`), or a set has
        no k-th neighbour.

    References:
      Kynkäänniemi et al., 2019, equations 1 and 2, https://arxiv.org/abs/1904.06991
      Naeem et al., 2020, section 3, https://arxiv.org/abs/2002.09797
    """
    real, fake = check_features(real=real, fake=fake)
    check_at_least("k", k, 1)
    if k >= min(len(real), len(fake)):
        raise SetupError(
            f"k {k} with {len(real)} real and {len(fake)} fake samples: no k-th neighbour; "
            f"give {min(len(real), len(fake)) - 1} or less"
        )
    centre = centre_of(real, fake)
    edge = rounding(centre, real, fake)
    real_radii = _squared_radii(real, centre, k) + edge
    fake_radii = _squared_radii(fake, centre, k) + edge
    holding = np.zeros(len(fake), np.int64)  # number of real balls around each fake
    recalled, covered = np.zeros((2, len(real)), bool)
    for rows, columns, squares in tiles(real, fake, centre):
        in_real_ball = squares <= real_radii[rows, None]
        holding[columns] += np.sum(in_real_ball, axis=0)
        covered[rows] |= np.any(in_real_ball, axis=1)
        recalled[rows] |= np.any(squares <= fake_radii[columns], axis=1)
    return PRDC(
        precision=float(np.mean(holding > 0)),
        recall=float(np.mean(recalled)),
        density=float(np.mean(holding) / k),
        coverage=float(np.mean(covered)),
    )
