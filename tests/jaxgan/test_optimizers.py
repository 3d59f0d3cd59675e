"""Optimisers of optax by name, and clipping of weights."""

import inspect

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from jaxgan import optimizers
from jaxgan.errors import SetupError

finite = st.floats(-1e3, 1e3, width=32)


@given(
    params=hnp.arrays(np.float32, 20, elements=finite),
    grads=hnp.arrays(np.float32, 20, elements=finite),
    bound=st.floats(1e-4, 10),
    rate=st.floats(1e-6, 100),
)
def test_clipped_weights_stay_in_the_interval_after_every_update(params, grads, bound, rate):
    tx = optimizers.build("sgd", learning_rate=rate, clip=bound)
    tree, state = {"w": jnp.asarray(params)}, tx.init({"w": params})
    for _ in range(3):
        updates, state = tx.update({"w": grads}, state, tree)
        tree = optax.apply_updates(tree, updates)
        assert np.abs(np.asarray(tree["w"], np.float64)).max() <= bound * (1 + 1e-7)
    inside = np.clip(params.astype(np.float64) - rate * grads.astype(np.float64), -bound, bound)
    first = optax.apply_updates(
        {"w": params}, tx.update({"w": grads}, tx.init({"w": params}), {"w": params})[0]
    )
    np.testing.assert_allclose(first["w"], inside, rtol=1e-5, atol=1e-4 * max(1, np.abs(params).max()))


def test_clipping_needs_parameters():
    tx = optimizers.clip_weights(0.1)
    with pytest.raises(ValueError, match="params"):
        tx.update({"w": jnp.ones(2)}, tx.init({"w": jnp.ones(2)}))


def test_the_table_has_the_optimisers_that_optax_exports():
    for name, make in optimizers.OPTIMIZERS.items():
        assert make is getattr(optax, name)
        assert next(iter(inspect.signature(make).parameters)) == "learning_rate"


def test_optax_optimisers_by_name():
    for name in ("adam", "adamw", "sgd", "rmsprop", "lion"):
        built = optimizers.build(name, learning_rate=0.1)
        plain = optimizers.OPTIMIZERS[name](0.1)
        grads, params = jnp.array([1.0, -2.0]), jnp.array([0.5, 0.25])
        ours, _ = built.update(grads, built.init(params), params)
        theirs, _ = plain.update(grads, plain.init(params), params)
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "adm", "learning_rate": 1e-3}, "unknown optimizer 'adm': did you mean 'adam'"),
        ({"name": "adam", "learning_rate": 1e-3, "beta1": 0.5}, "unknown adam argument 'beta1'.*'b1'"),
        ({"name": "adam"}, "learning_rate"),
        ({"name": "chain", "learning_rate": 1e-3}, "unknown optimizer 'chain'"),
        ({"name": "exp", "learning_rate": 1e-3}, "unknown optimizer 'exp'"),
    ],
)
def test_unknown_names_are_refused(options, message):
    with pytest.raises(SetupError, match=message):
        optimizers.build(**options)


def test_clipping_under_jit_rounds_inside():
    @jax.jit
    def step(p, u):
        tx = optimizers.clip_weights(0.01)
        return optax.apply_updates(p, tx.update(u, tx.init(p), p)[0])

    p = jnp.linspace(-1, 1, 100_003)
    assert np.abs(np.asarray(step(p, jnp.flip(p) * 3), np.float64)).max() <= 0.01


def test_bounds_and_rates_may_be_traced():
    def after_an_update(rate, bound):
        tx, params = optimizers.build("sgd", learning_rate=rate, clip=bound), jnp.float32(0.0)
        return optax.apply_updates(params, tx.update(jnp.float32(-1.0), tx.init(params), params)[0])

    rates, bounds = jnp.array([0.1, 0.1, 1.0]), jnp.array([0.05, 0.5, 0.5])
    np.testing.assert_allclose(jax.vmap(after_an_update)(rates, bounds), [0.05, 0.1, 0.5], rtol=1e-6)


# The updates of L-BFGS need the loss as well.
@pytest.mark.parametrize("name", sorted(set(optimizers.OPTIMIZERS) - {"lbfgs"}))
def test_every_number_of_an_optimiser_may_be_traced(name):
    parameters = inspect.signature(optimizers.OPTIMIZERS[name]).parameters
    numbers = [field for field, given in parameters.items() if isinstance(given.default, float)]
    params = {"w": jnp.ones((3, 2))}

    def update(values):
        tx = optimizers.build(name, **{"learning_rate": 1e-3, **values})
        return tx.update(params, tx.init(params), params)[0]

    # optax leaves a part out of the program if its number is 0, so that a number of 0 is never traced.
    values = {"learning_rate": 1e-3} | {field: parameters[field].default or 0.1 for field in numbers}
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4), jax.jit(update)(values), update(values)
    )
