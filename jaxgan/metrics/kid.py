"""Kernel distance between features; with Inception's 2048 features, this is the KID."""

from typing import NamedTuple

import jax
import numpy as np

from jaxgan.errors import SetupError
from jaxgan.metrics.feature_checks import check_at_least, check_features

ArrayLike = jax.Array | np.ndarray


class KernelDistance(NamedTuple):
    """Kernel distance over subsets.

    Attributes:
      mean: Mean over the subsets, an unbiased estimate that may be negative.
      std: Population standard deviation over the subsets. The standard error of the mean is smaller, about
        std / √subsets or less.
    """

    mean: float
    std: float


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3


def polynomial_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """Computes an unbiased estimate of the squared maximum mean discrepancy with a cubic kernel.

    MMD² = E[k(x, x')] + E[k(y, y')] − 2 E[k(x, y)],  k(a, b) = (a·b / D + 1)³

    No sample is paired with itself.

    Args:
      x: Samples of one set, (N, D), float64, N ≥ 2.
      y: Samples of the other set, (M, D), float64, M ≥ 2.

    Returns:
      A scalar, which is negative about as often as positive where the distributions are the same.

    References:
      Bińkowski et al., 2018, Demystifying MMD GANs, https://arxiv.org/abs/1801.01401
      Gretton et al., 2012, lemma 6, https://www.jmlr.org/papers/v13/gretton12a.html
    """
    within = 0.0
    for samples in (x, y):
        count, kernel = len(samples), _kernel(samples, samples)
        within += (np.sum(kernel) - np.trace(kernel)) / (count * (count - 1))
    return float(within - 2 * np.mean(_kernel(x, y)))


def kernel_inception_distance(
    real: ArrayLike, fake: ArrayLike, *, subsets: int = 100, subset_size: int = 1000, seed: int = 2020
) -> KernelDistance:
    """Computes the mean of :func:`polynomial_mmd` over random subsets.

    Unlike a Fréchet distance, the mean has no bias, whatever the number of samples. The subsets are those
    that torch-fidelity 0.3 draws when its ``input1`` is fake and its ``input2`` real, which is the order
    that torch-fidelity needs for the Inception score: ``RandomState(seed)`` draws them without replacement,
    for each subset first from fake, then from real. torch-fidelity computes the kernel in float32, this
    function in float64.

    Args:
      real: Real features, (N, D).
      fake: Generated features, (M, D).
      subsets: Number of subsets.
      subset_size: Number of samples in each subset, of real and of fake.
      seed: Seed of the random subsets.

    Returns:
      Mean and standard deviation over subsets.

    Raises:
      SetupError: The features are invalid (see :mod:`jaxgan.metrics.feature_checks`), or a set is
        smaller than a subset.

    References:
      Bińkowski et al., 2018, Demystifying MMD GANs, https://arxiv.org/abs/1801.01401
    """
    real, fake = check_features(real=real, fake=fake)
    check_at_least("subsets", subsets, 1)
    check_at_least("subset_size", subset_size, 2)
    if subset_size > min(len(real), len(fake)):
        raise SetupError(
            f"subset_size {subset_size} is more than there are of {len(real)} real and {len(fake)} fake"
            f" samples: give {min(len(real), len(fake))} or less, or more samples"
        )
    rng = np.random.RandomState(seed)
    values = []
    for _ in range(subsets):
        x, y = (
            samples[rng.choice(len(samples), subset_size, replace=False)].astype(np.float64)
            for samples in (fake, real)
        )
        values.append(polynomial_mmd(x, y))
    return KernelDistance(float(np.mean(values)), float(np.std(values)))
