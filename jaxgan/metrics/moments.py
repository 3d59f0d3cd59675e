"""Mean and covariance of features as a stream: count, mean and sum of outer products, in float64.

In float32 the errors of a covariance of 2048 dimensions drown its small eigenvalues, which enter a Fréchet
distance as their square roots. So these functions count in 64 bits, on the device, whatever the process is
set to: each turns ``jax.enable_x64`` on for itself alone. Outside of them JAX would cut the arrays back to
float32; to calculate further, take them to NumPy or give them to the functions here::

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
from jaxgan.metrics.checks import check_features

Array = jax.Array
ArrayLike = jax.Array | np.ndarray

BLOCK = 4096  # rows of a set in memory that are added at a time


class Moments(NamedTuple):
    """What there is to know of a set of features for a Fréchet distance.

    Attributes:
      count: (), how many samples, float64 as the others are.
      mean: (D,).
      m2: (D, D) Σ (x − mean)(x − mean)ᵀ.
    """

    count: ArrayLike  # type: ignore[assignment]  # hides tuple.count
    mean: ArrayLike
    m2: ArrayLike


def empty(dim: int) -> Moments:
    """The moments of no samples."""
    with jax.enable_x64(True):
        return Moments(*(jnp.zeros(shape, jnp.float64) for shape in ((), (dim,), (dim, dim))))


@jax.jit
def _merge(a: Moments, b: Moments) -> Moments:
    count = a.count + b.count
    share = b.count / jnp.maximum(count, 1)  # of two empty sets: 0
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
    """Adds a batch.

    A batch that is sharded over devices is summed over all of them. A NaN is not looked for, which would
    have to wait for the device; it reaches the moments, and whoever uses them refuses it.

    Args:
      moments: of what came before.
      features: (B, D), of any float type.

    Returns:
      The moments of both.

    Raises:
      SetupError: the features are not (B, D) of the moments' D.
    """
    dim = moments.mean.shape[0]
    if np.ndim(features) != 2 or np.shape(features)[1] != dim or not len(features):
        raise SetupError(f"a batch of features has shape {np.shape(features)}: (samples, {dim}) is needed")
    with jax.enable_x64(True):
        return _update(moments, features)


def merge(a: Moments, b: Moments) -> Moments:
    """The moments of two sets together, by Chan's formula.

    M2 = M2_a + M2_b + (n_a n_b / n) δδᵀ,  δ = mean_b − mean_a

    Args:
      a: of one set.
      b: of another.

    Returns:
      Their moments as one set; order and grouping change rounding only.

    Raises:
      SetupError: the dimensions differ.

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


def merge_over(moments: Moments, axis_name: str) -> Moments:
    """Inside ``shard_map`` or ``pmap``: the moments of every device's samples together.

    Args:
      moments: this device's own.
      axis_name: of the mesh or the pmap.

    Returns:
      The same on every device.
    """
    with jax.enable_x64(True):
        count = jax.lax.psum(moments.count, axis_name)
        mean = jax.lax.psum(moments.count * moments.mean, axis_name) / jnp.maximum(count, 1)
        shift = moments.mean - mean
        m2 = jax.lax.psum(moments.m2 + moments.count * jnp.outer(shift, shift), axis_name)
        return Moments(count, mean, m2)


def merge_hosts(moments: Moments) -> Moments:
    """The moments of every process's samples together; with one process, its own.

    For moments that each process made of its own samples. Those of batches that are global arrays hold
    every process's samples already, and must not come here.

    Args:
      moments: this process's own, of as many dimensions as the others'.

    Returns:
      The same in every process.
    """
    if jax.process_count() == 1:
        return moments
    from jax.experimental import multihost_utils

    with jax.enable_x64(True):
        gathered = multihost_utils.process_allgather(Moments(*map(np.asarray, moments)))
    return functools.reduce(merge, map(Moments, *gathered))


def from_features(features: ArrayLike) -> Moments:
    """The moments of a set in memory.

    Args:
      features: (N, D).

    Returns:
      They, as many calls of :func:`update` would make them.

    Raises:
      SetupError: fewer than two samples, or one is not finite.
    """
    (rows,) = check_features(features=features)
    moments = empty(rows.shape[1])
    for start in range(0, len(rows), BLOCK):
        moments = update(moments, rows[start : start + BLOCK])
    return moments


def covariance(moments: Moments) -> np.ndarray:
    """The unbiased covariance.

    Σ = M2 / (n − 1)

    Args:
      moments: of at least two samples.

    Returns:
      (D, D) float64, of NumPy.

    Raises:
      SetupError: there are fewer than two samples, or a sample was not finite.
    """
    count, m2 = float(moments.count), np.asarray(moments.m2)
    if count < 2:
        raise SetupError(f"moments of {count:.0f} samples have no covariance: at least 2 are needed")
    if not np.isfinite(m2).all():
        raise SetupError("moments are not finite: the features held a NaN or an infinity")
    return m2 / (count - 1)
