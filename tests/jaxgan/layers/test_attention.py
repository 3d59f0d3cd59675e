import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.layers import attention


def standard(shape, seed=0):
    return jax.random.normal(jax.random.key(seed), shape)


X = standard((2, 4, 6, 16), 1)


def attend(gamma=0.7, **fields):
    """Returns a layer whose γ differs from its initial 0, and its variables."""
    module = attention.SelfAttention(**fields)
    variables = module.init(jax.random.key(0), X, True)
    return module, {**variables, "params": {**variables["params"], "gamma": jnp.float32(gamma)}}


def by_numpy(x, params, pool):
    """Evaluates SAGAN's formula in float64, query by query."""
    x = np.asarray(x, np.float64)
    gamma = float(params["gamma"])
    theta, phi, g, o = (
        np.asarray(params[n]["kernel"], np.float64)[0, 0] for n in ("theta", "phi", "g", "o")
    )
    out = np.empty_like(x)
    for b, image in enumerate(x):
        keys, values = image @ phi, image @ g
        if pool:
            keys, values = (
                np.max([y[i::2, j::2] for i in (0, 1) for j in (0, 1)], axis=0) for y in (keys, values)
            )
        keys, values = (y.reshape(-1, y.shape[-1]) for y in (keys, values))
        for i, j in np.ndindex(image.shape[:2]):
            logits = keys @ (image[i, j] @ theta)
            weights = np.exp(logits - logits.max())
            weights /= weights.sum()
            out[b, i, j] = image[i, j] + gamma * (weights @ values) @ o
    return out


@pytest.mark.parametrize("pool", [False, True])
def test_it_is_the_formula(pool):
    module, variables = attend(pool=pool)
    y = module.apply(variables, X, True)
    np.testing.assert_allclose(y, by_numpy(X, variables["params"], pool), atol=1e-5)


def test_it_has_the_papers_sizes_and_no_bias():
    shapes = jax.tree.map(jnp.shape, attend()[1]["params"])
    assert shapes == {
        "theta": {"kernel": (1, 1, 16, 2)},
        "phi": {"kernel": (1, 1, 16, 2)},
        "g": {"kernel": (1, 1, 16, 8)},
        "o": {"kernel": (1, 1, 8, 16)},
        "gamma": (),
    }


@pytest.mark.parametrize("pool", [False, True])
def test_it_starts_as_the_identity(pool):
    module = attention.SelfAttention(pool=pool)
    variables = module.init(jax.random.key(0), X, True)
    np.testing.assert_array_equal(module.apply(variables, X, True), X)
    gradient = jax.grad(lambda p: jnp.sum(module.apply({"params": p}, X, True) ** 2))(variables["params"])
    assert gradient["gamma"] != 0


def test_without_pooling_pixels_are_a_set():
    module, variables = attend(pool=False)
    order = np.random.default_rng(0).permutation(24)

    def permuted(x):
        return x.reshape(2, 24, 16)[:, order].reshape(x.shape)

    y = module.apply(variables, X, True)
    np.testing.assert_allclose(module.apply(variables, permuted(X), True), permuted(y), atol=1e-5)


@pytest.mark.parametrize("name", ["theta", "phi"])
def test_queries_or_keys_that_say_nothing_give_the_mean_value(name):
    module, variables = attend(pool=False)
    params = {**variables["params"], name: {"kernel": jnp.zeros((1, 1, 16, 2))}}
    y = module.apply({"params": params}, X, True)
    mean = (X @ params["g"]["kernel"][0, 0]).mean((1, 2), keepdims=True)
    np.testing.assert_allclose(
        y - X, np.broadcast_to(0.7 * mean @ params["o"]["kernel"][0, 0], X.shape), atol=1e-5
    )


def test_a_loud_key_is_the_only_one_heard():
    module, variables = attend(pool=False, gamma=1.0)
    params = jax.tree.map(jnp.zeros_like, variables["params"])
    # Channel 0 holds the queries, channel 1 the keys and channel 2 the values.
    for name, channel in (("theta", 0), ("phi", 1), ("g", 2)):
        params[name]["kernel"] = params[name]["kernel"].at[0, 0, channel, 0].set(1.0)
    params["o"]["kernel"] = params["o"]["kernel"].at[0, 0, 0, 3].set(1.0)
    params["gamma"] = jnp.float32(1.0)
    x = X.at[..., 0].set(100.0).at[..., 1].set(0.0).at[:, 2, 3, 1].set(1.0).at[..., 3].set(0.0)
    heard = module.apply({"params": params}, x, True)[..., 3]
    np.testing.assert_allclose(
        heard, np.broadcast_to(x[:, 2:3, 3:4, 2][..., 0][..., None], heard.shape), atol=1e-5
    )


def test_samples_do_not_see_each_other():
    module, variables = attend()
    y = module.apply(variables, X, True)
    np.testing.assert_allclose(module.apply(variables, X[1:], True), y[1:], atol=1e-6)


def test_max_pooling_is_flaxs():
    np.testing.assert_array_equal(attention.max_pool(X), nn.max_pool(X, (2, 2), (2, 2)))


@pytest.mark.slow
@pytest.mark.parametrize("pool", [False, True])
def test_derivatives_of_two_orders_by_finite_differences(pool):
    module, variables = attend(pool=pool)
    x, direction = X[:1, :2, :4], standard((1, 2, 4, 16), 5)

    def value(params, x):
        return jnp.sum(jnp.sin(module.apply({"params": params}, x, True)))

    def penalty(params, x):
        return jnp.sum(jax.grad(value, 1)(params, x) ** 2)

    with jax.enable_x64(True):
        params, x, direction = jax.tree.map(
            lambda a: jnp.asarray(np.asarray(a), jnp.float64), (variables["params"], x, direction)
        )
        module = module.clone(dtype=jnp.float64)
        steps = jax.tree.map(lambda a: jnp.asarray(np.random.default_rng(1).normal(size=a.shape)), params)
        for f in (value, penalty):
            gradient = jax.jit(jax.grad(f, (0, 1)))(params, x)
            pairs = zip(jax.tree.leaves(gradient), jax.tree.leaves((steps, direction)), strict=True)
            ours = sum(jnp.vdot(a, b) for a, b in pairs)
            ends = [
                f(jax.tree.map(lambda a, b, h=h: a + h * b, params, steps), x + h * direction)
                for h in (1e-4, -1e-4)
            ]
            # The softmax is float32, so differences over 2e-4 are accurate to about a thousandth.
            np.testing.assert_allclose(ours, (ends[0] - ends[1]) / 2e-4, rtol=5e-3)


def test_its_kernels_are_divided_by_their_singular_values():
    module, variables = attend(spectral=True)
    for _ in range(50):
        _, updated = module.apply(variables, X, True, mutable=["spectral"])
        variables = {**variables, **updated}
    params = dict(variables["params"])
    assert set(variables["spectral"]) == {"theta", "phi", "g", "o"}
    for name, state in variables["spectral"].items():
        kernel = params[name]["kernel"]
        largest = np.linalg.svd(np.asarray(kernel)[0, 0], compute_uv=False)[0]
        sigma = np.linalg.norm(np.asarray(kernel)[0, 0] @ state["u"])
        np.testing.assert_allclose(sigma, largest, rtol=0.01)
        params[name] = {"kernel": kernel / sigma}
    np.testing.assert_allclose(module.apply(variables, X, False), by_numpy(X, params, True), atol=1e-4)


def test_bfloat16_activations_keep_float32_parameters():
    module, variables = attend(dtype=jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    y = module.apply(variables, X, True)
    assert y.dtype == jnp.bfloat16
    exact = module.clone(dtype=jnp.float32).apply(variables, X, True)
    np.testing.assert_allclose(jnp.float32(y), exact, atol=0.05)
