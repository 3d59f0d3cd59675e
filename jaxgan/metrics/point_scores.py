"""Metrics of generated points where the truth is known.

Those of modes and :func:`mmd` are JAX functions: ``vmap`` them over a population's samples. :func:`w1` and
:func:`sliced_w1` are NumPy's, and let threads run beside one another.
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

# A sample within so many standard deviations of its mode is of high quality. Of a Gaussian's own samples
# that is 99.73 % on the line and 98.89 % in the plane, 1 − exp(−9/2).
RADIUS = 3.0


def nearest_modes(samples: ArrayLike, centres: ArrayLike, covariances: ArrayLike) -> tuple[Array, Array]:
    """Each sample's nearest mode, distances being in standard deviations.

    d(x, k) = √((x − c_k)ᵀ Σ_k⁻¹ (x − c_k))

    Args:
      samples: (N, dim).
      centres: (K, dim) c.
      covariances: (K, dim, dim) Σ.

    Returns:
      (N,) indices of modes and (N,) distances to them.

    Raises:
      AssertionError: the shapes do not go together.
    """
    count, dim = centres.shape
    chex.assert_shape(samples, (None, dim))
    chex.assert_shape(covariances, (count, dim, dim))
    whitening = jnp.linalg.inv(jnp.linalg.cholesky(jnp.asarray(covariances)))
    white = jnp.einsum("kij,nkj->nki", whitening, samples[:, None] - jnp.asarray(centres))
    distances = jnp.linalg.norm(white, axis=-1)
    return jnp.argmin(distances, axis=1), jnp.min(distances, axis=1)


class ModeScores(NamedTuple):
    """How a generator serves the modes of a mixture.

    Attributes:
      found: modes with at least one high-quality sample, int32.
      high_quality: share of samples within three standard deviations of a mode.
      kl: KL(generated ‖ true) in nats over the modes, every sample counted for its nearest one: 0 if all
        are hit as often as they should be, −log w_k if all samples go to mode k, NaN if one is not finite.
    """

    found: Array
    high_quality: Array
    kl: Array


def mode_scores(
    samples: ArrayLike, centres: ArrayLike, covariances: ArrayLike, weights: ArrayLike
) -> ModeScores:
    """Modes found, share of high-quality samples and KL over modes.

    Args:
      samples: (N, dim).
      centres: (K, dim) of the mixture's modes, far from one another.
      covariances: (K, dim, dim).
      weights: (K,), summing to 1.

    Returns:
      The three scores, each a scalar.

    Raises:
      AssertionError: the shapes do not go together.

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
    """Unit vectors, uniform on the sphere, for :func:`sliced_w1`.

    Args:
      key: a PRNG key.
      count: how many.
      dim: of the space.

    Returns:
      (count, dim) float32.
    """
    vectors = jax.random.normal(key, (count, dim))
    return vectors / jnp.linalg.norm(vectors, axis=1, keepdims=True)


def sliced_w1(x: ArrayLike, y: ArrayLike, directions: ArrayLike) -> float:
    """The mean earth mover's distance between the shadows of two samples on lines.

    SW₁ = E_θ[W₁(θ·x, θ·y)],  θ the directions

    Args:
      x: (N, dim) points.
      y: (N, dim) points, as many.
      directions: (D, dim) unit vectors.

    Returns:
      In units of x; at most W₁.

    Raises:
      AssertionError: the shapes do not go together.

    References:
      Bonneel et al., 2015, Sliced and Radon Wasserstein Barycenters of Measures,
      https://doi.org/10.1007/s10851-014-0506-3
    """
    chex.assert_equal_shape([x, y])
    chex.assert_shape(directions, (None, x.shape[1]))
    # NumPy sorts twelve times as fast as XLA on a CPU.
    lines = np.asarray(directions, np.float64)
    shadows = [np.sort(lines @ np.asarray(points, np.float64).T, axis=1) for points in (x, y)]
    return float(np.mean(np.abs(shadows[0] - shadows[1])))


def mmd(x: ArrayLike, y: ArrayLike, *, bandwidth: float) -> Array:
    """The squared maximum mean discrepancy, estimated without bias.

    MMD² = E[k(x, x')] + E[k(y, y')] − 2 E[k(x, y)],  k(a, b) = exp(−‖a − b‖² / (2 bandwidth²))

    A point is never paired with itself, so that the mean over samples is the distributions' own value, 0
    where they are the same; the estimate may be negative.

    Args:
      x: (N, dim) points, N ≥ 2.
      y: (M, dim) points, M ≥ 2.
      bandwidth: of the kernel, in units of x: the scale at which differences are seen.

    Returns:
      A scalar, at most 2.

    Raises:
      AssertionError: the shapes do not go together, or there are fewer than two points.

    References:
      Gretton et al., 2012, A Kernel Two-Sample Test, lemma 6,
      https://www.jmlr.org/papers/v13/gretton12a.html
    """
    chex.assert_equal_shape_suffix([x, y], 1)
    n, m = len(x), len(y)
    chex.assert_scalar_positive(min(n, m) - 1)

    def kernel(a: ArrayLike, b: ArrayLike) -> Array:
        # Differences, not ‖a‖² + ‖b‖² − 2a·b, which loses all digits of near points far from the origin.
        squares = jnp.sum(jnp.square(jnp.asarray(a)[:, None] - b), axis=-1)
        return jnp.exp(-squares / (2 * bandwidth**2))

    within = [(jnp.sum(kernel(a, a)) - k) / (k * (k - 1)) for a, k in ((x, n), (y, m))]
    return within[0] + within[1] - 2 * jnp.mean(kernel(x, y))


def w1(x: ArrayLike, y: ArrayLike) -> float:
    """The exact earth mover's distance between two samples of equal size, by assignment.

    W₁ = min_σ 1/N Σ_i ‖x_i − y_σ(i)‖

    Time grows as N³ at worst.

    Args:
      x: (N, dim) points.
      y: (N, dim) points.

    Returns:
      In units of x.

    Raises:
      AssertionError: the shapes differ, or are not (N, dim).
      ValueError: a point is not finite, or there is none.

    References:
      Peyré and Cuturi, 2019, Computational Optimal Transport, section 2.2, https://arxiv.org/abs/1803.00567
    """
    from scipy.optimize import linear_sum_assignment
    from scipy.spatial.distance import cdist

    chex.assert_equal_shape([x, y])
    cost = cdist(check_points(x, 2), check_points(y, 2))
    return math.fsum(cost[linear_sum_assignment(cost)]) / len(cost)
