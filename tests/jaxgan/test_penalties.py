import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxgan import latents, penalties

SHAPE = (2, 3, 1)  # height, width and channels of one sample; the norm runs over all three
slopes = hnp.arrays(np.float32, SHAPE, elements=st.floats(-2, 2, width=32))
images = hnp.arrays(np.float32, (4, *SHAPE), elements=st.floats(-1, 1, width=32))


def linear(w):
    return lambda x: jnp.tensordot(x, jnp.asarray(w), 3)


def quadratic(a):
    """Returns D(x) = ½ xᵀ diag(a) x, whose gradient is a·x."""
    return lambda x: 0.5 * jnp.sum(jnp.asarray(a) * x**2, axis=(1, 2, 3))


def norms(x):
    return np.sqrt(np.sum(np.square(np.asarray(x, np.float64)), axis=(1, 2, 3)))


@given(w=slopes, real=images, fake=images, target=st.floats(0, 2))
def test_gradient_penalty_of_a_linear_critic(w, real, fake, target):
    slope = np.sqrt(np.sum(w.astype(np.float64) ** 2))
    key = jax.random.key(1)
    two = penalties.gradient_penalty(linear(w), real, fake, key, target=target)
    one = penalties.gradient_penalty(linear(w), real, fake, key, target=target, one_sided=True)
    np.testing.assert_allclose(two, (slope - target) ** 2, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(one, max(slope - target, 0) ** 2, rtol=1e-4, atol=1e-5)


@given(a=slopes, real=images, fake=images)
def test_gradient_penalty_of_a_quadratic_critic_is_at_interpolates(a, real, fake):
    keys = latents.row_keys(jax.random.key(2), jnp.arange(4))
    epsilon = np.array([jax.random.uniform(k, (1, 1, 1)) for k in keys], np.float64)
    assert len(np.unique(epsilon)) == 4  # each sample has its own ε
    interpolates = epsilon * real + (1 - epsilon) * fake
    expected = np.mean((norms(a * interpolates) - 1) ** 2)
    ours = penalties.gradient_penalty(quadratic(a), real, fake, keys)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


@given(a=slopes, x=images)
def test_r1_and_r2_of_a_quadratic_critic(a, x):
    expected = 0.5 * np.mean(norms(a * x) ** 2)
    np.testing.assert_allclose(penalties.r1_penalty(quadratic(a), x), expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(penalties.r2_penalty(quadratic(a), x), expected, rtol=1e-4, atol=1e-6)


@given(a=slopes, real=images, std=st.floats(0.125, 2))
def test_dragan_of_a_quadratic_critic_is_around_real_data(a, real, std):
    keys = latents.row_keys(jax.random.key(3), jnp.arange(4))
    noise = np.stack([jax.random.normal(k, SHAPE) for k in keys]).astype(np.float64)
    expected = np.mean((norms(a * (real + std * noise)) - 1) ** 2)
    ours = penalties.dragan_penalty(quadratic(a), real, keys, std=std)
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


def test_dragan_noise_has_the_papers_moments():
    # For D(x) = ½ ‖x‖² at x = 0 the slope is ‖δ‖, so with target 0 the penalty is E‖δ‖² = 6 std².
    zeros = jnp.zeros((20_000, *SHAPE))
    value = penalties.dragan_penalty(
        quadratic(np.ones(SHAPE)), zeros, jax.random.key(0), std=0.5, target=0.0
    )
    np.testing.assert_allclose(value, 6 * 0.5**2, rtol=0.02)


def test_a_single_key_is_split_into_one_a_sample():
    critic = quadratic(np.linspace(0.5, 2, 6).reshape(SHAPE))
    real, fake = np.random.default_rng(0).normal(size=(2, 8, *SHAPE)).astype(np.float32)
    key = jax.random.key(0)
    single = penalties.gradient_penalty(critic, real, fake, key)
    split = penalties.gradient_penalty(critic, real, fake, jax.random.split(key, 8))
    assert single == split


@pytest.mark.parametrize("name", penalties.PENALTIES)
def test_gradients_in_parameters_match_the_closed_form(name):
    # D(x) = s w·x with ‖w‖ = 1 has slope |s|, so the two-sided penalties are (s − 1)²; R1 and R2 are ½ s².
    w = np.full(SHAPE, 1 / np.sqrt(6), np.float32)
    x = jnp.ones((4, *SHAPE))

    def value(s):
        return penalties.PENALTIES[name](lambda x: s * linear(w)(x), x, -x, jax.random.key(0))

    squared = name in ("r1", "r2")
    first, second, third = jax.grad(value), jax.grad(jax.grad(value)), jax.grad(jax.grad(jax.grad(value)))
    np.testing.assert_allclose(value(3.0), 4.5 if squared else 4.0, rtol=1e-5)
    np.testing.assert_allclose(first(3.0), 3.0 if squared else 4.0, rtol=1e-5)
    np.testing.assert_allclose(second(3.0), 1.0 if squared else 2.0, rtol=1e-5)
    np.testing.assert_allclose(third(3.0), 0.0, atol=1e-4)


@pytest.mark.parametrize("name", penalties.PENALTIES)
def test_third_derivatives_of_a_cubic_critic(name):
    # D(x) = s³ Σx / √6 has slope s³, so the penalties are polynomials in s with known derivatives.
    x = jnp.ones((4, *SHAPE))

    def value(s):
        def critic(x):
            return s**3 * jnp.sum(x, (1, 2, 3)) / jnp.sqrt(6.0)

        return penalties.PENALTIES[name](critic, x, -x, jax.random.key(0))

    third = jax.grad(jax.grad(jax.grad(value)))(1.2)
    # The penalties are (s³ − 1)² = s⁶ − 2 s³ + 1, and ½ s⁶ for R1 and R2.
    expected = 60 * 1.2**3 if name in ("r1", "r2") else 120 * 1.2**3 - 12
    np.testing.assert_allclose(third, expected, rtol=1e-4)


@pytest.mark.parametrize("name", penalties.PENALTIES)
def test_flat_critic_has_finite_derivatives(name):
    x = jnp.ones((4, *SHAPE))

    def value(s):
        return penalties.PENALTIES[name](lambda x: s * jnp.sum(x, (1, 2, 3)), x, -x, jax.random.key(0))

    for derivative in (value, jax.grad(value), jax.grad(jax.grad(value))):
        assert np.isfinite(derivative(0.0))


def test_patch_critic_is_summed():
    w = np.ones(SHAPE, np.float32)

    def patch(x):
        return jnp.stack([linear(w)(x), 2 * linear(w)(x)], axis=1)

    x = jnp.zeros((2, *SHAPE))
    np.testing.assert_allclose(penalties.r1_penalty(patch, x), 0.5 * 9 * 6, rtol=1e-6)


def test_rows_decide_the_draw_and_not_their_order():
    critic = quadratic(np.linspace(0.5, 2, 6).reshape(SHAPE))
    rng = np.random.default_rng(0)
    real, fake = rng.normal(size=(2, 8, *SHAPE)).astype(np.float32)
    keys = latents.row_keys(jax.random.key(0), jnp.arange(8))
    for penalty in (penalties.gradient_penalty, penalties.PENALTIES["dragan"]):
        whole = penalty(critic, real, fake, keys)
        halves = [penalty(critic, real[i : i + 4], fake[i : i + 4], keys[i : i + 4]) for i in (0, 4)]
        np.testing.assert_allclose(whole, np.mean(halves), rtol=1e-5)


def test_wrong_shapes_are_refused():
    x = jnp.ones((4, *SHAPE))
    with pytest.raises(AssertionError):
        penalties.gradient_penalty(linear(np.ones(SHAPE)), x, x[:2], jax.random.key(0))
    with pytest.raises(AssertionError):
        penalties.gradient_penalty(linear(np.ones(SHAPE)), x, x, jax.random.split(jax.random.key(0), 3))
