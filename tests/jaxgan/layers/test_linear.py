import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import layers
from jaxgan.ops import batch_norm, resample


def standard(shape, seed=0):
    return jax.random.normal(jax.random.key(seed), shape)


@pytest.mark.slow
@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("spectral", [False, True])
def test_one_convolution_does_for_two_steps(size, spectral):
    x = standard((2, 6, 4, 5))
    plain = layers.Conv(7, kernel_size=size, spectral=spectral)
    variables = plain.init(jax.random.key(1), x, True)
    upsampled = plain.apply(variables, resample.upsample_nearest(x), False)
    np.testing.assert_allclose(
        layers.UpsampleConv(7, kernel_size=size, spectral=spectral).apply(variables, x, False),
        upsampled,
        atol=2e-6,
    )
    pooled = resample.mean_pool(plain.apply(variables, x, False))
    np.testing.assert_allclose(
        layers.ConvMeanPool(7, kernel_size=size, spectral=spectral).apply(variables, x, False),
        pooled,
        atol=2e-6,
    )


@pytest.mark.parametrize("sides", [(2, 64), (64, 2), (2, 2), (3, 5)])
def test_a_dense_layer_and_its_derivatives_by_numpy(sides):
    inputs, outputs = sides
    x, w, g = standard((32, inputs)), standard(sides, 1), standard((32, outputs), 2)
    y, pull = jax.vjp(layers.multiply, x, w)
    (dx, dw), (x64, w64, g64) = pull(g), (np.asarray(a, np.float64) for a in (x, w, g))
    for ours, exact in ((y, x64 @ w64), (dx, g64 @ w64.T), (dw, x64.T @ g64)):
        np.testing.assert_allclose(ours, exact, rtol=0, atol=2e-6 * np.abs(exact).max())
    # As in a gradient penalty, we differentiate ½‖∂/∂x Σ (x W)²‖² = 2 ‖x W Wᵀ‖² with respect to W.
    squares = jax.grad(lambda x, w: jnp.sum(layers.multiply(x, w) ** 2))
    second = jax.grad(lambda w: 0.5 * jnp.sum(squares(x, w) ** 2))(w)
    t = x64 @ w64 @ w64.T
    exact = 4 * (x64.T @ t @ w64 + t.T @ x64 @ w64)
    np.testing.assert_allclose(second, exact, rtol=0, atol=1e-5 * np.abs(exact).max())


def test_a_transposed_kernel_is_stored_the_other_way_round_and_starts_by_what_comes_in():
    module = layers.ConvTranspose(8, kernel_init=nn.initializers.lecun_normal())
    kernel = module.init(jax.random.key(0), jnp.zeros((1, 2, 2, 512)), True)["params"]["kernel"]
    assert kernel.shape == (4, 4, 8, 512)
    np.testing.assert_allclose(kernel.std(), 1 / np.sqrt(4 * 4 * 512), rtol=0.02)


def test_upsampling_and_pooling_by_numpy():
    x = np.asarray(standard((2, 4, 6, 3)))
    np.testing.assert_array_equal(resample.upsample_nearest(x), x.repeat(2, 1).repeat(2, 2))
    windows = [x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]
    np.testing.assert_allclose(resample.mean_pool(x), sum(windows) / 4, rtol=1e-6)


def test_batch_norm_is_flaxs():
    x, scale, bias = 2 * standard((8, 5, 5, 4)) + 1, standard((4,), 1), standard((4,), 2)
    theirs = nn.BatchNorm(use_running_average=False, momentum=0.9, epsilon=1e-5)
    start = {"mean": jnp.zeros(4), "var": jnp.ones(4)}

    def flax_norm(x, scale, bias):
        variables = {"params": {"scale": scale, "bias": bias}, "batch_stats": start}
        return theirs.apply(variables, x, mutable=["batch_stats"])

    def first(f, *arguments):
        return jnp.sum(jnp.sin(f(*arguments)))

    def second(f, *arguments):
        gradients = jax.grad(lambda *a: first(f, *a), (0, 1, 2))(*arguments)
        return sum(jnp.sum(jnp.sin(g)) for g in gradients)

    def results(f):
        gradients = [jax.grad(lambda *a, g=g: g(f, *a), (0, 1, 2))(x, scale, bias) for g in (first, second)]
        return f(x, scale, bias), gradients

    ours = jax.tree.leaves(results(lambda x, scale, bias: batch_norm.batch_norm(x, scale, bias, 1e-5)[0]))
    expected = jax.tree.leaves(results(lambda *arguments: flax_norm(*arguments)[0]))
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)

    module = layers.BatchNorm()
    variables = {"params": {"scale": scale, "bias": bias}, "batch_stats": start}
    _, updated = module.apply(variables, x, True, mutable=["batch_stats"])
    for name, value in flax_norm(x, scale, bias)[1]["batch_stats"].items():
        np.testing.assert_allclose(updated["batch_stats"][name], value, rtol=1e-5)
    stored = nn.BatchNorm(use_running_average=True, epsilon=1e-5).apply(
        {"params": variables["params"], **updated}, x
    )
    np.testing.assert_allclose(
        module.apply({"params": variables["params"], **updated}, x, False), stored, rtol=1e-5, atol=1e-5
    )


def test_batch_norms_moments_carry_no_gradient():
    x = standard((8, 4))
    gradient = jax.grad(
        lambda x: sum(map(jnp.sum, batch_norm.batch_norm(x, jnp.ones(4), jnp.ones(4), 1e-5)[1:]))
    )(x)
    np.testing.assert_array_equal(gradient, 0)
