import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax import lax

from jaxgan import conv

geometries = st.builds(
    lambda height, width, kernel, stride: conv.same((height, width), (kernel, kernel), stride),
    st.integers(3, 9),
    st.integers(3, 9),
    st.integers(1, 5),
    st.integers(1, 3),
)


def out_size(geometry):
    return tuple(-(-side // geometry.stride) for side in geometry.size)


def operands(geometry, seed=0, batch=2, inputs=3, outputs=4):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(batch, *geometry.size, inputs))
    w = rng.normal(size=(*geometry.kernel, inputs, outputs))
    y = rng.normal(size=(batch, *out_size(geometry), outputs))
    return [array.astype(np.float32) for array in (x, w, y)]


def convolve_by_hand(x, w, geometry):
    """The definition, in float64 loops over output pixels."""
    (kh, kw), s = geometry.kernel, geometry.stride
    padded = np.pad(x.astype(np.float64), ((0, 0), *geometry.padding, (0, 0)))
    height, width = out_size(geometry)
    out = np.empty((len(x), height, width, w.shape[3]))
    for i in range(height):
        for j in range(width):
            patch = padded[:, i * s : i * s + kh, j * s : j * s + kw]
            out[:, i, j] = np.einsum("bhwi,hwio->bo", patch, w)
    return out


def reference(x, w, geometry):
    """XLA's own convolution, differentiated by JAX's own rules."""
    strides = (geometry.stride,) * 2
    return lax.conv_general_dilated(
        x, w, strides, geometry.padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def close(ours, theirs, tolerance=1e-5):
    scale = max(float(np.abs(theirs).max()), 1e-3)
    np.testing.assert_allclose(np.asarray(ours) / scale, np.asarray(theirs) / scale, atol=tolerance)


@given(geometry=geometries, seed=st.integers(0, 99))
def test_forward_is_the_definition(geometry, seed):
    x, w, _ = operands(geometry, seed)
    close(conv.conv(x, w, geometry), convolve_by_hand(x, w, geometry))


@given(geometry=geometries, seed=st.integers(0, 99))
def test_three_readings_of_one_form(geometry, seed):
    x, w, y = operands(geometry, seed)
    forward = np.vdot(convolve_by_hand(x, w, geometry), y)
    np.testing.assert_allclose(np.vdot(x, conv.transpose(y, w, geometry)), forward, rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(np.vdot(w, conv.correlate(x, y, geometry)), forward, rtol=1e-4, atol=1e-3)


def by_lax(name, geometry, x, w, y):
    """The three maps from XLA's convolution and JAX's own rules alone."""
    forward = functools.partial(reference, geometry=geometry)
    if name == "conv":
        return forward, (x, w)
    if name == "transpose":
        return lambda y, w: jax.vjp(lambda x: forward(x, w), jnp.zeros_like(x))[1](y)[0], (y, w)
    return lambda x, y: jax.vjp(lambda w: forward(x, w), jnp.zeros_like(w))[1](y)[0], (x, y)


@pytest.mark.parametrize("name", ["conv", "transpose", "correlate"])
@pytest.mark.parametrize(("size", "kernel", "stride"), [((8, 6), 4, 2), ((7, 7), 3, 1), ((9, 5), 5, 3)])
def test_derivatives_of_three_orders_match_lax(name, size, kernel, stride):
    geometry = conv.same(size, (kernel, kernel), stride)
    x, w, y = operands(geometry)
    theirs, arguments = by_lax(name, geometry, x, w, y)
    ours = functools.partial(getattr(conv, name), geometry=geometry)

    def orders(f):
        def value(a, b):
            return jnp.sum(jnp.sin(f(a, b)))

        def penalty(a, b):  # as in a gradient penalty: a function of the gradient, differentiated again
            return sum(jnp.sum(jnp.sin(g)) for g in jax.grad(value, (0, 1))(a, b))

        def third(a, b):
            return sum(jnp.sum(g**2) for g in jax.grad(penalty, (0, 1))(a, b))

        return [jax.jit(jax.grad(g, (0, 1)))(*arguments) for g in (value, penalty, third)]

    for order_ours, order_theirs in zip(orders(ours), orders(theirs), strict=True):
        for gradient, expected in zip(order_ours, order_theirs, strict=True):
            close(gradient, expected, 2e-5)


def test_vmapped_kernels_match_a_loop():
    geometry = conv.same((6, 6), (4, 4), 2)
    x, w, y = operands(geometry)
    ws = np.stack([w, 2 * w, -w])
    for f, a in ((conv.conv, x), (conv.transpose, y)):
        batched = jax.vmap(lambda w, f=f, a=a: f(a, w, geometry))(ws)
        close(batched, np.stack([f(a, w, geometry) for w in ws]))


def test_no_gradient_of_a_transposed_convolution_dilates_both_sides():
    # The slow form on CPU: the kernel gradient of an input-dilated convolution, itself a convolution with
    # a dilated input *and* contracting over the batch. In ours, whatever contracts over the batch has
    # no input dilation.
    geometry = conv.same((8, 8), (4, 4), 2)
    _, w, y = operands(geometry)
    jaxpr = jax.make_jaxpr(jax.grad(lambda w: jnp.sum(conv.transpose(y, w, geometry) ** 2)))(w)
    batch_contracting = []

    def walk(jaxpr):
        for equation in jaxpr.eqns:
            if equation.primitive.name == "conv_general_dilated":
                parameters = equation.params
                if parameters["dimension_numbers"].lhs_spec[0] != 0:
                    batch_contracting.append(parameters["lhs_dilation"])
            for value in equation.params.values():
                if hasattr(value, "eqns") or hasattr(value, "jaxpr"):
                    walk(getattr(value, "jaxpr", value))

    walk(jaxpr.jaxpr)
    assert batch_contracting == [(1, 1)]
