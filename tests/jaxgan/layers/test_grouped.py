import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from jaxgan import layers
from jaxgan.errors import SetupError
from jaxgan.layers import grouped
from jaxgan.ops import conv


def operands(geometry, groups, inputs, outputs, seed=0):
    """Returns images, a kernel and outputs, given the numbers of channels per group."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(2, *geometry.size, groups * inputs))
    w = rng.normal(size=(*geometry.kernel, inputs, groups * outputs))
    y = rng.normal(size=(2, *geometry.out, groups * outputs))
    return [a.astype(np.float32) for a in (x, w / np.sqrt(np.prod(geometry.kernel) * inputs), y)]


def reference(x, w, geometry, groups):
    """Computes XLA's own grouped convolution, which is differentiated by JAX's own rules."""
    return lax.conv_general_dilated(
        x,
        w,
        (geometry.stride,) * 2,
        geometry.padding,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


def close(ours, theirs, tolerance=1e-5):
    scale = max(float(np.abs(theirs).max()), 1e-3)
    np.testing.assert_allclose(np.asarray(ours) / scale, np.asarray(theirs) / scale, atol=tolerance)


forward = jax.jit(grouped.grouped_conv, static_argnums=(2, 3))


@given(
    size=st.tuples(st.integers(3, 8), st.integers(3, 8)),
    kernel=st.sampled_from([1, 3, 4]),
    stride=st.integers(1, 2),
    groups=st.sampled_from([1, 2, 3, 8]),
    inputs=st.sampled_from([1, 3, 16, 40]),
    outputs=st.sampled_from([1, 2, 16]),
)
@settings(max_examples=12)
def test_each_group_is_a_convolution_of_its_own(size, kernel, stride, groups, inputs, outputs):
    geometry = conv.same(size, (kernel, kernel), stride)
    x, w, _ = operands(geometry, groups, inputs, outputs)
    parts = [
        reference(a, b, geometry, 1)
        for a, b in zip(np.split(x, groups, 3), np.split(w, groups, 3), strict=True)
    ]
    ours = forward(x, w, geometry, groups)
    close(ours, np.concatenate(parts, 3))
    close(ours, reference(x, w, geometry, groups))


@pytest.mark.parametrize(
    ("kernel", "stride", "groups", "inputs", "outputs"),
    [
        (3, 1, 8, 16, 16),  # as in R3GAN: two blocks of four groups
        (3, 1, 3, 5, 2),
        (4, 2, 2, 3, 6),
        (3, 1, 6, 1, 1),  # depthwise
        (3, 2, 2, 72, 4),  # groups wider than a block
    ],
)
def test_derivatives_of_two_orders_match_lax(kernel, stride, groups, inputs, outputs):
    geometry = conv.same((6, 5), (kernel, kernel), stride)
    x, w, y = operands(geometry, groups, inputs, outputs)

    def orders(f):
        def value(x, w):
            return jnp.sum(jnp.sin(f(x, w)) * y)

        def penalty(x, w):
            gradient = jax.grad(value)(x, w)
            return jnp.mean(jnp.sqrt(jnp.sum(gradient**2, (1, 2, 3)) + 1e-6))

        return [jax.jit(jax.grad(g, (0, 1)))(x, w) for g in (value, penalty)]

    ours = orders(lambda x, w: grouped.grouped_conv(x, w, geometry, groups))
    theirs = orders(lambda x, w: reference(x, w, geometry, groups))
    for gradient, expected in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        close(gradient, expected, 2e-5)


def test_no_order_of_derivative_leaves_the_products_on_cpu():
    geometry = conv.same((8, 8), (3, 3), 1)
    x, w, _ = operands(geometry, 4, 16, 16)

    def penalty(w):
        f = functools.partial(grouped.grouped_conv, geometry=geometry, groups=4)
        return jnp.sum(jax.grad(lambda x: jnp.sum(f(x, w) ** 2))(x) ** 2)

    text = jax.jit(jax.grad(penalty)).lower(w).as_text()
    assert "stablehlo.dot_general" in text
    assert "stablehlo.convolution" not in text


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
def test_other_platforms_keep_xlas_grouped_convolution(platform):
    geometry = conv.same((8, 8), (3, 3), 1)
    x, w, _ = operands(geometry, 4, 16, 16)
    text = forward.trace(x, w, geometry, 4).lower(lowering_platforms=(platform,)).as_text()
    assert "feature_group_count = 4" in text


@pytest.mark.parametrize(
    ("groups", "inputs", "expected"), [(16, 16, (4, 4)), (3, 48, (3, 1)), (2, 100, (2, 1))]
)
def test_blocks_hold_up_to_64_channels(groups, inputs, expected):
    geometry = conv.same((8, 8), (3, 3), 1)._replace(groups=groups)
    assert conv._blocks(geometry, inputs) == expected


@pytest.mark.parametrize("stride", [1, 2])
def test_the_layer_is_flaxs(stride):
    x = jax.random.normal(jax.random.key(1), (2, 6, 6, 8))
    module = grouped.GroupedConv(12, kernel_size=3, stride=stride, groups=4)
    variables = module.init(jax.random.key(0), x, True)
    assert variables["params"]["kernel"].shape == (3, 3, 2, 12)
    y = module.apply(variables, x, True)
    geometry = conv.same((6, 6), (3, 3), stride)
    close(y, reference(x, variables["params"]["kernel"], geometry, 4))
    assert y.shape == (2, 6 // stride, 6 // stride, 12)


def test_a_group_does_not_see_the_others():
    x = jax.random.normal(jax.random.key(1), (2, 4, 4, 6))
    module = grouped.GroupedConv(6, groups=3)
    variables = module.init(jax.random.key(0), x, True)
    y, other = (module.apply(variables, a, True) for a in (x, x.at[..., 2:4].set(5.0)))
    np.testing.assert_array_equal(y[..., :2], other[..., :2])
    np.testing.assert_array_equal(y[..., 4:], other[..., 4:])
    assert not np.allclose(y[..., 2:4], other[..., 2:4])


def test_one_group_is_a_plain_convolution():
    x = jax.random.normal(jax.random.key(1), (2, 4, 4, 6))
    plain = layers.Conv(5, kernel_size=3)
    variables = plain.init(jax.random.key(0), x, True)
    np.testing.assert_array_equal(
        grouped.GroupedConv(5, kernel_size=3).apply(variables, x, True), plain.apply(variables, x, True)
    )


def test_groups_that_do_not_divide_are_refused():
    with pytest.raises(SetupError, match="groups 4 must divide 6 inputs and 8 features"):
        grouped.GroupedConv(8, groups=4).init(jax.random.key(0), jnp.ones((1, 4, 4, 6)), True)


def test_bfloat16_activations_keep_float32_parameters():
    x = jax.random.normal(jax.random.key(1), (2, 4, 4, 8))
    module = grouped.GroupedConv(8, groups=2, dtype=jnp.bfloat16)
    variables = module.init(jax.random.key(0), x, True)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
    y = module.apply(variables, x, True)
    assert y.dtype == jnp.bfloat16
    exact = module.clone(dtype=jnp.float32).apply(variables, x, True)
    np.testing.assert_allclose(jnp.float32(y), exact, atol=0.05)
