import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from jaxgan import latents


@pytest.mark.parametrize("prior", latents.PRIORS.values(), ids=latents.PRIORS)
def test_a_row_draws_the_same_in_any_batch(prior, key):
    whole = prior(latents.row_keys(key, jnp.arange(16)), dim=5)
    part = prior(latents.row_keys(key, jnp.array([9, 3])), dim=5)
    np.testing.assert_array_equal(part, whole[jnp.array([9, 3])])
    assert len(np.unique(whole)) == whole.size  # no two rows share a value


def test_moments(key):
    keys = latents.row_keys(key, jnp.arange(20_000))
    z = np.asarray(latents.normal(keys, dim=4))
    np.testing.assert_allclose(z.mean(0), 0, atol=0.03)
    np.testing.assert_allclose(np.cov(z.T), np.eye(4), atol=0.04)
    u = np.asarray(latents.uniform(keys, dim=4))
    np.testing.assert_allclose(u.var(), 1 / 3, rtol=0.02)
    assert np.abs(u).max() <= 1


@pytest.mark.parametrize("prior", latents.PRIORS.values(), ids=latents.PRIORS)
def test_truncation_bounds_every_coordinate(prior, key):
    keys = latents.row_keys(key, jnp.arange(5_000))
    z = np.abs(prior(keys, dim=3, truncation=0.5))
    assert 0.49 < z.max() <= 0.5


@pytest.mark.parametrize("prior", latents.PRIORS.values(), ids=latents.PRIORS)
def test_every_row_may_have_a_truncation_of_its_own(prior, key):
    keys, bounds = latents.row_keys(key, jnp.arange(5_000)), jnp.tile(jnp.array([0.25, 0.75]), 2_500)
    together = prior(keys, dim=3, truncation=bounds)
    for place, bound in enumerate((0.25, 0.75)):
        alone = prior(keys, dim=3, truncation=bound)
        np.testing.assert_array_equal(together[place::2], alone[place::2])
        assert bound - 0.01 < np.abs(together[place::2]).max() <= bound


@pytest.mark.parametrize("bound", [0.3, 1.0, 2.0])
def test_truncated_normal_latents_are_drawn_again_not_clipped(key, bound):
    z = np.asarray(latents.normal(latents.row_keys(key, jnp.arange(5_000)), dim=40, truncation=bound))
    # The variance of z given |z| ≤ τ is 1 − 2 τ φ(τ) / (2 Φ(τ) − 1).
    inside = 2 * stats.norm.cdf(bound) - 1
    exact = 1 - 2 * bound * stats.norm.pdf(bound) / inside
    np.testing.assert_allclose(z.var(), exact, rtol=0.02)  # 200,000 draws have an error of at most 0.4 %
    np.testing.assert_allclose(z.mean(), 0.0, atol=0.01)
    assert stats.kstest(z.ravel(), stats.truncnorm(-bound, bound).cdf).pvalue > 1e-4
    # Clipping would put a share of 1 − P(|z| ≤ τ) on the bounds, and give another variance.
    clipped = np.clip(latents.normal(latents.row_keys(key, jnp.arange(5_000)), dim=40), -bound, bound)
    assert np.mean(np.abs(z) == bound) < 1e-4 < (1 - inside) / 2 < np.mean(np.abs(clipped) == bound)
    assert abs(clipped.var() / exact - 1) > 0.1
    assert stats.kstest(clipped.ravel(), stats.truncnorm(-bound, bound).cdf).pvalue < 1e-9


def test_rows_must_be_integers(key):
    with pytest.raises(AssertionError):
        latents.row_keys(key, jnp.ones(4))
