"""Parzen-window log-likelihood, the score of Goodfellow et al. (2014)."""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from jaxgan.errors import SetupError
from jaxgan.metrics.distances import centre_of, tiles
from jaxgan.metrics.feature_checks import check_features

ArrayLike = jax.Array | np.ndarray

SIGMAS = tuple(float(sigma) for sigma in np.logspace(-1, 0, 10))  # the paper's grid, for pixels in [0, 1]


class ParzenLikelihood(NamedTuple):
    """Log-likelihood of test samples.

    Attributes:
      mean: Mean over the test samples, in nats.
      std_error: Standard error of that mean, over the test samples.
      sigma: Width of the window, chosen on the validation samples.
    """

    mean: float
    std_error: float
    sigma: float


def parzen_densities(samples: ArrayLike, points: ArrayLike, sigmas: Sequence[float]) -> np.ndarray:
    """Computes the log-density of points under Gaussian windows around samples.

    log p(x) = log 1/N Σ_i exp(−‖x − s_i‖² / 2σ²) − D log(σ √2π)

    Args:
      samples: Samples s, (N, D).
      points: Points x, (M, D).
      sigmas: Widths σ > 0, (S,).

    Returns:
      Log-densities (S, M), float64, in nats.

    Raises:
      SetupError: The samples are invalid, see :mod:`jaxgan.metrics.feature_checks`.
    """
    samples, points = check_features(least=1, samples=samples, points=points)
    widths = np.asarray(sigmas, np.float64)
    totals = np.full((len(widths), len(points)), -np.inf)
    centre = centre_of(samples)
    for rows, _, squares in tiles(points, samples, centre):
        nearest = squares.min(axis=1)
        excess = squares - nearest[:, None]
        for total, width in zip(totals, widths, strict=True):
            # The largest term is exp(0), so the sum can neither overflow nor vanish.
            here = np.log(np.sum(np.exp(excess / (-2 * width**2)), axis=1)) - nearest / (2 * width**2)
            total[rows] = np.logaddexp(total[rows], here)
    dim = samples.shape[1]
    return totals - np.log(len(samples)) - dim * np.log(widths * np.sqrt(2 * np.pi))[:, None]


def parzen_log_likelihood(
    samples: ArrayLike, validation: ArrayLike, test: ArrayLike, *, sigmas: Sequence[float] = SIGMAS
) -> ParzenLikelihood:
    """Computes the "approximate test set likelihood" of real data under windows around generated samples.

    σ is the width of the grid that maximises the likelihood of the validation data; test data plays no part
    in the choice. The score says little about images (Theis et al., 2016); it serves to compare with papers
    that report it.

    Args:
      samples: Generated samples, flattened, (N, D); the paper uses 10,000.
      validation: Real samples from neither the training nor the test set, (V, D).
      test: Real test samples, (M, D).
      sigmas: Widths to choose from, in units of the data; the default suits pixels in [0, 1].

    Returns:
      The mean, its standard error, and the chosen σ.

    Raises:
      SetupError: The samples are invalid, see :mod:`jaxgan.metrics.feature_checks`, or a width is
        not above 0.

    Warns:
      UserWarning: The best σ is the grid's smallest or largest, so a better one may lie outside the grid.

    References:
      Goodfellow et al., 2014, section 5, https://arxiv.org/abs/1406.2661
      Breuleux et al., 2011, https://doi.org/10.1162/NECO_a_00159
      Theis et al., 2016, A note on the evaluation of generative models, https://arxiv.org/abs/1511.01844
    """
    if not len(sigmas) or not all(0 < sigma < np.inf for sigma in sigmas):
        raise SetupError(f"sigmas {list(sigmas)}: give one or more widths above 0")
    samples, validation, test = check_features(samples=samples, validation=validation, test=test)
    grid = sorted(sigmas)
    best = int(np.argmax(np.mean(parzen_densities(samples, validation, grid), axis=1)))
    if len(grid) > 1 and best in (0, len(grid) - 1):
        warnings.warn(
            f"sigma {grid[best]:.6g} is the {'largest' if best else 'smallest'} of the grid: widen sigmas",
            stacklevel=2,
        )
    (densities,) = parzen_densities(samples, test, [grid[best]])
    error = np.std(densities, ddof=1) / np.sqrt(len(densities))
    return ParzenLikelihood(float(np.mean(densities)), float(error), float(grid[best]))
