"""Tests of Parzen windows against SciPy's densities and the formula of the 2014 script."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from jaxgan.errors import SetupError
from jaxgan.metrics import distances
from jaxgan.metrics.parzen import SIGMAS, parzen_densities, parzen_log_likelihood


@pytest.fixture(autouse=True)
def _small_tiles(monkeypatch):
    monkeypatch.setattr(distances, "ROWS", 7)
    monkeypatch.setattr(distances, "COLUMNS", 5)


def draw(seed, count, dim=4):
    return np.random.default_rng(seed).normal(size=(count, dim)).astype(np.float32)


def test_one_sample_is_a_gaussian():
    samples, points = draw(0, 1), draw(1, 9)
    found = parzen_densities(samples, points, [0.3, 2.0])
    for row, sigma in zip(found, (0.3, 2.0), strict=True):
        exact = scipy.stats.multivariate_normal(samples[0].astype(float), sigma**2).logpdf(
            points.astype(float)
        )
        np.testing.assert_allclose(row, exact, rtol=1e-12)


@given(seed=st.integers(0, 99), order=st.permutations(range(13)), sigma=st.floats(0.05, 5))
def test_many_samples_are_their_mixture(seed, order, sigma):
    samples, points = draw(seed, 13), draw(seed + 100, 9)
    exact = scipy.special.logsumexp(
        [
            scipy.stats.norm(s, sigma).logpdf(points.astype(float)).sum(axis=1)
            for s in samples.astype(float)
        ],
        axis=0,
    ) - np.log(13)
    np.testing.assert_allclose(
        parzen_densities(samples[list(order)], points, [sigma])[0], exact, rtol=1e-10
    )


def test_a_narrow_window_does_not_underflow():
    # With 784 pixels and σ = 0.01, the exponents are in the millions.
    samples, points = draw(0, 12, 784), draw(1, 3, 784)
    (found,) = parzen_densities(samples, points, [0.01])
    squares = np.sum((points[:, None].astype(float) - samples[None].astype(float)) ** 2, axis=2)
    nearest = squares.min(axis=1)
    exact = -nearest / 2e-4 - np.log(12) - 784 * np.log(0.01 * np.sqrt(2 * np.pi))
    np.testing.assert_allclose(found, exact, rtol=1e-11)


def test_the_choice_and_the_error():
    samples, validation, test = draw(0, 60), draw(1, 40), draw(2, 30)
    grid = [0.1, 0.3, 0.5, 0.8, 3.0]
    validated = [parzen_densities(samples, validation, [sigma]).mean() for sigma in grid]
    best = grid[int(np.argmax(validated))]
    tested = [parzen_densities(samples, test, [sigma]).mean() for sigma in grid]
    found = parzen_log_likelihood(samples, validation, test, sigmas=grid[::-1])
    assert found.sigma == best
    assert found.mean == pytest.approx(tested[grid.index(best)], rel=1e-12)
    densities = parzen_densities(samples, test, [best])[0]
    assert found.std_error == pytest.approx(scipy.stats.sem(densities), rel=1e-12)


def test_the_test_set_has_no_part_in_the_choice():
    # The windows are around 0, the validation data is narrow and the test data is wide.
    samples, grid = np.zeros((2, 50)), [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2]
    validation, test = 0.2 * draw(0, 50, 50), 1.6 * draw(1, 50, 50)
    assert parzen_log_likelihood(samples, validation, test, sigmas=grid).sigma == 0.2
    assert parzen_log_likelihood(samples, test, validation, sigmas=grid).sigma == 1.6


def test_a_best_sigma_at_the_edge_is_told():
    samples = draw(0, 20)
    with pytest.warns(UserWarning, match=r"sigma 0\.2 is the largest of the grid"):
        parzen_log_likelihood(samples, draw(1, 20), draw(2, 20), sigmas=(0.1, 0.2))
    with pytest.warns(UserWarning, match="sigma 9 is the smallest"):
        parzen_log_likelihood(samples, draw(1, 20), draw(2, 20), sigmas=(9, 10))
    np.testing.assert_allclose(SIGMAS, np.logspace(-1, 0, 10))


@pytest.mark.parametrize("sigmas", [(), (0.1, 0.0), (0.1, np.nan), (np.inf,)])
def test_refusals(sigmas):
    with pytest.raises(SetupError, match="give one or more widths above 0"):
        parzen_log_likelihood(draw(0, 5), draw(1, 5), draw(2, 5), sigmas=sigmas)
