"""Tests of weight normalisation against its formula in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgan.layers.weight_norm import WeightNormDense


def samples(count, dim, seed=0):
    return np.random.default_rng(seed).normal(3.0, 2.0, (count, dim)).astype(np.float32)


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 9), st.integers(0, 99))
def test_it_is_the_formula(inputs, outputs, count, seed):
    rng = np.random.default_rng(seed)
    x = samples(count, inputs, seed)
    v, g, b = (rng.normal(size=shape) for shape in ((inputs, outputs), outputs, outputs))
    params = {"kernel": jnp.float32(v), "scale": jnp.float32(g), "bias": jnp.float32(b)}
    found = WeightNormDense(outputs).apply({"params": params}, x, False)
    expected = x.astype(np.float64) @ (g * v / np.linalg.norm(v, axis=0)) + b
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    longer = {**params, "kernel": 7 * params["kernel"]}
    same = WeightNormDense(outputs).apply({"params": longer}, x, False)
    np.testing.assert_allclose(same, found, rtol=1e-5, atol=1e-5)


def test_it_starts_with_the_moments_of_the_batch():
    layer, x = WeightNormDense(5), samples(40, 8)
    y, variables = layer.init_with_output(jax.random.key(0), x, True)
    np.testing.assert_allclose(np.mean(y, 0), 0, atol=1e-5)
    np.testing.assert_allclose(np.std(y, 0), 1, rtol=1e-5)
    other = layer.apply(variables, samples(40, 8, seed=1) + 1, True)  # Later batches are not normalised.
    assert np.max(np.abs(np.mean(other, 0))) > 0.1


@pytest.mark.parametrize(("count", "from_batch"), [(1, True), (40, False)])
def test_it_starts_with_one_and_zero_without_the_moments(count, from_batch):
    layer = WeightNormDense(5, from_batch=from_batch)
    variables = layer.init(jax.random.key(0), samples(count, 8), True)
    np.testing.assert_array_equal(variables["params"]["scale"], np.ones(5))
    np.testing.assert_array_equal(variables["params"]["bias"], np.zeros(5))


def test_a_fixed_scale_has_no_gradient():
    x = samples(4, 3)
    for train_scale in (False, True):
        layer = WeightNormDense(2, train_scale=train_scale)
        params = layer.init(jax.random.key(0), x, True)["params"]

        def loss(params, layer=layer):
            return jnp.sum(jnp.square(layer.apply({"params": params}, x, True) + 1))

        grads = jax.grad(loss)(params)
        assert np.any(grads["scale"]) == train_scale
        assert np.any(grads["kernel"])
        assert np.any(grads["bias"])
