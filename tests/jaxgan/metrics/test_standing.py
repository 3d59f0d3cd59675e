"""Tests of standing statistics against the definition and against the averages of training."""

import functools

import jax
import numpy as np
import optax
import pytest

from jaxgan import latents
from jaxgan.gans import passes
from jaxgan.metrics.standing import standing_statistics
from jaxgan.steps import train_step
from tests.conftest import tiny_batch, tiny_gan

ROWS = np.arange(16)


def none_asked(key, rows):
    return {}


def stats(state, name="Norm_0"):
    return state.generator.ema_model_state["batch_stats"][name]["batch_norm"]


def test_they_are_the_mean_of_the_batches_moments(key):
    gan = tiny_gan()
    state = gan.init(jax.random.key(1), tiny_batch())
    standing = standing_statistics(gan, state, key, batches=3, batch_size=16, conditions=none_asked)
    # The output of the first layer is z W, whose moments are taken over samples and pixels.
    kernel = np.asarray(state.generator.ema_params["Dense_0"]["kernel"], np.float64)
    means, variances = [], []
    for number in range(3):
        this_key = jax.random.fold_in(jax.random.fold_in(key, number), passes.LATENTS)
        z = latents.normal(latents.row_keys(this_key, ROWS), dim=6)
        hidden = (np.asarray(z, np.float64) @ kernel).reshape(-1, 8)
        means.append(hidden.mean(0))
        variances.append(hidden.var(0))
    np.testing.assert_allclose(stats(standing)["mean"], np.mean(means, 0), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(stats(standing)["var"], np.mean(variances, 0), rtol=1e-4)
    # The rest of the state is unchanged.
    jax.tree.map(np.testing.assert_array_equal, state.generator.ema_params, standing.generator.ema_params)
    jax.tree.map(np.testing.assert_array_equal, state.generator.model_state, standing.generator.model_state)


def test_they_are_those_of_what_is_asked_for(key):
    gan = tiny_gan()
    state = gan.init(jax.random.key(1), tiny_batch())
    z = np.random.default_rng(0).normal(size=(16, 6)).astype(np.float32)
    options = {"batches": 2, "batch_size": 16, "conditions": lambda key, rows: {"z": z[rows]}}
    standing = standing_statistics(gan, state, key, **options)
    kernel = np.asarray(state.generator.ema_params["Dense_0"]["kernel"], np.float64)
    hidden = (z @ kernel).reshape(-1, 8)
    np.testing.assert_allclose(stats(standing)["mean"], hidden.mean(0), rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(stats(standing)["var"], hidden.var(0), rtol=1e-4)


@pytest.mark.slow
def test_they_agree_with_the_averages_of_training_where_weights_stand_still(key):
    gan = tiny_gan(optimizer=optax.sgd(0.0))
    state = gan.init(key, tiny_batch())
    step = jax.jit(functools.partial(train_step, gan=gan, ema_decay=0.98))
    for number in range(300):
        state, _ = step(state, tiny_batch(seed=number % 7))
    standing = standing_statistics(
        gan, state, jax.random.key(5), batches=300, batch_size=16, conditions=none_asked
    )
    for name in ("Norm_0", "Norm_1"):
        # Each statistic is a mean over about a hundred batches or more, of 16 samples each.
        np.testing.assert_allclose(stats(standing, name)["var"], stats(state, name)["var"], rtol=0.1)
        spread = np.sqrt(stats(state, name)["var"])
        assert np.all(np.abs(stats(standing, name)["mean"] - stats(state, name)["mean"]) < 0.1 * spread)
    a, b = (gan.sample(x, key, {"row": ROWS}) for x in (state, standing))
    assert np.abs(a - b).max() < 0.02 < np.abs(a).max()


def test_a_generator_without_batch_norm_is_as_it_was(key):
    gan = tiny_gan()
    state = gan.init(key, tiny_batch())
    plain = state.replace(generator=state.generator.replace(ema_model_state={}))
    options = {"batches": 2, "batch_size": 4, "conditions": none_asked}
    assert standing_statistics(gan, plain, key, **options) is plain
