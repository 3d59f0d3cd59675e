"""Problems along a curve in the plane, a thin manifold like the one that images are thought to lie on.

The numbers that define a problem may be traced when it is sampled. Its density needs concrete numbers
because they determine the number of quadrature points.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.data.problems.points import Problem, check_count, check_positive, is_number
from jaxgan.errors import SetupError

Array = jax.Array


def _curve(curve: Callable[[Array], Array], length: float, power: int, std: float) -> Problem:
    """Makes the problem of points curve(s) + N(0, std² I), s in [0, 1] with density power · s^(power − 1).

    ``curve`` maps (...) to (..., arms, 2). The arms are equally likely, and ``length`` bounds the speed
    |d curve / ds| of every arm.
    """
    if not is_number(std) or (not isinstance(std, jax.core.Tracer) and std < 0):
        raise SetupError(f"std is {std}: give 0 or a positive number")

    def sample(key: Array) -> Array:
        where, which, noise = jax.random.split(key, 3)
        arms = curve(jax.random.uniform(where) ** (1 / power))
        arm = jax.random.randint(which, (), 0, len(arms))
        return arms[arm] + std * jax.random.normal(noise, (2,))

    def log_density(x: Array) -> Array:
        # ∫ N(x; curve(s), std² I) p(s) ds is computed with four Gauss-Legendre nodes on each stretch of at
        # most one std, where the relative error of the rule is below 1e-7.
        if isinstance(length / std, jax.core.Tracer):
            raise SetupError("a curve's density needs numbers that are not traced: give its std as a float")
        panels = math.ceil(length / std)
        nodes, weights = np.polynomial.legendre.leggauss(4)
        s = ((np.arange(panels)[:, None] + (nodes + 1) / 2) / panels).ravel()
        mass = np.tile(weights / 2 / panels, panels) * power * s ** (power - 1)
        arms = curve(jnp.asarray(s, jnp.float32))
        squares = jnp.sum(jnp.square(x[..., None, None, :] - arms), axis=-1)
        share = jnp.asarray(mass / arms.shape[1], jnp.float32)[:, None]
        total = jax.nn.logsumexp(-squares / (2 * std**2), axis=(-2, -1), b=share)
        return total - math.log(2 * math.pi * std**2)

    has_density = isinstance(std, jax.core.Tracer) or std > 0
    return Problem(sample, 2, log_density if has_density else None)


def swiss_roll(*, std: float = 1 / 30) -> Problem:
    """Makes the Swiss roll: (t cos t, t sin t) / 7.5, t uniform on [1.5π, 4.5π], plus Gaussian noise.

    Args:
      std: Standard deviation of the noise; at 0 the roll has no density.

    Returns:
      The problem, in the plane. Its density is an integral along the roll, computed by quadrature.

    Raises:
      SetupError: The std is negative or not finite, or the density is computed with a traced std.

    References:
      Gulrajani et al., 2017, figure 1 and its code, https://arxiv.org/abs/1704.00028
    """

    def curve(s: Array) -> Array:
        t = jnp.pi * (1.5 + 3 * s)
        return (t / 7.5)[..., None, None] * jnp.stack([jnp.cos(t), jnp.sin(t)], axis=-1)[..., None, :]

    return _curve(curve, 3 * math.pi * math.hypot(1, 4.5 * math.pi) / 7.5, 1, std)


def spiral(*, arms: int = 1, turns: float = 1.5, radius: float = 2.0, std: float = 0.02) -> Problem:
    """Makes spirals from the origin, radius · s (cos 2π·turns·s, sin 2π·turns·s), plus Gaussian noise.

    s² is uniform on [0, 1], so that points are spread about evenly along an arm. The arms are rotated by
    equal angles.

    Args:
      arms: Number of arms.
      turns: Number of turns of each arm.
      radius: Distance of the end of each arm from the origin.
      std: Standard deviation of the noise; at 0 the spirals have no density.

    Returns:
      The problem, in the plane. Its density is an integral along the arms, computed by quadrature.

    Raises:
      SetupError: A number is out of range, or the density is computed with a traced number.
    """
    check_count(arms=arms)
    check_positive(turns=turns, radius=radius)

    def curve(s: Array) -> Array:
        angle = 2 * jnp.pi * (turns * s[..., None] + jnp.arange(arms) / arms)
        return radius * s[..., None, None] * jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=-1)

    return _curve(curve, radius * (1 + (2 * math.pi * turns) ** 2) ** 0.5, 2, std)
