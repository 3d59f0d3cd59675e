"""Stability of methods on a bilinear game: whether their steps cycle, converge or diverge."""

import math

import numpy as np

from jaxgan.theory import minmax

# This tolerance exceeds the rounding error of an eigenvalue of modulus 1, and is smaller than the effect of
# a learning rate of 1e-5.
EXACT = 1e-12


def step_matrix(name: str, rate: float, speed: float = 1.0) -> np.ndarray:
    """Returns the matrix of one step, which acts on (x, y) and, if the method uses it, the previous point.

    The field is v(z) = speed · (y, −x). The momentum is −½ and the weight of consensus 1, which are their
    defaults.
    """
    one, turn = np.eye(2), speed * np.array([[0.0, 1.0], [-1.0, 0.0]])  # v(z) = turn z
    none = np.zeros((2, 2))
    if name == "simultaneous":
        return one - rate * turn
    if name == "extra-gradient":
        return one - rate * turn @ (one - rate * turn)
    if name == "consensus":
        return one - rate * (turn + turn.T @ turn)
    if name == "optimistic":
        return np.block([[one - 2 * rate * turn, rate * turn], [one, none]])
    momentum = -0.5 if name == "negative momentum" else 0.0
    # The player y steps first, then x steps against the new y: A z' = B z + β (z − z_before).
    solve = np.array([[1.0, -rate * speed], [0.0, 1.0]])
    ahead = solve @ (np.array([[1.0, 0.0], [rate * speed, 1.0]]) + momentum * one)
    return np.block([[ahead, -momentum * solve], [one, none]])


def radius(name: str, rate: float, speed: float = 1.0) -> float:
    """Returns the factor per step by which the distance to a nearby equilibrium changes in the long run."""
    with np.errstate(over="ignore", invalid="ignore"):
        matrix = step_matrix(name, rate, speed)
    return float(np.abs(np.linalg.eigvals(matrix)).max()) if np.isfinite(matrix).all() else math.inf


def seen(orbit: minmax.Orbit) -> float:
    """Estimates the factor of :func:`radius` from the second half of an orbit.

    The estimate is ∞ if a point is not finite, and 0 if the orbit has reached the equilibrium.
    """
    distance = np.hypot(*np.asarray(orbit, np.float64))
    if not np.isfinite(distance).all():
        return math.inf
    half = len(distance) // 2
    # We compare the largest distances in the last fifths of both halves, because distances vary along an
    # ellipse.
    part = max(1, half // 5)
    early, late = distance[half - part : half].max(), distance[-part:].max()
    return float((late / early) ** (1 / (len(distance) - half))) if early > 0 else 0.0


def verdict(factor: float) -> str:
    """Returns whether a factor per step means that the method cycles, converges or diverges.

    The factor must be that of a matrix, because the factor of an orbit is not exact enough.
    """
    return "cycles" if abs(factor - 1) < EXACT else "converges" if factor < 1 else "diverges"
