"""GAN theory in numbers: the optimal critic, the game's value at it, and the divergences KL, JS and W₁.

Divergences are taken between *masses* on common cells or atoms, in float64 and in nats. They are exact on
discrete supports, and for mixtures of uniforms once both mixtures are cut at all ends of their intervals::

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
# A mixture of uniforms is given by its intervals (a, b) and their weights.
Uniforms = tuple[Sequence[tuple[float, float]], Sequence[float]]


def optimal_critic(real: Any, fake: Any) -> Any:
    """Computes the optimal critic of the minimax game, as a probability.

    D*(x) = p(x) / (p(x) + q(x))

    Args:
      real: Densities or masses p, (...).
      fake: Densities or masses q, (...).

    Returns:
      Probabilities (...) in [0, 1]; NaN where both p and q are 0, because every critic is optimal there.

    References:
      Goodfellow et al., 2014, proposition 1, https://arxiv.org/abs/1406.2661
    """
    return real / (real + fake)


def optimal_logits(real_log_density: Any, fake_log_density: Any) -> Any:
    """Computes the optimal critic's logits, log D*/(1 − D*) = log p(x) − log q(x), in nats.

    Args:
      real_log_density: Log-densities log p, (...).
      fake_log_density: Log-densities log q, (...).

    Returns:
      Logits (...), ±∞ where one of the densities is 0.

    References:
      Goodfellow et al., 2014, proposition 1, https://arxiv.org/abs/1406.2661
    """
    return real_log_density - fake_log_density


def _pair(p: ArrayLike, q: ArrayLike) -> tuple[Array, Array]:
    p, q = check_masses(p), check_masses(q)
    chex.assert_equal_shape([p, q])
    return p, q


def kl_divergence(p: ArrayLike, q: ArrayLike, *, weights: ArrayLike | float = 1.0) -> float:
    """Computes the Kullback-Leibler divergence.

    KL(p ‖ q) = Σ_i w_i p_i log(p_i / q_i)

    Args:
      p: Masses of one distribution, or its densities at the nodes of a quadrature, (...).
      q: Masses or densities of the other distribution, (...).
      weights: Weights of the quadrature, (...); 1 for masses.

    Returns:
      The divergence in nats, ∞ if p has mass where q has none.

    Raises:
      AssertionError: The shapes of p and q differ.
      ValueError: A mass is negative or not finite.

    References:
      Goodfellow et al., 2014, section 4, https://arxiv.org/abs/1406.2661
    """
    from scipy.special import rel_entr

    p, q = _pair(p, q)
    return float(np.sum(weights * rel_entr(p, q)))


def js_divergence(p: ArrayLike, q: ArrayLike, *, weights: ArrayLike | float = 1.0) -> float:
    """Computes the Jensen-Shannon divergence.

    JS(p, q) = ½ KL(p ‖ m) + ½ KL(q ‖ m),  m = (p + q) / 2

    Args:
      p: Masses of one distribution, or its densities at the nodes of a quadrature, (...).
      q: Masses or densities of the other distribution, (...).
      weights: Weights of the quadrature, (...); 1 for masses.

    Returns:
      The divergence in nats, from 0 to log 2. Distributions with disjoint supports have the value log 2,
      however far apart they are.

    Raises:
      AssertionError: The shapes of p and q differ.
      ValueError: A mass is negative or not finite.

    References:
      Goodfellow et al., 2014, theorem 1, https://arxiv.org/abs/1406.2661
    """
    p, q = _pair(p, q)
    # The divergences are those of 2p and 2q, because (p + q) / 2 may underflow to 0 where p does not.
    divergences = [kl_divergence(2 * side, p + q, weights=weights) for side in (p, q)]
    return sum(divergences) / 4


def game_value(p: ArrayLike, q: ArrayLike, *, weights: ArrayLike | float = 1.0) -> float:
    """Computes the minimax game's value at the optimal critic, which equals 2·JS(p, q) − log 4.

    E_p[log D*(x)] + E_q[log(1 − D*(x))]

    The value is computed from this formula, so that tests and notebooks can verify the identity.

    Args:
      p: Masses of the real distribution, or its densities at the nodes of a quadrature, (...).
      q: Masses or densities of the generated distribution, (...).
      weights: Weights of the quadrature, (...); 1 for masses.

    Returns:
      The value in nats, from −log 4 to 0.

    Raises:
      AssertionError: The shapes of p and q differ.
      ValueError: A mass is negative or not finite.

    References:
      Goodfellow et al., 2014, theorem 1, https://arxiv.org/abs/1406.2661
    """
    from scipy.special import xlogy

    p, q = _pair(p, q)
    both = p + q
    # The shares are the critic's probabilities of being right: D* for real samples and 1 − D* for fakes.
    shares = [np.divide(side, both, out=np.ones_like(both), where=both > 0) for side in (p, q)]
    return float(np.sum(weights * (xlogy(p, shares[0]) + xlogy(q, shares[1]))))


class Cells(NamedTuple):
    """Two distributions on the line that are uniform within each of N cells.

    Attributes:
      edges: Edges of the cells in increasing order, (N + 1,).
      real: Masses of the real distribution, (N,).
      fake: Masses of the fake distribution, (N,).
    """

    edges: Array
    real: Array
    fake: Array


def uniform_cells(real: Uniforms, fake: Uniforms) -> Cells:
    """Cuts two mixtures of uniforms at all ends of their intervals.

    Args:
      real: Intervals (a, b), a < b, of the real mixture and their weights, which sum to 1.
      fake: Intervals and weights of the fake mixture.

    Returns:
      The cells, whose masses have the same divergences as the mixtures.

    Raises:
      AssertionError: The intervals are not pairs, or their number differs from that of the weights.
      ValueError: An interval is empty or not finite, or the weights are negative or do not sum to 1.
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
    """Divergences between two distributions, in nats, and their distance W₁, in units of x.

    Attributes:
      kl: Divergence KL(real ‖ fake).
      reverse_kl: Divergence KL(fake ‖ real).
      js: Divergence JS(real, fake).
      w1: Distance W₁(real, fake).
    """

    kl: float
    reverse_kl: float
    js: float
    w1: float


def _compare(p: Array, q: Array, w1: float) -> Comparison:
    return Comparison(kl_divergence(p, q), kl_divergence(q, p), js_divergence(p, q), w1)


def compare_uniforms(real: Uniforms, fake: Uniforms) -> Comparison:
    """Compares two mixtures of uniforms on the line exactly.

    Args:
      real: Intervals (a, b), a < b, of the real mixture and their weights, which sum to 1.
      fake: Intervals and weights of the fake mixture.

    Returns:
      The comparison.

    Raises:
      AssertionError: The intervals are not pairs, or their number differs from that of the weights.
      ValueError: An interval is empty or not finite, or the weights are negative or do not sum to 1.

    References:
      Arjovsky et al., 2017, Wasserstein GAN, section 2, https://arxiv.org/abs/1701.07875
    """
    edges, p, q = uniform_cells(real, fake)
    return _compare(p, q, w1_curves(edges, np.append(0, np.cumsum(p)), np.append(0, np.cumsum(q))))


def compare_points(
    real: ArrayLike, fake: ArrayLike, *, p: ArrayLike | None = None, q: ArrayLike | None = None
) -> Comparison:
    """Compares two distributions on points of any space; equal points are the same atom.

    Two parallel lines have maximal KL and JS at any distance, whereas W₁ is the distance:

    >>> y = np.arange(8) / 8
    >>> lines = [np.stack([np.full(8, theta), y], axis=1) for theta in (0.0, 0.5)]
    >>> compare_points(*lines)
    Comparison(kl=inf, reverse_kl=inf, js=0.6931471805599453, w1=0.5)

    Args:
      real: Real points, (N, dim).
      fake: Fake points, (M, dim).
      p: Masses of the real points, (N,), which sum to 1; None for 1/N.
      q: Masses of the fake points, (M,), which sum to 1; None for 1/M.

    Returns:
      The comparison, whose W₁ is that of Euclidean distances.

    Raises:
      AssertionError: The shapes do not match.
      ValueError: A point is not finite, there are no points, or the masses are negative or do not sum to 1.

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
