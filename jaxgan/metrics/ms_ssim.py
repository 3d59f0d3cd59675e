"""Multi-scale structural similarity (MS-SSIM) of images, and the diversity score based on it."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.errors import SetupError
from jaxgan.metrics.feature_checks import check_at_least, check_labels, check_rows

Array = jax.Array
ArrayLike = jax.Array | np.ndarray

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # Wang et al., section 3.2, finest scale first
WINDOW, SIGMA = 11, 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
BATCH = 32  # number of pairs that are scored at a time


def smallest_side(scales: int) -> int:
    """Returns the smallest height and width whose coarsest scale still holds a window of 11 pixels.

    >>> [smallest_side(scales) for scales in (5, 4, 3, 2, 1)]
    [161, 81, 41, 21, 11]
    """
    return (WINDOW - 1) * 2 ** (scales - 1) + 1


def _blur(x: Array) -> Array:
    """Blurs (B, H, W, C) to (B, H − 10, W − 10, C) with an 11 × 11 Gaussian of sum 1."""
    offsets = np.arange(WINDOW) - WINDOW // 2
    window = np.exp(-np.square(offsets) / (2 * SIGMA**2))
    window /= window.sum()
    for axis in (1, 2):
        length = x.shape[axis] - WINDOW + 1
        # XLA has no fast convolution in float64, so we sum eleven shifted images.
        x = sum(w * jax.lax.slice_in_dim(x, i, i + length, axis=axis) for i, w in enumerate(window))
    return x


def _halve(x: Array) -> Array:
    """Averages 2 × 2 pixels; the last row or column counts twice where a side is odd."""
    batch, height, width, channels = x.shape
    x = jnp.pad(x, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    return x.reshape(batch, (height + 1) // 2, 2, (width + 1) // 2, 2, channels).mean(axis=(2, 4))


@functools.partial(jax.jit, static_argnames="scales")
def _ms_ssim(x: Array, y: Array, scales: int) -> Array:
    x, y = x.astype(jnp.float64), y.astype(jnp.float64)
    weights = np.array(WEIGHTS[:scales]) / sum(WEIGHTS[:scales])
    result = jnp.ones((len(x), x.shape[-1]), jnp.float64)
    for scale, weight in enumerate(weights):
        if scale:
            x, y = _halve(x), _halve(y)
        blurred = _blur(jnp.concatenate([x, y, x * y, x * x + y * y], axis=-1))
        x_mean, y_mean, xy_mean, squares_mean = jnp.split(blurred, 4, axis=-1)
        products = x_mean * y_mean
        squares = jnp.square(x_mean) + jnp.square(y_mean)
        # Structure and contrast are one fraction, because the paper's C3 is C2 / 2.
        similarity = (2 * (xy_mean - products) + C2) / (squares_mean - squares + C2)
        if scale == scales - 1:
            similarity *= (2 * products + C1) / (squares + C1)
        # Where contrasts are opposed, the mean may be negative, and its fractional power is not defined.
        result *= jax.nn.relu(jnp.mean(similarity, axis=(1, 2))) ** weight
    return jnp.mean(result, axis=-1)


def _check_images(name: str, images: ArrayLike, scales: int, least: int) -> np.ndarray:
    if not 1 <= scales <= len(WEIGHTS):
        raise SetupError(f"scales {scales}: give 1 to {len(WEIGHTS)}")
    if np.ndim(images) != 4:
        raise SetupError(
            f"{name} has shape {np.shape(images)}: images are (samples, height, width, channels)"
        )
    height, width = np.shape(images)[1:3]
    if min(height, width) < smallest_side(scales):
        possible = [n for n in range(1, scales) if smallest_side(n) <= min(height, width)]
        instead = f", or take scales {possible[-1]}" if possible else ""
        raise SetupError(
            f"{name} of {height} × {width} pixels are too small for MS-SSIM of {scales} scales: the"
            f" smallest side that will do is {smallest_side(scales)}{instead}"
        )
    array = check_rows(name, images, least=least)
    low, high = np.min(array), np.max(array)
    if low < 0 or high > 255:
        raise SetupError(
            f"{name} has values from {low:.6g} to {high:.6g}: MS-SSIM takes pixels in [0, 255]"
        )
    return array


def ms_ssim(x: ArrayLike, y: ArrayLike, *, scales: int = 5) -> np.ndarray:
    """Computes the multi-scale structural similarity of pairs of images.

    MS-SSIM = l_S^w_S ∏_s cs_s^w_s,   s = 1 … S scales, each half the size of the one before
    l = (2 μ_x μ_y + C₁) / (μ_x² + μ_y² + C₁),  cs = (2 σ_xy + C₂) / (σ_x² + σ_y² + C₂)

    Means and variances are taken in an 11 × 11 Gaussian window of σ 1.5 that lies within the image. The
    products l·cs and the cs are averaged over the image, and a negative average counts as 0. Channels are
    scored separately and averaged.

    Args:
      x: First images of the pairs, (N, H, W, C), pixels in [0, 255], uint8 or float.
      y: Second images of the pairs, with the same shape.
      scales: Number of scales S. With fewer than five scales, the first weights are scaled to sum to 1, and
        scores are comparable only with scores of the same number of scales.

    Returns:
      Similarities (N,), float64 in [0, 1]; 1 for identical images.

    Raises:
      SetupError: The images differ in shape, are too small for the scales or hold values outside [0, 255].

    References:
      Wang et al., 2003, Multi-scale structural similarity for image quality assessment, section 3,
      https://doi.org/10.1109/ACSSC.2003.1292216
    """
    x, y = (_check_images(name, images, scales, 1) for name, images in (("x", x), ("y", y)))
    if x.shape != y.shape:
        raise SetupError(f"x has shape {x.shape} and y {y.shape}: pairs of images have the same")
    return _scores(x, y, np.arange(len(x)), np.arange(len(y)), scales)


def _scores(x: np.ndarray, y: np.ndarray, first: np.ndarray, second: np.ndarray, scales: int) -> np.ndarray:
    """Computes MS-SSIM of x[first] and y[second], in batches of one size that need one compilation."""
    scores, batch = [], min(BATCH, len(first))
    for start in range(0, len(first), batch):
        rows = np.minimum(np.arange(start, start + batch), len(first) - 1)
        with jax.enable_x64(True):
            scores.append(np.asarray(_ms_ssim(x[first[rows]], y[second[rows]], scales)))
    return np.concatenate(scores)[: len(first)]


class Diversity(NamedTuple):
    """Mean similarity of pairs of images; a lower value means more diversity.

    Attributes:
      mean: Mean over pairs and, with labels, then over classes.
      std_error: Standard error of the mean over the random choice of pairs.
      per_class: Mean of each class by its label; empty without labels.
    """

    mean: float
    std_error: float
    per_class: dict[int, float]


def ms_ssim_diversity(
    images: ArrayLike, *, labels: ArrayLike | None = None, pairs: int = 100, scales: int = 5, seed: int = 0
) -> Diversity:
    """Computes the mean MS-SSIM of random pairs of different images, within classes if there are labels.

    The score shows collapse within a class. Compare the score with that of real images, not with scores of
    other data sets.

    Args:
      images: Images (N, H, W, C) with pixels in [0, 255].
      labels: Integer labels, (N,); None makes all images one class.
      pairs: Number of pairs drawn in each class; pairs are independent, so a pair may occur twice.
      scales: Number of scales, see :func:`ms_ssim`.
      seed: Seed of NumPy's ``default_rng``, which draws the pairs.

    Returns:
      The mean, its standard error and the mean of each class.

    Raises:
      SetupError: The images are invalid, as for :func:`ms_ssim`, or a class has fewer than two images.

    References:
      Odena et al., 2017, section 4.2, https://arxiv.org/abs/1610.09585
    """
    images = _check_images("images", images, scales, 2)
    check_at_least("pairs", pairs, 2)
    groups: dict[int, np.ndarray] = {0: np.arange(len(images))}
    if labels is not None:
        labels = check_labels("labels", labels, len(images))
        groups = {int(label): np.flatnonzero(labels == label) for label in np.unique(labels)}
    for label, rows in groups.items():
        check_at_least(f"number of images of class {label}", len(rows), 2)
    rng = np.random.default_rng(seed)
    firsts, seconds = [], []
    for rows in groups.values():
        first = rng.integers(len(rows), size=pairs)
        other = (first + rng.integers(1, len(rows), size=pairs)) % len(rows)  # never the same image
        firsts.append(rows[first])
        seconds.append(rows[other])
    scores = _scores(images, images, np.concatenate(firsts), np.concatenate(seconds), scales)
    scores = scores.reshape(len(groups), pairs)
    errors = np.std(scores, axis=1, ddof=1) / np.sqrt(pairs)
    return Diversity(
        mean=float(np.mean(scores)),
        std_error=float(np.sqrt(np.sum(np.square(errors))) / len(groups)),
        per_class={}
        if labels is None
        else {label: float(mean) for label, mean in zip(groups, scores.mean(axis=1), strict=True)},
    )
