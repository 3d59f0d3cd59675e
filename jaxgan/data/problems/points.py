"""Problems on the line and in the plane with a known distribution, as JAX functions of a key.

A problem draws one point from one key; a batch is a ``vmap`` over keys::

    >>> problem = ring(modes=4, radius=1.0)
    >>> jax.vmap(problem.sample)(jax.random.split(jax.random.key(0), 3)).shape
    (3, 2)

Numbers that determine no shape (a std, a radius, a distance) may be traced, so that a traced function can
make a problem, for example under ``vmap``. Counts and the arguments of ``mixture`` and ``uniforms`` must be
concrete. Sweeps trace none of these numbers because the members of a population share their problem.
"""

import math
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.errors import SetupError

Array = jax.Array
Matrix = Sequence[Sequence[float]]


class Modes(NamedTuple):
    """The Gaussians of a mixture.

    Attributes:
      centres: Means of shape (K, dim).
      covariances: Covariances of shape (K, dim, dim).
      weights: Weights of shape (K,) that sum to 1.
    """

    centres: np.ndarray | Array
    covariances: np.ndarray | Array
    weights: np.ndarray | Array


class Problem(NamedTuple):
    """A distribution to learn.

    Attributes:
      sample: Function from a PRNG key to a (dim,) float32 point.
      dim: Dimension of the space.
      log_density: Log density in nats of (..., dim) points, −inf off the support; None without a density.
      modes: Gaussians of the mixture; None if the distribution is not a mixture of Gaussians.
    """

    sample: Callable[[Array], Array]
    dim: int
    log_density: Callable[[Array], Array] | None = None
    modes: Modes | None = None


def is_number(value: Any) -> bool:
    """Returns whether a value is one finite number and not a bool; traced values are not checked."""
    if isinstance(value, jax.core.Tracer):
        return True
    array = np.asarray(value)
    real = jnp.issubdtype(array.dtype, jnp.integer) or jnp.issubdtype(array.dtype, jnp.floating)
    return array.shape == () and real and bool(np.isfinite(array))


def check_finite(**values: float) -> None:
    """Raises SetupError unless every value is a finite number; traced values are not checked."""
    for name, value in values.items():
        if not is_number(value):
            raise SetupError(f"{name} is {value}: give a finite number")


def check_positive(**values: float) -> None:
    """Raises SetupError unless every value is positive and finite; traced values are not checked."""
    for name, value in values.items():
        if not is_number(value) or (not isinstance(value, jax.core.Tracer) and value <= 0):
            raise SetupError(f"{name} is {value}: give a positive number")


def check_count(**values: int) -> None:
    """Raises SetupError unless every value is a whole number of at least 1."""
    for name, value in values.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise SetupError(f"{name} is {value}: give a whole number of at least 1")


def _check_weights(name: str, weights: np.ndarray, count: int) -> None:
    if weights.shape != (count,) or not (weights > 0).all() or abs(weights.sum() - 1) > 1e-6:
        raise SetupError(f"{name} is {weights.tolist()}: give {count} positive numbers that sum to 1")


def _gaussians_log_density(modes: Modes) -> Callable[[Array], Array]:
    """Returns the function log Σ_k w_k N(x; c_k, Σ_k)."""

    def log_density(x: Array) -> Array:
        whitening = jnp.linalg.inv(jnp.linalg.cholesky(modes.covariances))
        log_peaks = jnp.linalg.slogdet(whitening)[1] - modes.centres.shape[1] / 2 * math.log(2 * math.pi)
        white = jnp.einsum("kij,...kj->...ki", whitening, x[..., None, :] - modes.centres)
        exponents = log_peaks - jnp.sum(jnp.square(white), axis=-1) / 2
        return jax.nn.logsumexp(exponents, axis=-1, b=modes.weights)

    return log_density


def _isotropic(centres: np.ndarray | Array, std: float) -> Modes:
    # NumPy arrays are used so that nothing is compiled unless ``std`` is traced.
    count, dim = centres.shape
    covariances = std**2 * np.broadcast_to(np.eye(dim), (count, dim, dim))
    return Modes(centres, covariances, np.full(count, 1 / count))


def ring(*, modes: int = 8, radius: float = 2.0, std: float = 0.02) -> Problem:
    """Makes the ring of Gaussians: N(c, std² I), c uniform among evenly spaced points on a circle.

    Args:
      modes: Number of Gaussians on the ring.
      radius: Radius of the ring.
      std: Standard deviation of each Gaussian.

    Returns:
      The problem, in the plane.

    Raises:
      SetupError: A number is not positive.

    References:
      Metz et al., 2017, Unrolled GANs, appendix A, https://arxiv.org/abs/1611.02163
    """
    check_count(modes=modes)
    check_positive(radius=radius, std=std)

    def centre(xp: ModuleType, index: np.ndarray | Array) -> Any:
        angle = 2 * xp.pi * index / modes
        return radius * xp.stack([xp.cos(angle), xp.sin(angle)])

    def sample(key: Array) -> Array:
        which, noise = jax.random.split(key)
        index = jax.random.randint(which, (), 0, modes)
        return centre(jnp, index) + std * jax.random.normal(noise, (2,))

    gaussians = _isotropic(centre(np, np.arange(modes)).T, std)
    return Problem(sample, 2, _gaussians_log_density(gaussians), gaussians)


def grid(*, side: int = 5, spacing: float = 1.0, std: float = 0.05) -> Problem:
    """Makes the grid of side² Gaussians around the origin.

    Args:
      side: Number of Gaussians along an edge.
      spacing: Distance between neighbouring Gaussians.
      std: Standard deviation of each Gaussian.

    Returns:
      The problem, in the plane.

    Raises:
      SetupError: A number is not positive.

    References:
      Dumoulin et al., 2017, ALI, section 4.2 (25 Gaussians), https://arxiv.org/abs/1606.00704
    """
    check_count(side=side)
    check_positive(spacing=spacing, std=std)

    def centre(index: np.ndarray | Array) -> Any:
        return spacing * (index - (side - 1) / 2)

    def sample(key: Array) -> Array:
        which, noise = jax.random.split(key)
        index = jax.random.randint(which, (2,), 0, side).astype(jnp.float32)
        return centre(index) + std * jax.random.normal(noise, (2,))

    gaussians = _isotropic(centre(np.indices((side, side)).reshape(2, -1).T), std)
    return Problem(sample, 2, _gaussians_log_density(gaussians), gaussians)


def mixture(
    *,
    mu: Matrix = ((1.0, 2.0), (-3.0, -5.0)),
    sigma: Sequence[Matrix] = (((2.0, 0.0), (0.0, 0.5)), ((1.0, 0.0), (0.0, 1.0))),
    p: Sequence[float] = (0.5, 0.5),
) -> Problem:
    """Makes a mixture of K Gaussians, Σ_k p_k N(μ_k, Σ_k), in any dimension.

    Args:
      mu: Means of shape (K, dim).
      sigma: Covariances of shape (K, dim, dim).
      p: Weights of shape (K,) that sum to 1.

    Returns:
      The problem.

    Raises:
      SetupError: The shapes do not match, a mean is not finite, a covariance is not symmetric and positive
        definite, a weight is not positive, or the weights do not sum to 1.
    """
    means, covariances, weights = (np.asarray(value, np.float64) for value in (mu, sigma, p))
    if means.ndim != 2 or covariances.shape != (*means.shape, means.shape[-1]):
        raise SetupError(
            f"mu of shape {means.shape}, sigma of shape {covariances.shape}: give (K, dim), (K, dim, dim)"
        )
    if not np.isfinite(means).all():
        raise SetupError(f"mu is {means.tolist()}: give finite numbers")
    # Finiteness is checked first because eigenvalues of other matrices may raise.
    symmetric = np.isfinite(covariances).all() and np.array_equal(covariances, covariances.mT)
    if not symmetric or not (np.linalg.eigvalsh(covariances) > 0).all():
        raise SetupError(f"sigma is {covariances.tolist()}: give symmetric positive definite matrices")
    _check_weights("p", weights, len(means))
    roots = np.linalg.cholesky(covariances)

    def sample(key: Array) -> Array:
        which, noise = jax.random.split(key)
        index = jax.random.choice(which, len(means), p=jnp.asarray(weights))
        z = jax.random.normal(noise, means.shape[1:])
        return jnp.asarray(means)[index] + jnp.asarray(roots)[index] @ z

    gaussians = Modes(means, covariances, weights)
    return Problem(sample, means.shape[1], _gaussians_log_density(gaussians), gaussians)


def gaussian(*, mean: float = 0.0, std: float = 1.0) -> Problem:
    """Makes a Gaussian on the line.

    Args:
      mean: Mean of the Gaussian.
      std: Standard deviation of the Gaussian.

    Returns:
      The problem; points have shape (1,).

    Raises:
      SetupError: The mean is not finite, or the std is not positive.

    References:
      Goodfellow et al., 2014, figure 1, https://arxiv.org/abs/1406.2661
    """
    check_finite(mean=mean)
    check_positive(std=std)
    modes = _isotropic(mean * np.ones((1, 1)), std)
    return Problem(
        lambda key: mean + std * jax.random.normal(key, (1,)), 1, _gaussians_log_density(modes), modes
    )


def uniforms(
    *,
    intervals: Matrix = ((1.0, 2.0), (3.0, 4.0), (9.0, 10.0)),
    p: Sequence[float] = (0.25, 0.25, 0.5),
) -> Problem:
    """Makes a mixture of uniform distributions on the line, Σ_k p_k U[a_k, b_k).

    Args:
      intervals: Ends a_k < b_k of the intervals, of shape (K, 2); intervals may overlap.
      p: Weights of shape (K,) that sum to 1.

    Returns:
      The problem; points have shape (1,).

    Raises:
      SetupError: An interval is empty or not finite, or the weights are not positive with sum 1.
    """
    ends, weights = np.asarray(intervals, np.float32), np.asarray(p, np.float32)
    pairs = ends.ndim == 2 and ends.shape[1] == 2 and np.isfinite(ends).all()
    if not pairs or not (ends[:, 0] < ends[:, 1]).all():
        raise SetupError(f"intervals is {ends.tolist()}: give finite pairs (a, b) with a < b")
    _check_weights("p", weights, len(ends))
    low, high = ends.T

    def sample(key: Array) -> Array:
        which, where = jax.random.split(key)
        index = jax.random.choice(which, len(weights), p=jnp.asarray(weights))
        return jax.random.uniform(
            where, (1,), minval=jnp.asarray(low)[index], maxval=jnp.asarray(high)[index]
        )

    def log_density(x: Array) -> Array:
        return jnp.log(jnp.sum(jnp.where((low <= x) & (x < high), weights / (high - low), 0.0), axis=-1))

    return Problem(sample, 1, log_density)


def parallel_lines(*, theta: float = 0.0) -> Problem:
    """Makes the uniform distribution on x = θ, 0 ≤ y < 1; θ = 0 is the real one of two parallel lines.

    Args:
      theta: Position of the line on the x axis.

    Returns:
      The problem, in the plane. It has no density.

    Raises:
      SetupError: Theta is not finite.

    References:
      Arjovsky et al., 2017, Wasserstein GAN, example 1, https://arxiv.org/abs/1701.07875
    """
    check_finite(theta=theta)
    return Problem(lambda key: jnp.stack([jnp.float32(theta), jax.random.uniform(key)]), 2)
