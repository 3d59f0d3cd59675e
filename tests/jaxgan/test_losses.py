import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxgan import losses, parallel
from jaxgan.errors import SetupError

logits = hnp.arrays(np.float32, st.integers(1, 7), elements=st.floats(-20, 20, width=32))
patches = hnp.arrays(np.float32, (3, 2, 2, 1), elements=st.floats(-20, 20, width=32))


def sigmoid(x):
    return 1 / (1 + np.exp(-x.astype(np.float64)))


def log_sigmoid(x):
    return -np.log1p(np.exp(-x.astype(np.float64)))


# The (critic, generator) losses as written in the papers, in float64; D = σ(logit) where a paper uses
# probabilities.
PAPER = {
    "minimax": (
        lambda r, f: -np.mean(np.log(sigmoid(r))) - np.mean(log_sigmoid(-f)),
        lambda r, f: np.mean(log_sigmoid(-f)),
    ),
    "non_saturating": (
        lambda r, f: -np.mean(np.log(sigmoid(r))) - np.mean(log_sigmoid(-f)),
        lambda r, f: -np.mean(np.log(sigmoid(f))),
    ),
    "wasserstein": (lambda r, f: f.mean() - r.mean(), lambda r, f: -f.mean()),
    "least_squares": (
        lambda r, f: 0.5 * np.mean((r - 1) ** 2) + 0.5 * np.mean(f**2),
        lambda r, f: 0.5 * np.mean((f - 1) ** 2),
    ),
    "hinge": (
        lambda r, f: -np.mean(np.minimum(0, -1 + r)) - np.mean(np.minimum(0, -1 - f)),
        lambda r, f: -f.mean(),
    ),
    "relativistic_average": (
        lambda r, f: -np.mean(log_sigmoid(r - f.mean())) - np.mean(log_sigmoid(-(f - r.mean()))),
        lambda r, f: -np.mean(log_sigmoid(-(r - f.mean()))) - np.mean(log_sigmoid(f - r.mean())),
    ),
    "relativistic_average_least_squares": (
        lambda r, f: np.mean((r - f.mean() - 1) ** 2) + np.mean((f - r.mean() + 1) ** 2),
        lambda r, f: np.mean((r - f.mean() + 1) ** 2) + np.mean((f - r.mean() - 1) ** 2),
    ),
    "relativistic_average_hinge": (
        lambda r, f: np.mean(np.maximum(0, 1 - (r - f.mean()))) + np.mean(np.maximum(0, 1 + f - r.mean())),
        lambda r, f: np.mean(np.maximum(0, 1 + (r - f.mean()))) + np.mean(np.maximum(0, 1 - f + r.mean())),
    ),
}


def both(name, real, fake):
    pair = losses.get(name)
    generator = pair.generator(real, fake) if pair.relativistic else pair.generator(fake)
    return pair.critic(real, fake), generator


def test_every_pair_has_its_paper():
    assert set(PAPER) == set(losses.PAIRS)


@pytest.mark.parametrize("name", PAPER)
@given(real=logits, fake=logits)
def test_agrees_with_the_paper(name, real, fake):
    for ours, paper in zip(both(name, real, fake), PAPER[name], strict=True):
        assert ours.shape == ()
        expected = paper(real.astype(np.float64), fake.astype(np.float64))
        np.testing.assert_allclose(ours, expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("name", PAPER)
@given(real=patches, fake=patches)
def test_patches_count_like_samples(name, real, fake):
    for patched, flat in zip(both(name, real, fake), both(name, real.ravel(), fake.ravel()), strict=True):
        np.testing.assert_allclose(patched, flat, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", PAPER)
def test_extreme_logits_stay_finite_with_finite_gradients(name):
    real, fake = jnp.array([-1e4, 0.0, 1e4]), jnp.array([1e4, 0.0, -1e4])
    for side in (0, 1):
        value, gradients = jax.value_and_grad(lambda r, f, s=side: both(name, r, f)[s], (0, 1))(real, fake)
        assert np.isfinite(value)
        assert all(np.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize("name", PAPER)
def test_columns_never_broadcast_against_rows(name):
    pair = losses.get(name)
    with pytest.raises(AssertionError):
        pair.critic(jnp.ones((4, 1)), jnp.ones(4))
    with pytest.raises(AssertionError):
        pair.critic(jnp.ones(4, int), jnp.ones(4, int))


def test_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(SetupError, match="unknown loss 'hing': did you mean 'hinge'"):
        losses.get("hing")


def test_optimal_critic_reaches_the_jensen_shannon_value():
    # For two distributions on three points and D = p / (p + q), the value of the game is 2 JSD − log 4.
    p, q = np.array([0.5, 0.25, 0.25]), np.array([0.25, 0.25, 0.5])
    optimal = np.log(p / q).astype(np.float32)  # the logit of p / (p + q)
    real, fake = np.repeat(optimal, [2, 1, 1]), np.repeat(optimal, [1, 1, 2])
    m = (p + q) / 2
    jsd = 0.5 * np.sum(p * np.log(p / m)) + 0.5 * np.sum(q * np.log(q / m))
    np.testing.assert_allclose(-losses.minimax_critic_loss(real, fake), 2 * jsd - np.log(4), rtol=1e-6)


def test_minimax_saturates_where_non_saturating_does_not():
    confident = jnp.full((4,), -20.0)  # the critic is certain that these samples are fake
    assert np.abs(jax.grad(losses.minimax_generator_loss)(confident)).max() < 1e-8
    np.testing.assert_allclose(jax.grad(losses.non_saturating_generator_loss)(confident), -0.25, rtol=1e-6)


def test_relativistic_means_cover_all_devices():
    real, fake = jnp.linspace(-1, 3, 16), jnp.linspace(0, 1, 16) ** 2
    for name in (
        "relativistic_average",
        "relativistic_average_hinge",
        "relativistic_average_least_squares",
    ):
        pair = losses.get(name)
        for side in (pair.critic, pair.generator):
            split = jax.pmap(side, axis_name=parallel.AXIS)
            np.testing.assert_allclose(
                split(real.reshape(8, 2), fake.reshape(8, 2)).mean(), side(real, fake), rtol=1e-6
            )


def test_signatures_name_real_before_fake():
    for name, function in vars(losses).items():
        if name.endswith("_loss"):
            parameters = list(inspect.signature(function).parameters)
            assert parameters in (["real_logits", "fake_logits"], ["fake_logits"]), name
