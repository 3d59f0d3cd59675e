"""Tests of the VAE against closed forms: the KL divergence of Gaussians, and probabilistic PCA."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from jaxgan import latents
from jaxgan.errors import SetupError
from jaxgan.gans import vae as vae_module
from jaxgan.gans.vae import vae
from jaxgan.models.mlp import VariationalAutoEncoder
from jaxgan.steps import train_step

DIM, LATENT, COUNT = 4, 2, 400


@given(st.floats(-2, 2), st.floats(-2, 2), st.floats(-1, 1))
def test_the_kl_is_the_integral(mean, other, log_variance):
    # ∫ q log(q / p) is computed by Gauss–Hermite quadrature, which is exact because the log is a
    # polynomial.
    nodes, weights = np.polynomial.hermite_e.hermegauss(8)
    weights = weights / weights.sum()
    total = 0.0
    for mu, var in ((mean, math.exp(log_variance)), (other, 1.0)):
        z = mu + math.sqrt(var) * nodes
        total += weights @ (stats.norm.logpdf(z, mu, math.sqrt(var)) - stats.norm.logpdf(z))
    found = vae_module.kl_to_normal(jnp.array([[mean, other]]), jnp.array([[log_variance, 0.0]]))
    np.testing.assert_allclose(found, [total], rtol=2e-5, atol=2e-6)


def test_likelihoods_are_those_of_scipy():
    rng = np.random.default_rng(0)
    x, logits = rng.integers(0, 2, (3, 5)).astype(np.float32), rng.normal(size=(3, 5)).astype(np.float32)
    expected = stats.bernoulli.logpmf(x.astype(int), 1 / (1 + np.exp(-logits.astype(float)))).sum(1)
    np.testing.assert_allclose(vae_module.bernoulli_log_likelihood(x, logits), expected, rtol=1e-5)
    mean, log_std = rng.normal(size=(3, 5)).astype(np.float32), -0.7
    expected = stats.norm.logpdf(x, mean, math.exp(log_std)).sum(1)
    np.testing.assert_allclose(
        vae_module.gaussian_log_likelihood(x, mean, jnp.float32(log_std)), expected, rtol=1e-5
    )


def system(**options):
    module = VariationalAutoEncoder((DIM,), LATENT, hidden=())
    prior = functools.partial(latents.normal, dim=LATENT)
    return vae(module, generator_tx=optax.adam(1e-2), prior=prior, likelihood="gaussian", **options)


def make_data():
    rng = np.random.default_rng(3)
    mixing = rng.normal(size=(LATENT, DIM)) * np.array([[2.0], [1.0]])
    x = rng.normal(size=(COUNT, LATENT)) @ mixing + 0.3 * rng.normal(size=(COUNT, DIM)) + 0.5
    return x.astype(np.float32)


def as_batch(x):
    return {"real": x[None], "row": np.arange(len(x), dtype=np.int32)[None]}


def ppca(x):
    """Returns Tipping and Bishop's maximum-likelihood solution and its mean log-likelihood, with NumPy."""
    x = x.astype(np.float64)
    mean, (values, vectors) = x.mean(0), np.linalg.eigh(np.cov(x.T, bias=True))
    values, vectors = values[::-1], vectors[:, ::-1]
    variance = values[LATENT:].mean()
    weights = vectors[:, :LATENT] * np.sqrt(values[:LATENT] - variance)
    covariance = weights @ weights.T + variance * np.eye(DIM)
    return mean, weights, variance, stats.multivariate_normal.logpdf(x, mean, covariance).mean()


def mean_elbo(gan, state, x, draws=50):
    """Returns the mean ELBO over samples and draws of z, and its standard error."""
    per_row = jax.jit(gan.measures["elbo"].per_row)
    data = {name: value[0] for name, value in as_batch(x).items()}
    found = np.stack([per_row(state, data, jax.random.key(i))["elbo"] for i in range(draws)])
    return found.mean(), found.mean(1).std() / math.sqrt(draws)


def test_the_bound_at_pcas_solution_is_its_log_likelihood():
    x = make_data()
    mean, weights, variance, truth = ppca(x)
    gan = system()
    state = gan.init(jax.random.key(0), as_batch(x))
    # The posterior of z is N(M⁻¹Wᵀ(x − μ), σ² M⁻¹) with M = WᵀW + σ² I, which is diagonal, so a linear
    # encoder can represent the posterior exactly.
    inverse = np.linalg.inv(weights.T @ weights + variance * np.eye(LATENT))
    encoder = weights @ inverse
    log_variance = np.log(variance * np.diag(inverse))
    params = {
        "code": {
            "kernel": np.concatenate([encoder, np.zeros((DIM, LATENT))], 1).astype(np.float32),
            "bias": np.concatenate([-mean @ encoder, log_variance]).astype(np.float32),
        },
        "output": {"kernel": weights.T.astype(np.float32), "bias": mean.astype(np.float32)},
        "log_std": np.float32(0.5 * math.log(variance)),
    }
    assert jax.tree.structure(params) == jax.tree.structure(state.generator.params)
    exact = state.replace(generator=state.generator.replace(ema_params=params))
    found, error = mean_elbo(gan, exact, x)
    np.testing.assert_allclose(found, truth, atol=4 * error + 1e-3)
    worse = jax.tree.map(lambda p: p * 1.05, params)
    assert mean_elbo(gan, exact.replace(generator=exact.generator.replace(ema_params=worse)), x)[0] < found


@pytest.mark.slow
def test_training_a_linear_vae_comes_to_pcas_log_likelihood():
    x = make_data()
    truth, gan = ppca(x)[3], system()
    batch = as_batch(x)
    step = functools.partial(train_step, gan=gan, ema_decay=0.99)

    @jax.jit
    def train(state):
        return jax.lax.scan(lambda state, _: (step(state, batch)[0], None), state, length=6000)[0]

    state = train(gan.init(jax.random.key(0), batch))
    assert state.critic is None
    assert int(state.step) == int(state.generator.updates) == 6000
    found, error = mean_elbo(gan, state, x)
    assert found < truth + 4 * error  # the ELBO is a lower bound
    np.testing.assert_allclose(found, truth, atol=0.03)
    # β affects the loss, but not the measure.
    heavy = system(beta=4.0)
    loss = heavy.generator_loss
    fakes, _ = heavy.generate(
        state.generator.params, state, {k: v[0] for k, v in batch.items()}, state.key, advance=False
    )
    value, aux = loss(state.generator.params, state, {k: v[0] for k, v in batch.items()}, fakes, state.key)
    expected = 4 * aux.metrics["kl"] - aux.metrics["log_likelihood"]
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_what_cannot_be_a_vae_is_refused():
    module, tx = VariationalAutoEncoder((DIM,), LATENT, hidden=()), optax.sgd(1.0)
    prior = functools.partial(latents.normal, dim=LATENT)
    with pytest.raises(SetupError, match=r"unknown gan.likelihood 'gauss': did you mean 'gaussian'"):
        vae(module, generator_tx=tx, prior=prior, likelihood="gauss")
    uniform = functools.partial(latents.uniform, dim=LATENT)
    with pytest.raises(SetupError, match=r"standard normal: give latent.prior normal"):
        vae(module, generator_tx=tx, prior=uniform).init(jax.random.key(0), as_batch(make_data()))
