"""Whether a method's steps on a bilinear game cycle, converge or diverge."""

import math

import numpy as np

from jaxgan.theory import minmax

# Farther from 1 than rounding takes an eigenvalue of modulus 1, and nearer than a rate of 1e-5 does.
EXACT = 1e-12


def step_matrix(name: str, rate: float, speed: float = 1.0) -> np.ndarray:
    """The matrix that takes (x, y) and, where a method remembers them, the last point's to the next.

    The field is v(z) = speed · (y, −x). Momentum is −½ and consensus' weight 1, as by default.
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
    # y first, then x against the new y: A z' = B z + β (z − z before).
    solve = np.array([[1.0, -rate * speed], [0.0, 1.0]])
    ahead = solve @ (np.array([[1.0, 0.0], [rate * speed, 1.0]]) + momentum * one)
    return np.block([[ahead, -momentum * solve], [one, none]])


def radius(name: str, rate: float, speed: float = 1.0) -> float:
    """The factor a step by which the distance to the equilibrium changes in the long run, near it."""
    with np.errstate(over="ignore", invalid="ignore"):
        matrix = step_matrix(name, rate, speed)
    return float(np.abs(np.linalg.eigvals(matrix)).max()) if np.isfinite(matrix).all() else math.inf


def seen(orbit: minmax.Orbit) -> float:
    """The same factor, as an orbit's second half shows it: ∞ if a point is not finite, 0 if it arrived."""
    distance = np.hypot(*np.asarray(orbit, np.float64))
    if not np.isfinite(distance).all():
        return math.inf
    half = len(distance) // 2
    # Of the largest in the last tenths of both halves, for an ellipse is not a circle.
    part = max(1, half // 5)
    early, late = distance[half - part : half].max(), distance[-part:].max()
    return float((late / early) ** (1 / (len(distance) - half))) if early > 0 else 0.0


def verdict(factor: float) -> str:
    """What a factor a step means, if it is a matrix': an orbit's own is not as exact."""
    return "cycles" if abs(factor - 1) < EXACT else "converges" if factor < 1 else "diverges"
