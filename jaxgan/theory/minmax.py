"""Min-max dynamics: the orbits of small games under different update rules.

A game is given by its value V(x, y), which the player x minimises and the player y maximises. Both players
descend the field v = (∂V/∂x, −∂V/∂y). An orbit contains all points from the first to the last::

    >>> orbit = alternating(bilinear, 1.0, 1.0, steps=100, learning_rate=0.1)
    >>> orbit.x.shape, bool(jnp.all(jnp.hypot(orbit.x, orbit.y) < 1.5))
    ((101,), True)

On V = xy, a step of a method is a matrix. The spectral radius ρ, the largest modulus of the matrix's
eigenvalues, is the factor per step by which the distance to the equilibrium (0, 0) changes in the long run.
Learning rates and weights may be traced.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array
Game = Callable[[Array, Array], Array]
Point = tuple[Array, Array]


class Orbit(NamedTuple):
    """Course of a game.

    Attributes:
      x: Points of the minimising player, (steps + 1, ...).
      y: Points of the maximising player, (steps + 1, ...).
    """

    x: Array
    y: Array


def bilinear(x: Array, y: Array) -> Array:
    """Computes V(x, y) = x · y, whose only equilibrium is (0, 0).

    Args:
      x: Point of the minimising player, a number or an array.
      y: Point of the maximising player, with the same shape as x.

    Returns:
      The value, a scalar.

    References:
      Goodfellow, 2016, NIPS 2016 Tutorial, https://arxiv.org/abs/1701.00160
    """
    return jnp.vdot(x, y)


def dirac_gan(x: Array, y: Array, *, r1: float = 0.0) -> Array:
    """Computes the value of the Dirac-GAN.

    The generator puts all mass at x, the data is all at 0, and the critic is D(t) = y t.

    V(x, y) = f(x y) + f(0) − r1/2 y²,  f(t) = −log(1 + e^(−t))

    As in the paper, the critic's output is larger for samples that the critic takes for *fake*. Without the
    penalty, v rotates around the equilibrium (0, 0) with eigenvalues ± i/2, and descent does not converge;
    the R1 penalty on the critic's slope y moves the eigenvalues to −r1/2 ± √(r1² − 1)/2.

    Args:
      x: Position of the generator's mass.
      y: Slope of the critic.
      r1: Weight of the penalty, the paper's γ.

    Returns:
      The value, a scalar.

    References:
      Mescheder et al., 2018, definition 2.1, https://arxiv.org/abs/1801.04406
    """
    return -jax.nn.softplus(-x * y) - jnp.log(2.0) - r1 / 2 * jnp.square(y)


def _descend(point: Point, direction: Point, rate: float) -> Point:
    return point[0] - rate * direction[0], point[1] - rate * direction[1]


def _field(game: Game, point: Point) -> Point:
    dx, dy = jax.grad(game, (0, 1))(*point)
    return dx, -dy


def _orbit(
    advance: Callable[[Point, Any], tuple[Point, Any]], start: Point, memory: Any, steps: int
) -> Orbit:
    def body(carry: tuple[Point, Any], _: None) -> tuple[tuple[Point, Any], Point]:
        carry = advance(*carry)
        return carry, carry[0]

    _, points = jax.lax.scan(body, (start, memory), length=steps)
    return Orbit(*(jnp.concatenate([z[None], rest]) for z, rest in zip(start, points, strict=True)))


def _start(x: Array | float, y: Array | float) -> Point:
    return jnp.asarray(x, float), jnp.asarray(y, float)


def simultaneous(
    game: Game, x: Array | float, y: Array | float, *, steps: int, learning_rate: float
) -> Orbit:
    """Computes an orbit of simultaneous steps, which both players take from the same point.

    z ← z − η v(z)

    On V = xy the distance to the equilibrium grows by ρ = √(1 + η²) every step, so the method diverges for
    every η.

    Args:
      game: Value V(x, y) of the game.
      x: Starting point of the minimising player.
      y: Starting point of the maximising player.
      steps: Number of steps.
      learning_rate: Learning rate η.

    Returns:
      The orbit.

    References:
      Mescheder et al., 2017, The Numerics of GANs, algorithm 1, https://arxiv.org/abs/1705.10461
    """

    def advance(point: Point, memory: None) -> tuple[Point, None]:
        return _descend(point, _field(game, point), learning_rate), memory

    return _orbit(advance, _start(x, y), None, steps)


def alternating(
    game: Game, x: Array | float, y: Array | float, *, steps: int, learning_rate: float
) -> Orbit:
    """Computes an orbit of alternating steps, of the maximising player first and then of the other.

    y ← y + η ∂V/∂y(x, y);  x ← x − η ∂V/∂x(x, y)

    A GAN's critic and generator usually step in this order. On V = xy, the quantity x² + y² + η x y is
    constant: for η < 2 the orbit stays on an ellipse, and ρ = 1.

    Args:
      game: Value V(x, y) of the game.
      x: Starting point of the minimising player.
      y: Starting point of the maximising player.
      steps: Number of steps.
      learning_rate: Learning rate η.

    Returns:
      The orbit.

    References:
      Gidel et al., 2019, Negative Momentum, section 5, https://arxiv.org/abs/1807.04740
    """
    return negative_momentum(game, x, y, steps=steps, learning_rate=learning_rate, momentum=0.0)


def negative_momentum(
    game: Game,
    x: Array | float,
    y: Array | float,
    *,
    steps: int,
    learning_rate: float,
    momentum: float = -0.5,
) -> Orbit:
    """Computes an orbit of alternating steps with heavy-ball momentum.

    y ← y + η ∂V/∂y(x, y) + β (y − y');  x ← x − η ∂V/∂x(x, y) + β (x − x')

    Here x' and y' are the previous point. Negative momentum damps the rotation. On V = xy the eigenvalues
    of a step are the roots of (λ − 1)² (λ − β)² + η² λ³, whose product is β². For −1 < β < 0 and small η,
    the roots lie within the unit circle, and they can reach the circle only at λ = −1. The method therefore
    converges if and only if −1 < β < 0 and η < 2 (1 + β). With β > 0 the method diverges.

    Args:
      game: Value V(x, y) of the game.
      x: Starting point of the minimising player.
      y: Starting point of the maximising player.
      steps: Number of steps.
      learning_rate: Learning rate η.
      momentum: Momentum β.

    Returns:
      The orbit.

    References:
      Gidel et al., 2019, Negative Momentum, section 5, https://arxiv.org/abs/1807.04740
    """

    def advance(point: Point, before: Point) -> tuple[Point, Point]:
        (x, y), (x_before, y_before) = point, before
        y_next = y + learning_rate * jax.grad(game, 1)(x, y) + momentum * (y - y_before)
        x_next = x - learning_rate * jax.grad(game, 0)(x, y_next) + momentum * (x - x_before)
        return (x_next, y_next), point

    start = _start(x, y)
    return _orbit(advance, start, start, steps)


def extra_gradient(
    game: Game, x: Array | float, y: Array | float, *, steps: int, learning_rate: float
) -> Orbit:
    """Computes an orbit of steps along the field at the point to which a plain step would lead.

    z ← z − η v(z − η v(z))

    On V = xy, ρ = √(1 − η² + η⁴), so the method converges for η < 1.

    Args:
      game: Value V(x, y) of the game.
      x: Starting point of the minimising player.
      y: Starting point of the maximising player.
      steps: Number of steps, each of which takes two gradients.
      learning_rate: Learning rate η.

    Returns:
      The orbit.

    References:
      Korpelevich, 1976, The extragradient method for finding saddle points and other problems
      Gidel et al., 2019, A Variational Inequality Perspective on GANs, https://arxiv.org/abs/1802.10551
    """

    def advance(point: Point, memory: None) -> tuple[Point, None]:
        ahead = _descend(point, _field(game, point), learning_rate)
        return _descend(point, _field(game, ahead), learning_rate), memory

    return _orbit(advance, _start(x, y), None, steps)


def optimistic(
    game: Game, x: Array | float, y: Array | float, *, steps: int, learning_rate: float
) -> Orbit:
    """Computes an orbit of simultaneous steps along a field extrapolated from the last two points.

    z ← z − 2η v(z) + η v(z')

    Here z' is the previous point, initially z itself. The method is ``optax.optimistic_gradient_descent``
    for both players. On V = xy, ρ = √((1 + √(1 − 4η²)) / 2) for η ≤ 1/2, and the method converges for
    η < 1/√3.

    Args:
      game: Value V(x, y) of the game.
      x: Starting point of the minimising player.
      y: Starting point of the maximising player.
      steps: Number of steps.
      learning_rate: Learning rate η.

    Returns:
      The orbit.

    References:
      Daskalakis et al., 2018, Training GANs with Optimism, https://arxiv.org/abs/1711.00141
    """

    def advance(point: Point, before: Point) -> tuple[Point, Point]:
        direction = _field(game, point)
        return _descend(_descend(point, direction, 2 * learning_rate), before, -learning_rate), direction

    start = _start(x, y)
    return _orbit(advance, start, _field(game, start), steps)


def consensus(
    game: Game,
    x: Array | float,
    y: Array | float,
    *,
    steps: int,
    learning_rate: float,
    weight: float = 1.0,
) -> Orbit:
    """Computes an orbit of simultaneous steps that also reduce the norm of the field.

    z ← z − η (v(z) + γ ∇ ½‖v(z)‖²)

    On V = xy, ρ = √((1 − ηγ)² + η²).

    Args:
      game: Value V(x, y) of the game, twice differentiable.
      x: Starting point of the minimising player.
      y: Starting point of the maximising player.
      steps: Number of steps.
      learning_rate: Learning rate η.
      weight: Weight γ of the norm.

    Returns:
      The orbit.

    References:
      Mescheder et al., 2017, The Numerics of GANs, algorithm 2, https://arxiv.org/abs/1705.10461
    """

    def half_square(x: Array, y: Array) -> Array:
        dx, dy = _field(game, (x, y))
        return (jnp.sum(jnp.square(dx)) + jnp.sum(jnp.square(dy))) / 2

    def advance(point: Point, memory: None) -> tuple[Point, None]:
        pull = jax.grad(half_square, (0, 1))(*point)
        direction = _field(game, point)
        return _descend(_descend(point, direction, learning_rate), pull, learning_rate * weight), memory

    return _orbit(advance, _start(x, y), None, steps)
