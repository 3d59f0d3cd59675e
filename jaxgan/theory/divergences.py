"""GAN theory as numbers: the optimal critic, the game's value at it, and what KL, JS and W₁ say.

Divergences are of *masses* on common cells or atoms, in float64 and in nats. They are exact on discrete
supports, and for mixtures of uniforms once both are cut at all the ends of their intervals::

    >>> compare_uniforms(([(1, 2), (3, 4), (9, 10)], [0.25, 0.25, 0.5]), ([(5, 7)], [1.0]))
    Comparison(kl=inf, reverse_kl=inf, js=0.6931471805599453, w1=3.0)
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import chex
import numpy as np

from jaxgan.theory.transport import (
    ArrayLike,
    Transport,
    check_masses,
    check_points,
    check_weights,
    transport,
    w1_curves,
    w1_samples,
)

__all__ = [
    "Cells",
    "Comparison",
    "Transport",
    "compare_points",
    "compare_uniforms",
    "game_value",
    "js_divergence",
    "kl_divergence",
    "optimal_critic",
    "optimal_logits",
    "transport",
    "uniform_cells",
    "w1_curves",
    "w1_samples",
]

Array = np.ndarray
# Intervals (a, b) and their weights.
Uniforms = tuple[Sequence[tuple[float, float]], Sequence[float]]


def optimal_critic(real: Any, fake: Any) -> Any:
    """The critic that no other beats at the minimax game, as a probability.

    D*(x) = p(x) / (p(x) + q(x))

    Args:
      real: (...) densities or masses p.
      fake: (...) densities or masses q.

    Returns:
      (...) in [0, 1]; NaN where neither has any, since there every critic is optimal.

    References:
      Goodfellow et al., 2014, proposition 1, https://arxiv.org/abs/1406.2661
    """
    return real / (real + fake)


def optimal_logits(real_log_density: Any, fake_log_density: Any) -> Any:
    """The optimal critic's logits, log D*/(1 − D*) = log p(x) − log q(x), in nats.

    Args:
      real_log_density: (...) log p.
      fake_log_density: (...) log q.

    Returns:
      (...), ±∞ where one of the two is 0.

    References:
      Goodfellow et al., 2014, proposition 1, https://arxiv.org/abs/1406.2661
    """
    return real_log_density - fake_log_density


def _pair(p: ArrayLike, q: ArrayLike) -> tuple[Array, Array]:
    p, q = check_masses(p), check_masses(q)
    chex.assert_equal_shape([p, q])
    return p, q


def kl_divergence(p: ArrayLike, q: ArrayLike, *, weights: ArrayLike | float = 1.0) -> float:
    """The Kullback-Leibler divergence.

    KL(p ‖ q) = Σ_i w_i p_i log(p_i / q_i)

    Args:
      p: (...) masses, or densities at the nodes of a quadrature.
      q: (...) the same of the other distribution.
      weights: (...) of the quadrature; 1 for masses.

    Returns:
      In nats, ∞ if p has mass where q has none.

    Raises:
      AssertionError: p and q differ in shape.
      ValueError: a mass is negative or not finite.

    References:
      Goodfellow et al., 2014, section 4, https://arxiv.org/abs/1406.2661
    """
    from scipy.special import rel_entr

    p, q = _pair(p, q)
    return float(np.sum(weights * rel_entr(p, q)))


def js_divergence(p: ArrayLike, q: ArrayLike, *, weights: ArrayLike | float = 1.0) -> float:
    """The Jensen-Shannon divergence.

    JS(p, q) = ½ KL(p ‖ m) + ½ KL(q ‖ m),  m = (p + q) / 2

    Args:
      p: (...) masses, or densities at the nodes of a quadrature.
      q: (...) the same of the other distribution.
      weights: (...) of the quadrature; 1 for masses.

    Returns:
      In nats, from 0 to log 2, which it is where the supports are disjoint, however far apart.

    Raises:
      AssertionError: p and q differ in shape.
      ValueError: a mass is negative or not finite.

    References:
      Goodfellow et al., 2014, theorem 1, https://arxiv.org/abs/1406.2661
    """
    p, q = _pair(p, q)
    # Of 2p and 2q, because (p + q) / 2 may underflow to 0 where p does not.
    divergences = [kl_divergence(2 * side, p + q, weights=weights) for side in (p, q)]
    return sum(divergences) / 4


def game_value(p: ArrayLike, q: ArrayLike, *, weights: ArrayLike | float = 1.0) -> float:
    """The minimax game's value at the optimal critic, which is 2·JS(p, q) − log 4.

    E_p[log D*(x)] + E_q[log(1 − D*(x))]

    It is computed as written here; the identity is for tests and notebooks to find.

    Args:
      p: (...) masses of the real distribution, or its densities at the nodes of a quadrature.
      q: (...) the same of the generated one.
      weights: (...) of the quadrature; 1 for masses.

    Returns:
      In nats, from −log 4 to 0.

    Raises:
      AssertionError: p and q differ in shape.
      ValueError: a mass is negative or not finite.

    References:
      Goodfellow et al., 2014, theorem 1, https://arxiv.org/abs/1406.2661
    """
    from scipy.special import xlogy

    p, q = _pair(p, q)
    both = p + q
    # The critic's probability of being right, D* on one side and 1 − D* on the other.
    shares = [np.divide(side, both, out=np.ones_like(both), where=both > 0) for side in (p, q)]
    return float(np.sum(weights * (xlogy(p, shares[0]) + xlogy(q, shares[1]))))


class Cells(NamedTuple):
    """Two distributions on the line that are uniform within each of N cells.

    Attributes:
      edges: (N + 1,) of the cells, increasing.
      real: (N,) masses.
      fake: (N,) masses.
    """

    edges: Array
    real: Array
    fake: Array


def uniform_cells(real: Uniforms, fake: Uniforms) -> Cells:
    """Two mixtures of uniforms, cut at all the ends of their intervals.

    Args:
      real: the intervals (a, b), a < b, and the weights of one, which sum to 1.
      fake: of the other.

    Returns:
      The cells, whose masses have the mixtures' own divergences.

    Raises:
      AssertionError: the intervals are no pairs, or the weights not one each.
      ValueError: an interval is empty or not finite, or weights are negative or do not sum to 1.
    """
    sides = []
    for intervals, weights in (real, fake):
        ends = np.asarray(intervals, np.float64)
        chex.assert_shape(ends, (None, 2))
        widths = np.diff(ends, axis=1)
        if not ((widths > 0) & (widths < np.inf)).all():
            raise ValueError(f"the intervals are {ends.tolist()}: give finite pairs (a, b) with a < b")
        sides.append((ends, widths, check_weights(weights, len(ends))[:, None]))
    edges = np.unique(np.concatenate([ends.ravel() for ends, _, _ in sides]))

    def masses(ends: Array, widths: Array, weights: Array) -> Array:
        covered = (ends[:, :1] <= edges[:-1]) & (edges[1:] <= ends[:, 1:])
        return np.sum(weights * covered * np.diff(edges) / widths, axis=0)

    return Cells(edges, *(masses(*side) for side in sides))


class Comparison(NamedTuple):
    """What three ways of comparing two distributions say, in nats and in units of x.

    Attributes:
      kl: KL(real ‖ fake).
      reverse_kl: KL(fake ‖ real).
      js: JS(real, fake).
      w1: W₁(real, fake).
    """

    kl: float
    reverse_kl: float
    js: float
    w1: float


def _compare(p: Array, q: Array, w1: float) -> Comparison:
    return Comparison(kl_divergence(p, q), kl_divergence(q, p), js_divergence(p, q), w1)


def compare_uniforms(real: Uniforms, fake: Uniforms) -> Comparison:
    """Compares two mixtures of uniforms on the line, exactly.

    Args:
      real: the intervals (a, b), a < b, and the weights of one, which sum to 1.
      fake: of the other.

    Returns:
      The comparison.

    Raises:
      AssertionError: the intervals are no pairs, or the weights not one each.
      ValueError: an interval is empty or not finite, or weights are negative or do not sum to 1.

    References:
      Arjovsky et al., 2017, Wasserstein GAN, section 2, https://arxiv.org/abs/1701.07875
    """
    edges, p, q = uniform_cells(real, fake)
    return _compare(p, q, w1_curves(edges, np.append(0, np.cumsum(p)), np.append(0, np.cumsum(q))))


def compare_points(
    real: ArrayLike, fake: ArrayLike, *, p: ArrayLike | None = None, q: ArrayLike | None = None
) -> Comparison:
    """Compares two distributions on points of any space; points that are equal are the same atom.

    Two parallel lines, whatever their distance, are as far as can be but for W₁:

    >>> y = np.arange(8) / 8
    >>> lines = [np.stack([np.full(8, theta), y], axis=1) for theta in (0.0, 0.5)]
    >>> compare_points(*lines)
    Comparison(kl=inf, reverse_kl=inf, js=0.6931471805599453, w1=0.5)

    Args:
      real: (N, dim) points.
      fake: (M, dim) points.
      p: (N,) masses of the real points, which sum to 1; None for 1/N.
      q: (M,) masses of the fake points, which sum to 1; None for 1/M.

    Returns:
      The comparison; its W₁ is of Euclidean distances.

    Raises:
      AssertionError: the shapes do not go together.
      ValueError: a point is not finite or there is none, or masses are negative or do not sum to 1.

    References:
      Arjovsky et al., 2017, Wasserstein GAN, example 1, https://arxiv.org/abs/1701.07875
    """
    real, fake = check_points(real, 2), check_points(fake, 2)
    chex.assert_equal_shape_suffix([real, fake], 1)
    p, q = check_weights(p, len(real)), check_weights(q, len(fake))
    atoms, place = np.unique(np.concatenate([real, fake]), axis=0, return_inverse=True)
    cost = np.linalg.norm(real[:, None] - fake, axis=-1)
    return _compare(
        np.bincount(place[: len(real)], weights=p, minlength=len(atoms)),
        np.bincount(place[len(real) :], weights=q, minlength=len(atoms)),
        transport(p, q, cost).cost,
    )
