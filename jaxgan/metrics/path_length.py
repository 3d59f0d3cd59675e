"""Perceptual path length: how far a small step between latents moves the image."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from jaxgan.errors import SetupError, unknown
from jaxgan.metrics.checks import check_at_least, check_rows

ArrayLike = jax.Array | np.ndarray


class PathLength(NamedTuple):
    """Perceptual distances along paths.

    Attributes:
      mean: of those distances that remain between the 1st and the 99th percentile.
      std: of the same, of a population.
      distances: (N,) all of them.
    """

    mean: float
    std: float
    distances: np.ndarray


def lerp(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """The point at share t of the straight way from a to b."""
    return a + t * (b - a)


def slerp(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """The point at share t of the arc from a to b, the last axis being that of vectors.

    (sin((1 − t)ω) a + sin(tω) b) / sin ω,  ω the angle between a and b

    Of unit vectors it stays one; the norms of others are carried over, so that the latents of a Gaussian
    prior stay as long as the network knows them. Where the arc is undefined or a point it is :func:`lerp`.
    """
    norms = np.linalg.norm(a, axis=-1, keepdims=True) * np.linalg.norm(b, axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        omega = np.arccos(np.clip(np.sum(a * b, axis=-1, keepdims=True) / norms, -1, 1))
        arc = (np.sin((1 - t) * omega) * a + np.sin(t * omega) * b) / np.sin(omega)
    return np.where(np.sin(omega) > 1e-6, arc, lerp(a, b, t))


# By the space the end points are in.
INTERPOLATIONS = {"z": slerp, "w": lerp}


def perceptual_path_length(
    generate: Callable[[np.ndarray], ArrayLike],
    distance: Callable[[ArrayLike, ArrayLike], ArrayLike],
    start: ArrayLike,
    end: ArrayLike,
    *,
    space: str,
    sampling: str = "full",
    epsilon: float = 1e-4,
    batch_size: int = 64,
    seed: int = 0,
) -> PathLength:
    """The mean perceptual distance between images a step ε apart, per squared step.

    PPL = E[d(G(p(t)), G(p(t + ε))) / ε²],  p the path from start to end, t ~ U[0, 1) or t = 0

    The mean leaves out distances below the 1st and above the 99th percentile, as the reference does. Points
    are calculated in float64 and handed over in the latents' own type; float32 rounds a coordinate's step
    of 1e-4 to three digits, evenly up and down.

    Args:
      generate: (B, ...) latents to (B, ...) images; random parts of it must be the same in every call.
      distance: two (B, ...) of images to (B,) squared perceptual distances, as LPIPS gives them.
      start: (N, ...) latents, those of z with vectors in the last axis.
      end: (N, ...) others, drawn independently.
      space: "z" for latents of the prior, spherical interpolation; "w" for mapped ones, linear.
      sampling: "full" for a place anywhere on the path, "end" for its start only.
      epsilon: ε.
      batch_size: latents that are generated together; the last batch may be smaller.
      seed: of the places t, with NumPy's ``default_rng``.

    Returns:
      Mean and standard deviation after trimming, and all distances.

    Raises:
      SetupError: a choice is unknown, the latents' shapes differ, or a value is not finite.

    References:
      Karras et al., 2019, section 4.1, https://arxiv.org/abs/1812.04948
    """
    if space not in INTERPOLATIONS:
        raise unknown("space", space, INTERPOLATIONS)
    if sampling not in ("full", "end"):
        raise unknown("sampling", sampling, ("full", "end"))
    if not epsilon > 0:
        raise SetupError(f"epsilon {epsilon}: a step above 0 is needed")
    check_at_least("batch_size", batch_size, 1)
    start, end = check_rows("start", start), check_rows("end", end)
    if start.shape != end.shape:
        raise SetupError(f"start has shape {start.shape} and end {end.shape}: paths need as many of both")
    count, interpolate = len(start), INTERPOLATIONS[space]
    t = np.zeros(count) if sampling == "end" else np.random.default_rng(seed).uniform(size=count)
    t = t.reshape(count, *[1] * (start.ndim - 1))
    distances = []
    for first in range(0, count, batch_size):
        rows = slice(first, first + batch_size)
        a, b = start[rows].astype(np.float64), end[rows].astype(np.float64)
        images = [
            generate(interpolate(a, b, place).astype(start.dtype)) for place in (t[rows], t[rows] + epsilon)
        ]
        distances.append(np.asarray(distance(*images), np.float64))
        if distances[-1].shape != (len(a),):
            raise SetupError(f"distance gave shape {distances[-1].shape}: one number an image is needed")
    steps = check_rows("distances", np.concatenate(distances)) / epsilon**2
    low, high = np.percentile(steps, 1, method="lower"), np.percentile(steps, 99, method="higher")
    kept = steps[(low <= steps) & (steps <= high)]
    return PathLength(float(np.mean(kept)), float(np.std(kept)), steps)
