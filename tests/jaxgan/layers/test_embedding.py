import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.layers import embedding

LABELS = jnp.array([3, 0, 3, 1])


def start(**fields):
    module = embedding.Embed(5, 7, **fields)
    return module, module.init(jax.random.key(0), LABELS, True)


def test_each_label_gives_its_row():
    module, variables = start()
    table = np.asarray(variables["params"]["kernel"])
    assert table.shape == (5, 7)
    for train in (True, False):
        np.testing.assert_array_equal(module.apply(variables, LABELS, train), table[np.asarray(LABELS)])


def test_derivatives_of_two_orders_are_those_of_a_product_with_one_hot_labels():
    module, variables = start()
    g = jax.random.normal(jax.random.key(1), (4, 7))

    def value(f, table):
        return jnp.sum(g * jnp.sin(f(table)))

    def penalty(f, table):
        return jnp.sum(jax.grad(lambda t: value(f, t))(table) ** 2)

    for h in (value, penalty):
        ours, theirs = (
            jax.grad(lambda t, f=f, h=h: h(f, t))(variables["params"]["kernel"])
            for f in (
                lambda table: module.apply({"params": {"kernel": table}}, LABELS, True),
                lambda table: jax.nn.one_hot(LABELS, 5) @ table,
            )
        )
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
        np.testing.assert_array_equal(ours[jnp.array([2, 4])], 0)  # classes that the batch does not contain


def test_the_initialiser_sees_classes_and_features():
    glorot = nn.initializers.glorot_uniform()
    module = embedding.Embed(200, 100, kernel_init=glorot)
    table = module.init(jax.random.key(0), LABELS, True)["params"]["kernel"]
    np.testing.assert_allclose(np.abs(table).max(), np.sqrt(6 / 300), rtol=0.01)
    np.testing.assert_allclose(table.std(), np.sqrt(2 / 300), rtol=0.02)


def test_a_spectral_table_is_divided_by_its_singular_value():
    module, variables = start(spectral=True)
    np.testing.assert_array_equal(variables["params"]["kernel"], start()[1]["params"]["kernel"])
    for _ in range(50):
        _, updated = module.apply(variables, LABELS, True, mutable=["spectral"])
        variables = {**variables, **updated}
    table = np.asarray(variables["params"]["kernel"])
    largest = np.linalg.svd(table, compute_uv=False)[0]
    for train in (True, False):
        y = module.apply(variables, LABELS, train)
        np.testing.assert_allclose(y, table[np.asarray(LABELS)] / largest, rtol=0.01)
    # The map from one-hot labels therefore has norm 1, whatever the table's scale.
    doubled = {**variables, "params": {"kernel": 2 * variables["params"]["kernel"]}}
    np.testing.assert_allclose(
        module.apply(doubled, LABELS, True), module.apply(variables, LABELS, True), rtol=1e-5
    )


def test_a_label_that_is_no_class_gives_nan():
    module, variables = start()
    y = module.apply(variables, jnp.array([5, 0]), True)
    assert np.isnan(y[0]).all()
    assert np.isfinite(y[1]).all()


@pytest.mark.parametrize("labels", [jnp.array([0.0, 1.0]), jnp.array([[0, 1]])])
def test_other_things_than_labels_are_refused(labels):
    module, variables = start()
    with pytest.raises(AssertionError):
        module.apply(variables, labels, True)


def test_bfloat16_vectors_from_a_float32_table():
    module, variables = start(dtype=jnp.bfloat16)
    assert variables["params"]["kernel"].dtype == jnp.float32
    y = module.apply(variables, LABELS, True)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(jnp.float32(y), variables["params"]["kernel"][LABELS], rtol=2**-8)
