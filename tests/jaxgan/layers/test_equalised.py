import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax import lax

from jaxgan import layers
from jaxgan.layers import equalised


def standard(shape, seed=0):
    return jax.random.normal(jax.random.key(seed), shape)


@pytest.mark.parametrize("lr_multiplier", [1.0, 0.01])
@pytest.mark.parametrize("gain", [math.sqrt(2), 1.0])
def test_parameters_start_standard_and_outputs_with_the_gain(gain, lr_multiplier):
    x = standard((256, 400), 1)
    module = equalised.EqualisedDense(400, gain=gain, lr_multiplier=lr_multiplier)
    variables = module.init(jax.random.key(0), x, True)
    kernel = variables["params"]["kernel"]
    np.testing.assert_allclose(kernel.std(), 1 / lr_multiplier, rtol=0.01)
    np.testing.assert_array_equal(variables["params"]["bias"], 0)
    np.testing.assert_allclose(module.apply(variables, x, True).std(), gain, rtol=0.02)


def test_a_leaky_relu_keeps_the_mean_square_of_a_deep_network():
    # Slope 0.2 keeps (1 + 0.04) / 2 of the mean square, which the gain √2 turns into 1.04 per layer.
    x = standard((128, 256), 1)
    for depth in range(10):
        module = equalised.EqualisedDense(256)
        x = jax.nn.leaky_relu(module.apply(module.init(jax.random.key(depth), x, True), x, True), 0.2)
    np.testing.assert_allclose(np.square(x).mean(), 1.04**10, rtol=0.15)


@pytest.mark.parametrize("lr_multiplier", [1.0, 0.01])
def test_a_dense_layer_by_numpy(lr_multiplier):
    x, bias = standard((5, 7)), standard((3,), 2)
    module = equalised.EqualisedDense(3, lr_multiplier=lr_multiplier)
    kernel = module.init(jax.random.key(0), x, True)["params"]["kernel"]
    y = module.apply({"params": {"kernel": kernel, "bias": bias}}, x, True)
    exact = np.float64(x) @ np.float64(kernel) * np.sqrt(2 / 7) * lr_multiplier + bias * lr_multiplier
    np.testing.assert_allclose(y, exact, atol=1e-5)


@pytest.mark.parametrize(("stride", "padding"), [(1, None), (2, None), (2, 0), (1, 1)])
def test_a_convolution_by_lax(stride, padding):
    x, bias = standard((2, 8, 6, 4)), standard((5,), 2)
    module = equalised.EqualisedConv(5, stride=stride, padding=padding, gain=1.0)
    kernel = module.init(jax.random.key(0), x, True)["params"]["kernel"]
    assert kernel.shape == (3, 3, 4, 5)
    y = module.apply({"params": {"kernel": kernel, "bias": bias}}, x, True)
    around = "SAME" if padding is None else [(padding, padding)] * 2
    numbers = ("NHWC", "HWIO", "NHWC")
    exact = lax.conv_general_dilated(x, kernel / 6, (stride, stride), around, dimension_numbers=numbers)
    np.testing.assert_allclose(y, exact + bias, atol=1e-5)


def test_it_is_a_plain_layer_whose_kernel_is_scaled():
    x = standard((2, 6, 6, 4))
    module = equalised.EqualisedConv(5)
    params = module.init(jax.random.key(0), x, True)["params"]
    scaled = {**params, "kernel": params["kernel"] * math.sqrt(2 / 36)}
    exact = layers.Conv(5, kernel_size=3).apply({"params": scaled}, x, True)
    np.testing.assert_allclose(module.apply({"params": params}, x, True), exact, atol=1e-6)


@pytest.mark.parametrize("lr_multiplier", [1.0, 0.01])
def test_adam_changes_layers_of_any_width_at_one_relative_speed(lr_multiplier):
    # A step of Adam changes each parameter by the learning rate. Relative to N(0, 1 / m²), this change is
    # rate · m.
    module = equalised.EqualisedDense(16, lr_multiplier=lr_multiplier)
    for width in (4, 400):
        x = standard((8, width), 1)
        params = module.init(jax.random.key(0), x, True)["params"]
        gradient = jax.grad(lambda p, x=x: jnp.sum(module.apply({"params": p}, x, True) ** 2))(params)
        tx = optax.adam(0.001, eps=1e-16)
        change = tx.update(gradient, tx.init(params))[0]["kernel"]
        relative = jnp.sqrt(jnp.mean(change**2) / jnp.mean(params["kernel"] ** 2))
        np.testing.assert_allclose(relative, 0.001 * lr_multiplier, rtol=0.3)


def test_a_bias_starts_where_it_is_told_to():
    x = jnp.zeros((2, 3))
    module = equalised.EqualisedDense(4, bias_init=1.0, lr_multiplier=0.5)
    variables = module.init(jax.random.key(0), x, True)
    np.testing.assert_allclose(module.apply(variables, x, True), 1.0)
    assert set(equalised.EqualisedDense(4, use_bias=False).init(jax.random.key(0), x, True)["params"]) == {
        "kernel"
    }


def test_derivatives_of_two_orders_match_lax():
    x, kernel, bias = standard((2, 5, 5, 3)), standard((3, 3, 3, 4), 1), standard((4,), 2)

    def ours(x, kernel, bias):
        params = {"kernel": kernel, "bias": bias}
        return equalised.EqualisedConv(4, lr_multiplier=0.1).apply({"params": params}, x, True)

    def theirs(x, kernel, bias):
        numbers = ("NHWC", "HWIO", "NHWC")
        scaled = kernel * (0.1 * math.sqrt(2 / 27))
        return lax.conv_general_dilated(x, scaled, (1, 1), "SAME", dimension_numbers=numbers) + 0.1 * bias

    def orders(f):
        def value(*arguments):
            return jnp.sum(jnp.sin(3 * f(*arguments)))

        def penalty(*arguments):
            return jnp.sum(jax.grad(value)(*arguments) ** 2)

        return [jax.jit(jax.grad(g, (0, 1, 2)))(x, kernel, bias) for g in (value, penalty)]

    for a, b in zip(jax.tree.leaves(orders(ours)), jax.tree.leaves(orders(theirs)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)


def test_bfloat16_activations_keep_float32_parameters():
    for module, x in (
        (equalised.EqualisedDense(4, dtype=jnp.bfloat16), standard((3, 5))),
        (equalised.EqualisedConv(4, dtype=jnp.bfloat16), standard((2, 4, 4, 5))),
    ):
        variables = module.init(jax.random.key(0), x, True)
        assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
        y = module.apply(variables, x, True)
        assert y.dtype == jnp.bfloat16
        exact = module.clone(dtype=jnp.float32).apply(variables, x, True)
        np.testing.assert_allclose(jnp.float32(y), exact, atol=0.05)
