"""Streaming mean and covariance of features in float64.

In float32, rounding errors of a covariance of 2048 dimensions exceed its small eigenvalues, which enter a
Fréchet distance as their square roots. These functions therefore compute in float64 on the device,
regardless of the settings of the process, by turning on ``jax.enable_x64`` for their own computations only.
Other JAX functions would round the arrays to float32, so convert the arrays to NumPy for computations
outside of this module::

    >>> moments = empty(2)
    >>> for batch in np.array([[[0, 0], [2, 0]], [[0, 3], [2, 3]]], np.float32):
    ...     moments = update(moments, batch)
    >>> print(int(moments.count), np.asarray(moments.mean), covariance(moments).diagonal() * 3)
    4 [1.  1.5] [4. 9.]
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.errors import SetupError
from jaxgan.metrics.feature_checks import check_features

Array = jax.Array
ArrayLike = jax.Array | np.ndarray

BLOCK = 4096  # number of rows that from_features adds at a time


class Moments(NamedTuple):
    """The moments of a set of features, in float64.

    Attributes:
      count: () number of samples.
      mean: (D,) mean.
      m2: (D, D) sum of outer products, Σ (x − mean)(x − mean)ᵀ.
    """

    count: ArrayLike  # type: ignore[assignment]  # The field hides tuple.count.
    mean: ArrayLike
    m2: ArrayLike


def empty(dim: int) -> Moments:
    """Returns the moments of an empty set of ``dim``-dimensional features."""
    with jax.enable_x64(True):
        return Moments(*(jnp.zeros(shape, jnp.float64) for shape in ((), (dim,), (dim, dim))))


@jax.jit
def _merge(a: Moments, b: Moments) -> Moments:
    count = a.count + b.count
    share = b.count / jnp.maximum(count, 1)  # The maximum makes the share of two empty sets 0.
    shift = jnp.subtract(b.mean, a.mean)
    between = a.count * share * jnp.outer(shift, shift)
    return Moments(count, a.mean + share * shift, a.m2 + b.m2 + between)


@jax.jit
def _update(moments: Moments, features: Array) -> Moments:
    x = features.astype(jnp.float64)
    mean = jnp.mean(x, axis=0)
    deviations = x - mean
    return _merge(moments, Moments(jnp.float64(len(x)), mean, deviations.T @ deviations))


def update(moments: Moments, features: ArrayLike) -> Moments:
    """Adds a batch of features to the moments.

    A batch that is sharded over devices is summed over all devices. The function does not check for NaN,
    since the check would have to wait for the device. A NaN spreads to the moments, and :func:`covariance`
    refuses such moments.

    Args:
      moments: Moments of the earlier samples.
      features: (B, D) features of any float type.

    Returns:
      The moments of the earlier samples and the batch together.

    Raises:
      SetupError: The shape of the features is not (B, D) with the D of the moments, or B is 0.
    """
    dim = moments.mean.shape[0]
    if np.ndim(features) != 2 or np.shape(features)[1] != dim or not len(features):
        raise SetupError(f"a batch of features has shape {np.shape(features)}: (samples, {dim}) is needed")
    with jax.enable_x64(True):
        return _update(moments, features)


def merge(a: Moments, b: Moments) -> Moments:
    """Computes the moments of the union of two sets by Chan's formula.

    M2 = M2_a + M2_b + (n_a n_b / n) δδᵀ,  δ = mean_b − mean_a

    Args:
      a: Moments of the first set.
      b: Moments of the second set.

    Returns:
      The moments of the union. The order and grouping of several calls change only the rounding.

    Raises:
      SetupError: The dimensions differ.

    References:
      Chan et al., 1979, Updating Formulae and a Pairwise Algorithm for Computing Sample Variances,
      http://i.stanford.edu/pub/cstr/reports/cs/tr/79/773/CS-TR-79-773.pdf
    """
    if a.mean.shape != b.mean.shape:
        raise SetupError(
            f"moments of {a.mean.shape[0]} and of {b.mean.shape[0]} dimensions cannot be merged"
        )
    with jax.enable_x64(True):
        return _merge(a, b)


def merge_hosts(moments: Moments) -> Moments:
    """Merges the moments of all processes.

    Each process must have computed its moments from its own samples. Moments of batches that are global
    arrays already contain the samples of all processes and must not be merged again.

    Args:
      moments: Moments of this process, with the same dimensions in all processes.

    Returns:
      The moments of all samples, which are the same in every process.
    """
    if jax.process_count() == 1:
        return moments
    from jax.experimental import multihost_utils

    with jax.enable_x64(True):
        gathered = multihost_utils.process_allgather(Moments(*map(np.asarray, moments)))
    return functools.reduce(merge, map(Moments, *gathered))


def from_features(features: ArrayLike) -> Moments:
    """Computes the moments of a set of features in memory.

    Args:
      features: (N, D) features.

    Returns:
      The moments, as if accumulated with :func:`update`.

    Raises:
      SetupError: There are fewer than two samples, or one is not finite.
    """
    (rows,) = check_features(features=features)
    moments = empty(rows.shape[1])
    for start in range(0, len(rows), BLOCK):
        moments = update(moments, rows[start : start + BLOCK])
    return moments


def covariance(moments: Moments) -> np.ndarray:
    """Computes the unbiased covariance.

    Σ = M2 / (n − 1)

    Args:
      moments: Moments of at least two samples.

    Returns:
      (D, D) float64 NumPy array.

    Raises:
      SetupError: There are fewer than two samples, or a sample was not finite.
    """
    count, m2 = float(moments.count), np.asarray(moments.m2)
    if count < 2:
        raise SetupError(f"moments of {count:.0f} samples have no covariance: at least 2 are needed")
    if not np.isfinite(m2).all():
        raise SetupError("moments are not finite: the features held a NaN or an infinity")
    return m2 / (count - 1)
