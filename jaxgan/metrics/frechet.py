"""Fréchet distance between Gaussian fits of features; with Inception's 2048 features, this is the FID."""

import warnings
from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np

from jaxgan.errors import SetupError
from jaxgan.metrics.feature_checks import check_at_least, check_features, check_labels
from jaxgan.metrics.moments import Moments, covariance, from_features

ArrayLike = jax.Array | np.ndarray


def _root(matrix: np.ndarray) -> np.ndarray:
    """Returns (D, R) L with L Lᵀ equal to the (D, D) covariance, whose rank is R."""
    values, vectors = np.linalg.eigh(matrix)
    # Smaller eigenvalues are rounding errors of the largest; noise of 1e-16 would have a root of 1e-8.
    kept = values > len(values) * np.finfo(values.dtype).eps * values[-1]
    return vectors[:, kept] * np.sqrt(values[kept])


def _distance(mean: np.ndarray, root: np.ndarray, other_mean: np.ndarray, other_root: np.ndarray) -> float:
    shift = other_mean - mean
    traces = np.sum(np.square(root)) + np.sum(np.square(other_root))
    cross = np.sum(np.linalg.svd(root.T @ other_root, compute_uv=False))
    # Rounding may make the result slightly negative.
    return max(0.0, float(shift @ shift + traces - 2 * cross))


def _parts(moments: Moments) -> tuple[np.ndarray, np.ndarray]:
    mean = np.asarray(moments.mean)
    if not np.isfinite(mean).all():
        raise SetupError("moments are not finite: the features held a NaN or an infinity")
    return mean, _root(covariance(moments))


def _warn_of_bias(counts: Mapping[str, float], dim: int, where: str = "") -> None:
    few = [f"{count:.0f} {name}" for name, count in counts.items() if count <= dim]
    if few:
        warnings.warn(
            f"{' and '.join(few)} samples{where} for {dim} dimensions: their covariance is singular and the"
            f" Fréchet distance biased upwards; take more than {dim}, or compare equal counts only",
            stacklevel=3,
        )


def frechet_distance(real: Moments, fake: Moments) -> float:
    """Computes the squared Fréchet (2-Wasserstein) distance between two Gaussians.

    d² = ‖μ₁ − μ₂‖² + tr Σ₁ + tr Σ₂ − 2 tr (Σ₁Σ₂)^½

    The last trace is the sum of the singular values of L₁ᵀL₂, where Σ = L Lᵀ by a symmetric
    eigendecomposition in float64. This avoids roots of the product, which is not symmetric, and roots of
    rounding errors, so the distance is just as exact where there are fewer samples than dimensions. Fewer
    samples are also faster, see ``python -m benchmarks.metric_speed --only=frechet,frechet_few``.

    Args:
      real: Moments of one set of features.
      fake: Moments of the other set.

    Returns:
      The distance in squared units of the features; with Inception's pool features it is the FID. The
      distance is biased upwards by a term that falls as 1/N, see :func:`frechet_infinity`.

    Raises:
      SetupError: The dimensions differ, a set has fewer than two samples, or a feature was not finite.

    Warns:
      UserWarning: A set has no more samples than dimensions.

    References:
      Heusel et al., 2017, equation 6, https://arxiv.org/abs/1706.08500
      Dowson and Landau, 1982, https://doi.org/10.1016/0047-259X(82)90077-X
    """
    (dim,), (other,) = real.mean.shape, fake.mean.shape
    if dim != other:
        raise SetupError(
            f"real features have {dim} dimensions, fake ones {other}: take them from one layer"
        )
    parts = _parts(real), _parts(fake)
    _warn_of_bias({"real": float(real.count), "fake": float(fake.count)}, dim)
    return _distance(*parts[0], *parts[1])


class ClassFrechet(NamedTuple):
    """Fréchet distance within classes.

    Attributes:
      mean: Mean over the classes, with equal weights.
      per_class: Distance of each class by its label.
    """

    mean: float
    per_class: dict[int, float]


def class_frechet_distance(
    real: ArrayLike, real_labels: ArrayLike, fake: ArrayLike, fake_labels: ArrayLike
) -> ClassFrechet:
    """Computes the mean over classes of the Fréchet distance between real and generated samples.

    The mean also detects good samples of the wrong class, which a single distance over all classes cannot
    detect.

    Args:
      real: Real features, (N, D).
      real_labels: Integer labels of the real features, (N,).
      fake: Generated features, (M, D).
      fake_labels: Integer labels that the generator was given, (M,).

    Returns:
      The mean and the distance of each class.

    Raises:
      SetupError: The features are invalid, as for :func:`frechet_distance`, or a class has fewer than two
        samples in one of the sets.

    Warns:
      UserWarning: A class has no more samples than dimensions.

    References:
      Miyato and Koyama, 2018 (intra FID), section 4, https://arxiv.org/abs/1802.05637
    """
    real, fake = check_features(real=real, fake=fake)
    real_labels = check_labels("real_labels", real_labels, len(real))
    fake_labels = check_labels("fake_labels", fake_labels, len(fake))
    sets = {"real": (real, real_labels), "fake": (fake, fake_labels)}
    classes = np.union1d(real_labels, fake_labels)
    counts = {}
    for name, (_, labels) in sets.items():
        of_class = [int(np.sum(labels == label)) for label in classes]
        counts[name] = min(of_class)
        if counts[name] < 2:
            scarce = classes[np.argmin(of_class)]
            raise SetupError(
                f"class {scarce} has {counts[name]} {name} samples: at least 2 are needed of each"
            )
    _warn_of_bias(counts, real.shape[1], " of the smallest class")
    per_class = {}
    for label in classes:
        parts = [_parts(from_features(values[labels == label])) for values, labels in sets.values()]
        per_class[int(label)] = _distance(*parts[0], *parts[1])
    return ClassFrechet(float(np.mean(list(per_class.values()))), per_class)


class FrechetInfinity(NamedTuple):
    """Fréchet distance extrapolated to infinitely many generated samples.

    Attributes:
      value: Intercept of the fitted line; negative only if the line fits badly.
      slope: Slope of the distance against 1/N, which is the bias at N samples times N.
      sizes: Sizes of the subsets, (points,).
      distances: Distances at these sizes, (points,).
    """

    value: float
    slope: float
    sizes: np.ndarray
    distances: np.ndarray


def frechet_infinity(
    real: Moments, fake: ArrayLike, *, smallest: int = 5000, points: int = 15, seed: int = 0
) -> FrechetInfinity:
    """Computes the Fréchet distance without the bias of few generated samples.

    d²(N) ≈ d²(∞) + slope / N, fitted by least squares at several N.

    Args:
      real: Moments of the reference; the bias of the reference's own count remains.
      fake: Features of generated samples, (M, D), from which each random subset is drawn independently.
      smallest: Size of the smallest subset. The largest subset has size M, and the sizes between are evenly
        spaced.
      points: Number of subsets.
      seed: Seed of NumPy's ``default_rng``, which draws the subsets.

    Returns:
      The intercept, the slope, and the sizes and distances to which they were fitted.

    Raises:
      SetupError: The features are invalid, as for :func:`frechet_distance`, or the sizes cannot be drawn.

    Warns:
      UserWarning: A set has no more samples than dimensions.

    References:
      Chong and Forsyth, 2020, Effectively Unbiased FID and Inception Score,
      https://arxiv.org/abs/1911.07023
    """
    (fake,) = check_features(fake=fake)
    check_at_least("points", points, 2)
    check_at_least("smallest", smallest, 2)
    if len(fake) < smallest + points:
        raise SetupError(
            f"{len(fake)} fake samples are too few for {points} sizes from smallest {smallest}: "
            f"give {smallest + points} samples or a lower smallest"
        )
    (dim,) = real.mean.shape
    if fake.shape[1] != dim:
        raise SetupError(f"real features have {dim} dimensions, fake ones {fake.shape[1]}")
    rng = np.random.default_rng(seed)
    sizes = np.linspace(smallest, len(fake), points).astype(int)
    reference = _parts(real)
    _warn_of_bias({"real": float(real.count), "fake": smallest}, dim)
    distances = np.array(
        [
            _distance(*reference, *_parts(from_features(fake[rng.permutation(len(fake))[:size]])))
            for size in sizes
        ]
    )
    slope, value = np.polyfit(1 / sizes, distances, 1)
    return FrechetInfinity(float(value), float(slope), sizes, distances)
