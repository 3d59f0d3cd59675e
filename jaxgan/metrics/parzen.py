"""Parzen-window log-likelihood, the score of the paper of 2014."""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from jaxgan.errors import SetupError
from jaxgan.metrics.checks import check_features
from jaxgan.metrics.distances import centre_of, tiles

ArrayLike = jax.Array | np.ndarray

SIGMAS = tuple(float(sigma) for sigma in np.logspace(-1, 0, 10))  # the paper's grid, for pixels in [0, 1]


class ParzenLikelihood(NamedTuple):
    """A log-likelihood of test samples.

    Attributes:
      mean: over the test samples, in nats.
      std_error: of that mean, over the test samples.
      sigma: the window's width, chosen on the validation samples.
    """

    mean: float
    std_error: float
    sigma: float


def parzen_densities(samples: ArrayLike, points: ArrayLike, sigmas: Sequence[float]) -> np.ndarray:
    """The log-density of points under Gaussian windows around samples.

    log p(x) = log 1/N Σ_i exp(−‖x − s_i‖² / 2σ²) − D log(σ √2π)

    Args:
      samples: (N, D) s.
      points: (M, D) x.
      sigmas: (S,) widths σ > 0.

    Returns:
      (S, M) float64, in nats.

    Raises:
      SetupError: as the features of any metric.
    """
    samples, points = check_features(least=1, samples=samples, points=points)
    widths = np.asarray(sigmas, np.float64)
    totals = np.full((len(widths), len(points)), -np.inf)
    centre = centre_of(samples)
    for rows, _, squares in tiles(points, samples, centre):
        nearest = squares.min(axis=1)
        squares -= nearest[:, None]
        for total, width in zip(totals, widths, strict=True):
            # The largest term is exp(0), so that the sum can neither overflow nor vanish.
            here = np.log(np.sum(np.exp(squares / (-2 * width**2)), axis=1)) - nearest / (2 * width**2)
            total[rows] = np.logaddexp(total[rows], here)
    dim = samples.shape[1]
    return totals - np.log(len(samples)) - dim * np.log(widths * np.sqrt(2 * np.pi))[:, None]


def parzen_log_likelihood(
    samples: ArrayLike, validation: ArrayLike, test: ArrayLike, *, sigmas: Sequence[float] = SIGMAS
) -> ParzenLikelihood:
    """The "approximate test set likelihood": of test data, under windows around generated samples.

    σ is that of the grid which makes validation data likeliest; test data plays no part in the choice. The
    score says little of images (Theis et al., 2016); it is here to compare with papers that give it.

    Args:
      samples: (N, D) generated, flattened; the paper takes 10,000.
      validation: (V, D) real, from neither the training nor the test set.
      test: (M, D) real.
      sigmas: widths to choose from, in units of the data; the default is made for pixels in [0, 1].

    Returns:
      Mean, its standard error, and the σ chosen.

    Raises:
      SetupError: as the features of any metric, or a width is not above 0.

    Warns:
      UserWarning: the best σ is the grid's smallest or largest, and a better one may lie outside.

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
