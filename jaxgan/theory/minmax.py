"""Min-max dynamics: the orbits of small games under the ways that players take their steps.

A game is its value V(x, y): x minimises it and y maximises it. v = (∂V/∂x, −∂V/∂y) is what both descend.
An orbit is all points from the first to the last::

    >>> orbit = alternating(bilinear, 1.0, 1.0, steps=100, learning_rate=0.1)
    >>> orbit.x.shape, bool(jnp.all(jnp.hypot(orbit.x, orbit.y) < 1.5))
    ((101,), True)

On V = xy a method's step is a matrix, and its largest eigenvalue in modulus, the spectral radius ρ, is the
factor by which the distance to the equilibrium (0, 0) changes a step in the long run. Learning rates and
weights may be traced.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

Array = jax.Array
Game = Callable[[Array, Array], Array]
Point = tuple[Array, Array]


class Orbit(NamedTuple):
    """A game's course.

    Attributes:
      x: (steps + 1, ...) the minimising player's.
      y: (steps + 1, ...) the maximising player's.
    """

    x: Array
    y: Array


def bilinear(x: Array, y: Array) -> Array:
    """V(x, y) = x · y, whose one equilibrium is (0, 0).

    Args:
      x: the minimising player, a number or an array.
      y: the maximising player, of the same shape.

    Returns:
      A scalar.

    References:
      Goodfellow, 2016, NIPS 2016 Tutorial, https://arxiv.org/abs/1701.00160
    """
    return jnp.vdot(x, y)


def dirac_gan(x: Array, y: Array, *, r1: float = 0.0) -> Array:
    """The Dirac-GAN: the generator puts all mass at x, the data is all at 0, the critic is D(t) = y t.

    V(x, y) = f(x y) + f(0) − r1/2 y²,  f(t) = −log(1 + e^(−t))

    As in the paper the critic's output grows with what it takes for *fake*. Without the penalty v turns
    around the equilibrium (0, 0) with eigenvalues ± i/2, and descent does not converge; the R1 penalty on
    the critic's slope y moves them to −r1/2 ± √(r1² − 1)/2.

    Args:
      x: where the generator's mass is.
      y: the critic's slope.
      r1: the penalty's weight, the paper's γ.

    Returns:
      A scalar.

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
    """Both players step at once, from the same point.

    z ← z − η v(z)

    On V = xy the distance to the equilibrium grows by ρ = √(1 + η²) every step: it diverges for every η.

    Args:
      game: its value V(x, y).
      x: where the minimising player begins.
      y: where the maximising player begins.
      steps: how many.
      learning_rate: η.

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
    """The maximising player steps, then the minimising one against it, as a GAN's critic and generator do.

    y ← y + η ∂V/∂y(x, y);  x ← x − η ∂V/∂x(x, y)

    On V = xy, x² + y² + η x y stays what it was: for η < 2 the orbit is an ellipse for ever, ρ = 1.

    Args:
      game: its value V(x, y).
      x: where the minimising player begins.
      y: where the maximising player begins.
      steps: how many.
      learning_rate: η.

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
    """Alternating steps with heavy-ball momentum, which damps the turning where it is negative.

    y ← y + η ∂V/∂y(x, y) + β (y − y');  x ← x − η ∂V/∂x(x, y) + β (x − x'),  ' the point before

    On V = xy the eigenvalues of a step are the roots of (λ − 1)² (λ − β)² + η² λ³. Their product is β²; for
    −1 < β < 0 and small η they lie within the unit circle, which they can reach at λ = −1 only. Hence it
    converges if and only if −1 < β < 0 and η < 2 (1 + β). With β > 0 it diverges.

    Args:
      game: its value V(x, y).
      x: where the minimising player begins.
      y: where the maximising player begins.
      steps: how many.
      learning_rate: η.
      momentum: β.

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
    """A step from where one stands, along the field of where a step would lead.

    z ← z − η v(z − η v(z))

    On V = xy, ρ = √(1 − η² + η⁴): it converges for η < 1.

    Args:
      game: its value V(x, y).
      x: where the minimising player begins.
      y: where the maximising player begins.
      steps: how many, each of two gradients.
      learning_rate: η.

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
    """Simultaneous steps along the field that the last two extrapolate to.

    z ← z − 2η v(z) + η v(z'),  z' the point before, at first z itself

    That is ``optax.optimistic_gradient_descent`` for both players. On V = xy, ρ = √((1 + √(1 − 4η²)) / 2)
    for η ≤ 1/2: it converges for η < 1/√3.

    Args:
      game: its value V(x, y).
      x: where the minimising player begins.
      y: where the maximising player begins.
      steps: how many.
      learning_rate: η.

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
    """Simultaneous steps that make the field itself smaller too.

    z ← z − η (v(z) + γ ∇ ½‖v(z)‖²)

    On V = xy, ρ = √((1 − ηγ)² + η²).

    Args:
      game: its value V(x, y), twice differentiable.
      x: where the minimising player begins.
      y: where the maximising player begins.
      steps: how many.
      learning_rate: η.
      weight: γ.

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
