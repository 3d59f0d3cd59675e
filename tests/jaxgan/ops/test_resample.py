import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgan.ops import resample

KERNELS = [resample.BINOMIAL, resample.SMOOTH]
kernels = pytest.mark.parametrize("kernel", KERNELS)


def images(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def upfirdn(x, kernel, up=1, down=1, padding=(0, 0), gain=1.0):
    """Evaluates the definition with one K × K filter.

    Zeros are inserted after every pixel, the image is padded and filtered, and every ``down``-th pixel is
    kept.
    """
    b, h, w, c = x.shape
    before, after = padding
    padded = np.zeros((b, h * up + before + after, w * up + before + after, c))
    padded[:, before : before + h * up : up, before : before + w * up : up] = x
    taps = np.outer(kernel, kernel).astype(np.float64)
    taps *= gain / taps.sum()
    k = len(kernel)
    out = np.zeros((b, padded.shape[1] - k + 1, padded.shape[2] - k + 1, c))
    for i in range(out.shape[1]):
        for j in range(out.shape[2]):
            out[:, i, j] = np.einsum("bhwc,hw->bc", padded[:, i : i + k, j : j + k], taps)
    return out[:, ::down, ::down]


# Under jit there is one compilation per shape instead of one per operation.
blur, upsample, downsample = (
    jax.jit(function, static_argnames="kernel")
    for function in (resample.blur, resample.upsample, resample.downsample)
)
shapes = st.tuples(st.integers(1, 2), st.integers(4, 9), st.integers(4, 9), st.integers(1, 3))


@given(shape=shapes, kernel=st.sampled_from([*KERNELS, (1, 1), (1, 4, 6, 4, 1)]), seed=st.integers(0, 99))
@settings(max_examples=12)
def test_all_three_are_the_definition(shape, kernel, seed):
    x, k = images(shape, seed), len(kernel)
    blurred = upfirdn(x, kernel, padding=(k // 2, (k - 1) // 2))
    np.testing.assert_allclose(blur(x, kernel), blurred, atol=1e-5)
    # The paddings are those of StyleGAN2's upsample_2d and downsample_2d.
    p = k - 2
    upsampled = upfirdn(x, kernel, up=2, padding=((p + 1) // 2 + 1, p // 2), gain=4)
    np.testing.assert_allclose(upsample(x, kernel), upsampled, atol=1e-5)
    downsampled = upfirdn(x, kernel, down=2, padding=((p + 1) // 2, p // 2))
    np.testing.assert_allclose(downsample(x, kernel), downsampled, atol=1e-5)


@pytest.mark.parametrize("padding", [(0, 0), (1, 1), (2, 2)])
def test_blurs_of_other_paddings_and_gains(padding):
    x = images((2, 6, 7, 3))
    ours = resample.blur(x, padding=padding, gain=4.0)
    np.testing.assert_allclose(ours, upfirdn(x, resample.SMOOTH, padding=padding, gain=4.0), atol=1e-5)


def test_a_binomial_blur_is_scipys():
    x = images((2, 8, 9, 3))
    ours = resample.blur(x, resample.BINOMIAL)
    for axis in (1, 2):
        x = scipy.ndimage.correlate1d(x, [0.25, 0.5, 0.25], axis, mode="constant")
    np.testing.assert_allclose(ours, x, atol=1e-6)


def test_upsampling_interpolates_three_to_one():
    x = images((2, 5, 5, 3))
    y = np.asarray(resample.upsample(x))
    columns = (0.25 * x[:, :, :-2] + 0.75 * x[:, :, 1:-1], 0.75 * x[:, :, 1:-1] + 0.25 * x[:, :, 2:])
    for phase, row in enumerate(columns):
        rows = (0.25 * row[:, :-2] + 0.75 * row[:, 1:-1], 0.75 * row[:, 1:-1] + 0.25 * row[:, 2:])
        for other, exact in enumerate(rows):
            np.testing.assert_allclose(y[:, 2 + other : -2 : 2, 2 + phase : -2 : 2], exact, atol=1e-6)


def test_a_box_filter_is_the_nearest_pixel_and_the_mean():
    x = images((2, 6, 8, 3))
    np.testing.assert_allclose(resample.upsample(x, (1, 1)), resample.upsample_nearest(x), rtol=1e-6)
    np.testing.assert_allclose(resample.downsample(x, (1, 1)), resample.mean_pool(x), atol=1e-6)


@kernels
def test_constants_are_kept_inside(kernel):
    x = jnp.full((1, 8, 8, 2), 3.0)
    for f, edge in ((resample.blur, 2), (resample.upsample, 2), (resample.downsample, 1)):
        inside = f(x, kernel)[:, edge:-edge, edge:-edge]
        np.testing.assert_allclose(inside, 3.0, rtol=1e-6)


@given(shape=shapes, seed=st.integers(0, 99), kernel=st.sampled_from([resample.SMOOTH, (1, 1)]))
@settings(max_examples=6)
def test_upsampling_is_four_times_the_transpose_of_downsampling(shape, seed, kernel):
    b, h, w, c = shape
    small, large = images(shape, seed), images((b, 2 * h, 2 * w, c), seed + 1)
    first = np.vdot(upsample(small, kernel), large)
    second = 4 * np.vdot(small, downsample(large, kernel))
    np.testing.assert_allclose(first, second, rtol=1e-4, atol=1e-3)


def dense(f, size):
    """Returns the matrix of a linear map of (1, H, W, 1) images, one row per input pixel."""
    basis = np.eye(size * size, dtype=np.float32).reshape(-1, size, size, 1)
    return np.asarray(jax.vmap(lambda x: f(x[None])[0])(basis)).reshape(size * size, -1)


@kernels
@pytest.mark.parametrize("name", ["blur", "upsample", "downsample"])
@pytest.mark.parametrize("size", [5, 6])
def test_derivatives_of_two_orders_are_those_of_the_matrix(name, kernel, size):
    f = functools.partial(getattr(resample, name), kernel=kernel)
    matrix, x = dense(f, size), images((1, size, size, 1))

    def value(f, x):
        return jnp.sum(jnp.sin(f(x)))

    def penalty(f, x):
        return jnp.sum(jax.grad(functools.partial(value, f))(x) ** 2)

    for g in (value, penalty):
        ours = jax.jit(jax.grad(functools.partial(g, f)))(x)
        theirs = jax.jit(jax.grad(functools.partial(g, lambda x: x.reshape(-1) @ matrix)))(x)
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_no_convolution_is_compiled():
    def penalty(x):
        return jnp.sum(jax.grad(lambda x: jnp.sum(resample.upsample(resample.downsample(x)) ** 2))(x) ** 2)

    assert "convolution" not in jax.jit(jax.grad(penalty)).lower(images((1, 8, 8, 2))).as_text()


@given(shape=shapes, n=st.integers(0, 3), seed=st.integers(0, 99))
@settings(max_examples=8)
def test_reflection_is_numpys(shape, n, seed):
    x = images(shape, seed)
    ours = resample.reflect_pad(x, n)
    np.testing.assert_array_equal(ours, np.pad(x, ((0, 0), (n, n), (n, n), (0, 0)), mode="reflect"))


def test_reflections_derivatives_are_those_of_the_indices():
    x, g = images((2, 5, 6, 3)), images((2, 11, 12, 3), 1)
    rows = np.pad(np.arange(5), 3, mode="reflect")
    columns = np.pad(np.arange(6), 3, mode="reflect")

    def value(f, x):
        return jnp.sum(g * f(x) ** 3)

    def penalty(f, x):
        return jnp.sum(jax.grad(functools.partial(value, f))(x) ** 2)

    for h in (value, penalty):
        ours = jax.grad(functools.partial(h, lambda x: resample.reflect_pad(x, 3)))(x)
        theirs = jax.grad(functools.partial(h, lambda x: x[:, rows][:, :, columns]))(x)
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_bfloat16_is_rounded_once():
    x = jnp.bfloat16(images((2, 6, 6, 3)))
    for f in (resample.blur, resample.upsample, resample.downsample):
        y = f(x)
        assert y.dtype == jnp.bfloat16
        np.testing.assert_array_equal(y, f(jnp.float32(x)).astype(jnp.bfloat16))
        assert jax.grad(lambda x, f=f: jnp.sum(jnp.float32(f(x))))(x).dtype == jnp.bfloat16
