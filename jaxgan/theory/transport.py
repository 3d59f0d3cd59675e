"""Earth mover's distances: exact on the line, and by linear programming between any masses."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import chex
import jax
import numpy as np

Array = np.ndarray
ArrayLike = np.ndarray | jax.Array | Sequence[float]


def check_masses(values: ArrayLike) -> Array:
    """Returns masses as float64 after validation.

    Raises:
      ValueError: A mass is negative or not finite.
    """
    masses = np.asarray(values, np.float64)
    if not ((masses >= 0) & (masses < math.inf)).all():
        raise ValueError("masses and densities are at least 0 and finite")
    return masses


def check_points(values: ArrayLike, rank: int) -> Array:
    """Returns points as float64 after validation.

    Raises:
      AssertionError: The number of axes is not ``rank``.
      ValueError: There are no points, or a point is not finite.
    """
    points = np.asarray(values, np.float64)
    chex.assert_rank(points, rank)
    if not len(points) or not np.isfinite(points).all():
        raise ValueError(
            "points are finite, and at least one: give no NaN, no infinity and no empty sample"
        )
    return points


def check_weights(values: ArrayLike | None, count: int) -> Array:
    """Validates ``count`` weights that sum to 1; None gives uniform weights.

    Raises:
      AssertionError: The number of weights is not ``count``.
      ValueError: A weight is negative or not finite, or the sum differs from 1 by more than 1e-6.
    """
    if values is None:
        return np.full(count, 1 / count)
    weights = check_masses(values)
    chex.assert_shape(weights, (count,))
    if not abs(weights.sum() - 1) <= 1e-6:
        raise ValueError(f"the weights sum to {weights.sum():g}: give weights that sum to 1")
    return weights


def w1_curves(x: ArrayLike, first: ArrayLike, second: ArrayLike) -> float:
    """Computes the earth mover's distance on the line as the area between two curves.

    W₁ = ∫ |F(x) − G(x)| dx = ∫₀¹ |F⁻¹(u) − G⁻¹(u)| du

    Args:
      x: Increasing points (N,), or levels u from 0 to 1. A point that occurs twice marks a jump of a curve.
      first: Distribution function F at the points, or quantile function at the levels, (N,).
      second: The same function of the other distribution, (N,).

    Returns:
      The distance in the units of the distributions' samples, exact for curves that are straight between
      the points of x.

    Raises:
      AssertionError: The arguments differ in shape or are not vectors.
      ValueError: The points decrease, a number is not finite, or the arguments are empty.

    References:
      Peyré and Cuturi, 2019, Computational Optimal Transport, remark 2.30, https://arxiv.org/abs/1803.00567
    """
    x, first, second = (check_points(value, 1) for value in (x, first, second))
    chex.assert_equal_shape([x, first, second])
    if (np.diff(x) < 0).any():
        raise ValueError("x decreases: give increasing points or levels")
    gap = first - second
    left, right = np.abs(gap[:-1]), np.abs(gap[1:])
    total = left + right
    # Where the curves cross, the area is two triangles instead of a trapezium.
    crossed = gap[:-1] * gap[1:] < 0
    crossing = (left**2 + right**2) / np.where(crossed, total, 1.0)
    return float(np.sum(np.diff(x) * np.where(crossed, crossing, total)) / 2)


def w1_samples(
    x: ArrayLike,
    y: ArrayLike,
    *,
    x_weights: ArrayLike | None = None,
    y_weights: ArrayLike | None = None,
) -> float:
    """Computes the exact earth mover's distance between samples on the line.

    W₁ = ∫ |F(t) − G(t)| dt, with F and G the samples' distribution functions.

    Args:
      x: Samples of one distribution, (N,).
      y: Samples of the other distribution, (M,).
      x_weights: Masses of x, (N,), which sum to 1; None for 1/N.
      y_weights: Masses of y, (M,), which sum to 1; None for 1/M.

    Returns:
      The distance in units of x.

    Raises:
      AssertionError: A sample is not a vector, or its length differs from that of its weights.
      ValueError: A number is not finite, a sample is empty, or weights are negative or do not sum to 1.

    References:
      Peyré and Cuturi, 2019, Computational Optimal Transport, remark 2.30, https://arxiv.org/abs/1803.00567
    """
    places, jumps = [], []
    for points, weights, sign in ((x, x_weights, 1), (y, y_weights, -1)):
        places.append(check_points(points, 1))
        jumps.append(sign * check_weights(weights, len(places[-1])))
    place = np.concatenate(places)
    order = np.argsort(place)
    gap = np.cumsum(np.concatenate(jumps)[order])
    return float(np.sum(np.abs(gap[:-1]) * np.diff(place[order])))


class Transport(NamedTuple):
    """Cheapest plan that moves one distribution of mass onto another.

    Attributes:
      plan: Mass moved from i to j, (N, M); its rows sum to the first masses, its columns to the second.
      cost: Total cost Σ_ij plan_ij cost_ij.
      real_potential: Potential f, (N,), of the dual problem, max Σ f_i p_i + Σ g_j q_j subject to
        f_i + g_j ≤ cost_ij. Where the cost is a distance, f is the best 1-Lipschitz critic, and −g agrees
        with f.
      fake_potential: Potential g of the dual problem, (M,).
    """

    plan: Array
    cost: float
    real_potential: Array
    fake_potential: Array


def transport(p: ArrayLike, q: ArrayLike, cost: ArrayLike) -> Transport:
    """Computes the optimal transport plan γ and its dual potentials by linear programming.

    min_γ Σ_ij γ_ij c_ij,  γ ≥ 0,  Σ_j γ_ij = p_i,  Σ_i γ_ij = q_j

    Args:
      p: Masses to move, (N,).
      q: Masses to produce, (M,), with the same sum.
      cost: Cost (N, M) of moving a unit of mass from i to j; distances give W₁.

    Returns:
      The plan, its cost, and the potentials, whose dual objective is equal to the cost.

    Raises:
      AssertionError: The shapes do not match.
      ValueError: A mass is negative or not finite, or the sums differ or are 0.
      RuntimeError: The solver fails.

    References:
      Peyré and Cuturi, 2019, Computational Optimal Transport, section 3, https://arxiv.org/abs/1803.00567
    """
    from scipy.optimize import linprog
    from scipy.sparse import eye_array, kron, vstack

    p, q = check_masses(p), check_masses(q)
    cost = np.asarray(cost, np.float64)
    chex.assert_shape(cost, (len(p), len(q)))
    total = p.sum()
    if not total > 0 or not math.isclose(total, q.sum(), rel_tol=1e-6):
        raise ValueError(f"p sums to {total} and q to {q.sum()}: give positive sums that are equal")
    rows = kron(eye_array(len(p)), np.ones((1, len(q))))
    columns = kron(np.ones((1, len(p))), eye_array(len(q)))
    # The solver's tolerances are absolute, so we scale the masses to about 1 and the costs to at most 1. A
    # power of two scales the costs without rounding.
    unit = math.ldexp(1.0, min(math.frexp(float(np.abs(cost).max()))[1], 1023))
    result = linprog(
        cost.ravel() / unit,
        A_eq=vstack([rows, columns]).tocsr(),
        b_eq=np.concatenate([p / total, q / q.sum()]) * len(p),
        method="highs",
        options={"dual_feasibility_tolerance": 1e-10, "primal_feasibility_tolerance": 1e-10},
    )
    if not result.success:
        raise RuntimeError(f"the solver gave up: {result.message}")
    real_potential, fake_potential = np.split(unit * result.eqlin.marginals, [len(p)])
    scale = float(total) / len(p)
    plan = scale * result.x.reshape(cost.shape)
    return Transport(plan, scale * unit * result.fun, real_potential, fake_potential)
