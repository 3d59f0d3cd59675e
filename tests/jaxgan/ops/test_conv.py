import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from jaxgan.ops import conv, winograd

# These lie on both sides of the threshold: few channels are one product, many use minimal filtering.
CHANNELS = (1, 3, 16, 40)


def explicit(size, kernel, stride, low, high):
    return conv.Geometry(size, (kernel, kernel), stride, ((low, high), (high, low)))


# Under jit there is one compilation per shape instead of one per operation.
forward, transpose, correlate = (
    jax.jit(function, static_argnums=2) for function in (conv.conv, conv.transpose, conv.correlate)
)


def fits(geometry):
    return min(geometry.out) >= 1


sizes = st.tuples(st.integers(3, 11), st.integers(3, 11))
geometries = st.one_of(
    st.builds(
        lambda size, kernel, stride: conv.same(size, (kernel, kernel), stride),
        sizes,
        st.sampled_from([1, 2, 3, 4, 5, 7]),
        st.integers(1, 3),
    ),
    st.builds(
        explicit,
        sizes,
        st.sampled_from([1, 3, 4, 5, 7]),
        st.integers(1, 2),
        st.integers(0, 3),
        st.integers(0, 3),
    ).filter(fits),
)


def operands(geometry, seed=0, batch=2, inputs=3, outputs=4):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(batch, *geometry.size, inputs))
    w = rng.normal(size=(*geometry.kernel, inputs, outputs)) / np.sqrt(np.prod(geometry.kernel) * inputs)
    y = rng.normal(size=(batch, *geometry.out, outputs))
    return [array.astype(np.float32) for array in (x, w, y)]


def convolve_by_hand(x, w, geometry):
    """Evaluates the definition in float64 with loops over output pixels."""
    (kh, kw), s = geometry.kernel, geometry.stride
    padded = np.pad(x.astype(np.float64), ((0, 0), *geometry.padding, (0, 0)))
    height, width = geometry.out
    out = np.empty((len(x), height, width, w.shape[3]))
    for i in range(height):
        for j in range(width):
            patch = padded[:, i * s : i * s + kh, j * s : j * s + kw]
            out[:, i, j] = np.einsum("bhwi,hwio->bo", patch, w)
    return out


def reference(x, w, geometry):
    """Computes XLA's own convolution, which is differentiated by JAX's own rules."""
    strides = (geometry.stride,) * 2
    return lax.conv_general_dilated(
        x, w, strides, geometry.padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def close(ours, theirs, tolerance=1e-5):
    scale = max(float(np.abs(theirs).max()), 1e-3)
    np.testing.assert_allclose(np.asarray(ours) / scale, np.asarray(theirs) / scale, atol=tolerance)


@pytest.mark.parametrize(("size", "stride"), [((8, 7), 1), ((8, 7), 2), ((9, 5), 3)])
@pytest.mark.parametrize("kernel", [1, 3, 4, 5])
def test_same_padding_gives_ceil(size, stride, kernel):
    geometry = conv.same(size, (kernel, kernel), stride)
    assert geometry.out == tuple(-(-side // stride) for side in size)


@settings(max_examples=15)
@given(geometries, st.sampled_from(CHANNELS), st.sampled_from(CHANNELS), st.integers(0, 99))
def test_forward_is_the_definition(geometry, inputs, outputs, seed):
    x, w, _ = operands(geometry, seed, inputs=inputs, outputs=outputs)
    close(forward(x, w, geometry), convolve_by_hand(x, w, geometry))


@settings(max_examples=10)
@given(geometries, st.sampled_from(CHANNELS), st.sampled_from(CHANNELS), st.integers(0, 99))
def test_transposes_match_lax(geometry, inputs, outputs, seed):
    x, w, y = operands(geometry, seed, inputs=inputs, outputs=outputs)
    for name, ours in (("transpose", transpose), ("correlate", correlate)):
        theirs, arguments = by_lax(name, geometry, x, w, y)
        close(ours(*arguments, geometry), jax.jit(theirs)(*arguments))


@settings(max_examples=8)
@given(geometries, st.sampled_from(CHANNELS), st.sampled_from(CHANNELS), st.integers(0, 99))
def test_gradient_of_the_gradients_norm_matches_lax(geometry, inputs, outputs, seed):
    x, w, y = operands(geometry, seed, inputs=inputs, outputs=outputs)

    def penalty(f, x, w):
        gradient = jax.grad(lambda x: jnp.sum(jnp.sin(f(x, w)) * y))(x)
        return jnp.mean(jnp.sqrt(jnp.sum(gradient**2, (1, 2, 3)) + 1e-6))

    def both(f):
        return jax.jit(jax.grad(lambda x, w: penalty(f, x, w), (0, 1)))(x, w)

    ours = both(lambda x, w: conv.conv(x, w, geometry))
    theirs = both(lambda x, w: reference(x, w, geometry))
    for gradient, expected in zip(ours, theirs, strict=True):
        close(gradient, expected)


def test_reflect_padding_is_padding_first():
    geometry = conv.Geometry((14, 12), (7, 7), 1, ((0, 0), (0, 0)))
    x, w, _ = operands(conv.Geometry((8, 6), (7, 7), 1, ((3, 3), (3, 3))))
    assert geometry.out == x.shape[1:3]
    reflected = np.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0)), mode="reflect")
    ours = conv.conv(jnp.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0)), mode="reflect"), w, geometry)
    close(ours, convolve_by_hand(reflected, w, geometry))


def by_lax(name, geometry, x, w, y):
    """Returns one of the three maps by XLA's convolution and JAX's own rules, and its arguments."""
    forward = functools.partial(reference, geometry=geometry)
    if name == "conv":
        return forward, (x, w)
    if name == "transpose":
        return lambda y, w: jax.vjp(lambda x: forward(x, w), jnp.zeros_like(x))[1](y)[0], (y, w)
    return lambda x, y: jax.vjp(lambda w: forward(x, w), jnp.zeros_like(w))[1](y)[0], (x, y)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["conv", "transpose", "correlate"])
@pytest.mark.parametrize(
    ("size", "kernel", "stride", "channels"),
    [((8, 6), 4, 2, 3), ((8, 6), 4, 2, 16), ((7, 7), 3, 1, 3), ((4, 4), 3, 1, 64), ((9, 5), 5, 3, 4)],
)
def test_derivatives_of_three_orders_match_lax(name, size, kernel, stride, channels):
    geometry = conv.same(size, (kernel, kernel), stride)
    x, w, y = operands(geometry, inputs=channels)
    theirs, arguments = by_lax(name, geometry, x, w, y)
    ours = functools.partial(getattr(conv, name), geometry=geometry)

    def orders(f):
        def value(a, b):
            return jnp.sum(jnp.sin(f(a, b)))

        def penalty(a, b):
            # As in a gradient penalty, a function of the gradient is differentiated again.
            return sum(jnp.sum(jnp.sin(g)) for g in jax.grad(value, (0, 1))(a, b))

        def third(a, b):
            return sum(jnp.sum(g**2) for g in jax.grad(penalty, (0, 1))(a, b))

        return [jax.jit(jax.grad(g, (0, 1)))(*arguments) for g in (value, penalty, third)]

    for order_ours, order_theirs in zip(orders(ours), orders(theirs), strict=True):
        for gradient, expected in zip(order_ours, order_theirs, strict=True):
            close(gradient, expected, 2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("channels", [3, 16])
def test_vmapped_kernels_match_a_loop(channels):
    geometry = conv.same((6, 6), (4, 4), 2)
    x, w, y = operands(geometry, inputs=channels)
    ws = np.stack([w, 2 * w, -w])
    for f, a in ((conv.conv, x), (conv.transpose, y)):
        batched = jax.vmap(lambda w, f=f, a=a: f(a, w, geometry))(ws)
        close(batched, np.stack([f(a, w, geometry) for w in ws]))


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (4, 2), (5, 2), (4, 1), (5, 1), (7, 2)])
def test_no_order_of_derivative_leaves_the_products_on_cpu(kernel, stride):
    # XLA's CPU backend has no fast kernel for most convolutions that result from differentiation.
    geometry = conv.same((8, 8), (kernel, kernel), stride)
    x, w, _ = operands(geometry, inputs=16, outputs=16)

    def penalty(w):
        return jnp.sum(jax.grad(lambda x: jnp.sum(conv.conv(x, w, geometry) ** 2))(x) ** 2)

    text = jax.jit(jax.grad(penalty)).lower(w).as_text()
    assert "stablehlo.dot_general" in text
    assert "stablehlo.convolution" not in text


def test_minimal_filtering_saves_multiplications():
    geometry = conv.same((16, 16), (4, 4), 2)
    x, w, _ = operands(geometry, batch=8, inputs=64, outputs=64)
    jaxpr = jax.make_jaxpr(
        lambda x, w: winograd.conv(
            x, w, winograd.Tiling(geometry.size, geometry.kernel, 2, (1, 1), geometry.out, 2)
        )
    )(x, w)
    products = sum(
        equation.outvars[0].aval.size * equation.invars[0].aval.shape[1]
        for equation in jaxpr.jaxpr.eqns
        if equation.primitive.name == "dot_general"
    )
    assert products * 16 == 8 * 8 * 8 * 16 * 64 * 64 * 9  # 9 instead of the definition's 16


@pytest.mark.slow
@pytest.mark.parametrize("kernel", [(1, 7), (7, 1), (1, 3), (3, 5)])
def test_minimal_filtering_of_oblong_kernels_and_its_transposes(kernel):
    padding = tuple((side // 2, side // 2) for side in kernel)
    geometry = conv.Geometry((9, 11), kernel, 1, padding)
    x, w, y = operands(geometry, inputs=8)
    tiling = winograd.Tiling(geometry.size, kernel, 1, (padding[0][0], padding[1][0]), geometry.out, 2)
    close(winograd.conv(x, w, tiling), convolve_by_hand(x, w, geometry))
    for name, ours in (("transpose", winograd.transpose), ("correlate", winograd.correlate)):
        theirs, arguments = by_lax(name, geometry, x, w, y)
        close(ours(*arguments, tiling), theirs(*arguments))


def test_a_direction_of_one_tap_is_not_cut_up():
    tiling = winograd.Tiling((9, 11), (1, 7), 1, (0, 3), (9, 11), 2)
    assert (tiling.sides, tiling.tiles) == ((1, 8), (9, 6))


@pytest.mark.parametrize(("m", "r"), [(1, 1), (1, 3), (2, 2), (2, 3), (2, 4), (2, 5), (4, 3), (2, 7)])
def test_minimal_filters_filter(m, r):
    a, g, b = (np.array(matrix) for matrix in winograd.matrices(m, r))
    rng = np.random.default_rng(0)
    taps, signal = rng.normal(size=r), rng.normal(size=m + r - 1)
    ours = a.T @ ((g @ taps) * (b @ signal))
    np.testing.assert_allclose(ours, np.correlate(signal, taps, "valid"), rtol=1e-12, atol=1e-12)


def test_other_platforms_and_types_keep_xlas_convolution():
    geometry = conv.same((8, 8), (3, 3), 1)
    x, w, _ = operands(geometry, inputs=16, outputs=16)
    lowered = jax.jit(lambda x, w: conv.conv(x, w, geometry)).trace(x, w)
    assert "stablehlo.convolution" in lowered.lower(lowering_platforms=("cuda",)).as_text()
    assert "stablehlo.convolution" in lowered.lower(lowering_platforms=("tpu",)).as_text()
    half = jax.jit(lambda x, w: conv.conv(x, w, geometry)).lower(jnp.bfloat16(x), jnp.bfloat16(w))
    assert "stablehlo.convolution" in half.as_text()
