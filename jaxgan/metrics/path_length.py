"""Perceptual path length, the perceptual change of an image per small step between latents."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from jaxgan.errors import SetupError, unknown
from jaxgan.metrics.feature_checks import check_at_least, check_rows

ArrayLike = jax.Array | np.ndarray


class PathLength(NamedTuple):
    """Perceptual distances along paths.

    Attributes:
      mean: Mean of the distances between the 1st and the 99th percentile.
      std: Standard deviation of the same distances, with divisor N.
      distances: (N,) distances of all paths.
    """

    mean: float
    std: float
    distances: np.ndarray


def lerp(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Interpolates linearly from a (t = 0) to b (t = 1)."""
    return a + t * (b - a)


def slerp(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Interpolates spherically from a (t = 0) to b (t = 1), where vectors lie along the last axis.

    (sin((1 − t)ω) a + sin(tω) b) / sin ω,  ω the angle between a and b

    The interpolation between unit vectors has unit length. The lengths of other vectors are retained, so
    that interpolated latents of a Gaussian prior have lengths that the network was trained on. Where the
    arc is undefined or a single point, the result is that of :func:`lerp`.
    """
    norms = np.linalg.norm(a, axis=-1, keepdims=True) * np.linalg.norm(b, axis=-1, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        omega = np.arccos(np.clip(np.sum(a * b, axis=-1, keepdims=True) / norms, -1, 1))
        arc = (np.sin((1 - t) * omega) * a + np.sin(t * omega) * b) / np.sin(omega)
    return np.where(np.sin(omega) > 1e-6, arc, lerp(a, b, t))


# Interpolations by the space of the end points.
INTERPOLATIONS = {"z": slerp, "w": lerp}


def perceptual_path_length(
    generate: Callable[[np.ndarray], ArrayLike],
    distance: Callable[[ArrayLike, ArrayLike], ArrayLike],
    start: ArrayLike,
    end: ArrayLike,
    *,
    space: str,
    epsilon: float = 1e-4,
    batch_size: int = 64,
    seed: int = 0,
) -> PathLength:
    """Computes the mean perceptual distance between images that are a step ε apart, per squared step.

    PPL = E[d(G(p(t)), G(p(t + ε))) / ε²],  p the path from start to end, t ~ U[0, 1)

    The mean excludes distances below the 1st and above the 99th percentile, as in the reference
    implementation. Points are computed in float64 and passed on in the dtype of the latents. In float32, a
    coordinate's step of 1e-4 is rounded to three digits without a bias.

    Args:
      generate: Function of (B, ...) latents that returns (B, ...) images. Its random parts must be the same
        in every call.
      distance: Function of two arrays of (B, ...) images that returns (B,) squared perceptual distances,
        such as those of LPIPS.
      start: (N, ...) latents. In the space "z" the vectors lie along the last axis.
      end: (N, ...) other latents, drawn independently.
      space: "z" for latents of the prior, which are interpolated spherically, or "w" for latents after a
        mapping network, which are interpolated linearly.
      epsilon: Step ε.
      batch_size: Number of latents per call of ``generate``. The last batch may be smaller.
      seed: Seed of the places t for NumPy's ``default_rng``.

    Returns:
      The mean and the standard deviation after trimming, and all distances.

    Raises:
      SetupError: The space is unknown, the shapes of the latents differ, or a value is not finite.

    References:
      Karras et al., 2019, section 4.1, https://arxiv.org/abs/1812.04948
    """
    if space not in INTERPOLATIONS:
        raise unknown("space", space, INTERPOLATIONS)
    if not epsilon > 0:
        raise SetupError(f"epsilon {epsilon}: a step above 0 is needed")
    check_at_least("batch_size", batch_size, 1)
    start, end = check_rows("start", start), check_rows("end", end)
    if start.shape != end.shape:
        raise SetupError(f"start has shape {start.shape} and end {end.shape}: paths need equal shapes")
    count, interpolate = len(start), INTERPOLATIONS[space]
    t = np.random.default_rng(seed).uniform(size=(count, *[1] * (start.ndim - 1)))
    distances = []
    for first in range(0, count, batch_size):
        rows = slice(first, first + batch_size)
        a, b = start[rows].astype(np.float64), end[rows].astype(np.float64)
        images = [
            generate(interpolate(a, b, place).astype(start.dtype)) for place in (t[rows], t[rows] + epsilon)
        ]
        distances.append(np.asarray(distance(*images), np.float64))
        if distances[-1].shape != (len(a),):
            raise SetupError(f"distance gave shape {distances[-1].shape}: one number per image is needed")
    steps = check_rows("distances", np.concatenate(distances)) / epsilon**2
    low, high = np.percentile(steps, 1, method="lower"), np.percentile(steps, 99, method="higher")
    kept = steps[(low <= steps) & (steps <= high)]
    return PathLength(float(np.mean(kept)), float(np.std(kept)), steps)
