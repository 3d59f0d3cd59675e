"""Metrics of generated points for problems with a known distribution.

The metrics of modes are JAX functions and can be mapped over the samples of a population with ``vmap``.
:func:`w1` and :func:`sliced_w1` use NumPy and SciPy and can run in several threads at once.
"""

import math
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.theory.transport import check_points

Array = jax.Array
ArrayLike = jax.Array | np.ndarray

# A sample within this many standard deviations of a mode is of high quality. This holds for 99.73 % of a
# Gaussian's own samples on the line and for 98.89 % of them in the plane, 1 − exp(−9/2).
RADIUS = 3.0


def nearest_modes(samples: ArrayLike, centres: ArrayLike, covariances: ArrayLike) -> tuple[Array, Array]:
    """Finds the nearest mode of each sample by the distance in standard deviations.

    d(x, k) = √((x − c_k)ᵀ Σ_k⁻¹ (x − c_k))

    Args:
      samples: (N, dim) samples.
      centres: (K, dim) centres c of the modes.
      covariances: (K, dim, dim) covariances Σ of the modes.

    Returns:
      (N,) indices of the nearest modes and (N,) distances to them.

    Raises:
      AssertionError: The shapes do not match.
    """
    count, dim = centres.shape
    chex.assert_shape(samples, (None, dim))
    chex.assert_shape(covariances, (count, dim, dim))
    whitening = jnp.linalg.inv(jnp.linalg.cholesky(jnp.asarray(covariances)))
    white = jnp.einsum("kij,nkj->nki", whitening, samples[:, None] - jnp.asarray(centres))
    distances = jnp.linalg.norm(white, axis=-1)
    return jnp.argmin(distances, axis=1), jnp.min(distances, axis=1)


class ModeScores(NamedTuple):
    """Scores of how well a generator covers the modes of a mixture.

    Attributes:
      found: Number of modes with at least one high-quality sample, int32.
      high_quality: Share of samples within three standard deviations of a mode.
      kl: KL(generated ‖ true) in nats over the modes, where each sample counts for its nearest mode. The
        value is 0 if the shares equal the weights, −log w_k if all samples are nearest to mode k, and NaN
        if a sample is not finite.
    """

    found: Array
    high_quality: Array
    kl: Array


def mode_scores(
    samples: ArrayLike, centres: ArrayLike, covariances: ArrayLike, weights: ArrayLike
) -> ModeScores:
    """Computes the number of modes found, the share of high-quality samples and the KL over modes.

    Args:
      samples: (N, dim) samples.
      centres: (K, dim) centres of the modes, which should be far from one another.
      covariances: (K, dim, dim) covariances of the modes.
      weights: (K,) weights of the modes, with sum 1.

    Returns:
      The three scores, each a scalar.

    Raises:
      AssertionError: The shapes do not match.

    References:
      Srivastava et al., 2017, VEEGAN, section 5.1, https://arxiv.org/abs/1705.07761
      Lin et al., 2018, PacGAN, section 4.1 (KL over modes), https://arxiv.org/abs/1712.04086
    """
    weights = jnp.asarray(weights)
    chex.assert_shape(weights, (len(centres),))
    mode, distance = nearest_modes(samples, centres, covariances)
    near = distance <= RADIUS
    hits = jax.nn.one_hot(mode, len(weights))
    share = jnp.mean(hits, axis=0)
    kl = jnp.sum(jax.scipy.special.rel_entr(share, weights))
    return ModeScores(
        found=jnp.sum(jnp.any(hits * near[:, None] > 0, axis=0)),
        high_quality=jnp.mean(near),
        kl=jnp.where(jnp.all(jnp.isfinite(distance)), kl, jnp.nan),
    )


def directions(key: Array, count: int, dim: int) -> Array:
    """Draws unit vectors uniformly from the sphere, for :func:`sliced_w1`.

    Args:
      key: PRNG key.
      count: Number of vectors.
      dim: Dimension of the space.

    Returns:
      (count, dim) float32 unit vectors.
    """
    vectors = jax.random.normal(key, (count, dim))
    return vectors / jnp.linalg.norm(vectors, axis=1, keepdims=True)


def sliced_w1(x: ArrayLike, y: ArrayLike, directions: ArrayLike) -> float:
    """Computes the mean earth mover's distance between the projections of two samples onto lines.

    SW₁ = E_θ[W₁(θ·x, θ·y)],  θ the directions

    Args:
      x: (N, dim) points.
      y: (N, dim) points.
      directions: (D, dim) unit vectors.

    Returns:
      The distance in units of x, which is at most W₁.

    Raises:
      AssertionError: The shapes do not match.

    References:
      Bonneel et al., 2015, Sliced and Radon Wasserstein Barycenters of Measures,
      https://doi.org/10.1007/s10851-014-0506-3
    """
    chex.assert_equal_shape([x, y])
    chex.assert_shape(directions, (None, x.shape[1]))
    # We use NumPy because it sorts much faster than XLA on a CPU.
    lines = np.asarray(directions, np.float64)
    projections = [np.sort(lines @ np.asarray(points, np.float64).T, axis=1) for points in (x, y)]
    return float(np.mean(np.abs(projections[0] - projections[1])))


def w1(x: ArrayLike, y: ArrayLike) -> float:
    """Computes the exact earth mover's distance between two samples of equal size by assignment.

    W₁ = min_σ 1/N Σ_i ‖x_i − y_σ(i)‖

    The time grows with N³ in the worst case.

    Args:
      x: (N, dim) points.
      y: (N, dim) points.

    Returns:
      The distance in units of x.

    Raises:
      AssertionError: The shapes differ, or are not (N, dim).
      ValueError: A point is not finite, or there are no points.

    References:
      Peyré and Cuturi, 2019, Computational Optimal Transport, section 2.2, https://arxiv.org/abs/1803.00567
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    chex.assert_equal_shape([x, y])
    cost = cdist(check_points(x, 2), check_points(y, 2))
    return math.fsum(cost[linear_sum_assignment(cost)]) / len(cost)
