import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxgan import layers
from jaxgan.errors import SetupError
from jaxgan.layers import conditional_norm
from jaxgan.layers.equalised import EqualisedDense


def standard(shape, seed=0):
    return jax.random.normal(jax.random.key(seed), shape)


def standardised(x, axes, epsilon=1e-5):
    """Computes (x − mean) / √(var + ε) in float64 with NumPy."""
    x = np.asarray(x, np.float64)
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + epsilon)


LABELS = jnp.array([0, 2, 1, 2, 0, 0])


def by_label():
    """Returns a label-conditional norm, its input, and variables that differ from the initial ones."""
    x, module = 2 * standard((6, 4, 5, 3)) + 1, conditional_norm.ConditionalBatchNorm(num_classes=3)
    variables = module.init(jax.random.key(0), x, LABELS, True)
    params = {"scale": {"kernel": standard((3, 3), 1)}, "bias": {"kernel": standard((3, 3), 2)}}
    return module, x, {**variables, "params": params}


def by_vector(spectral=False):
    x, c = 2 * standard((6, 4, 5, 3)) + 1, standard((6, 7), 3)
    module = conditional_norm.ConditionalBatchNorm(spectral=spectral)
    return module, x, c, module.init(jax.random.key(0), x, c, True)


def test_conditional_batch_norm_starts_as_batch_norm():
    x, module = standard((6, 4, 5, 3)), conditional_norm.ConditionalBatchNorm(num_classes=3)
    variables = module.init(jax.random.key(0), x, LABELS, True)
    y, _ = module.apply(variables, x, LABELS, True, mutable=["batch_stats"])
    np.testing.assert_allclose(y, standardised(x, (0, 1, 2)), atol=1e-5)
    shapes = jax.tree.map(jnp.shape, variables["params"])
    assert shapes == {"scale": {"kernel": (3, 3)}, "bias": {"kernel": (3, 3)}}


def test_conditional_batch_norm_by_label_is_the_formula():
    module, x, variables = by_label()
    y, _ = module.apply(variables, x, LABELS, True, mutable=["batch_stats"])
    scale, bias = (
        np.asarray(variables["params"][name]["kernel"])[LABELS][:, None, None] for name in ("scale", "bias")
    )
    np.testing.assert_allclose(y, scale * standardised(x, (0, 1, 2)) + bias, atol=1e-5)


def test_conditional_batch_norm_by_vector_is_the_formula():
    module, x, c, variables = by_vector()
    y, _ = module.apply(variables, x, c, True, mutable=["batch_stats"])
    w, v = (np.asarray(variables["params"][name]["kernel"], np.float64) for name in ("scale", "bias"))
    scale, bias = (1 + np.asarray(c) @ w)[:, None, None], (np.asarray(c) @ v)[:, None, None]
    np.testing.assert_allclose(y, scale * standardised(x, (0, 1, 2)) + bias, atol=2e-5)
    # In BigGAN's form, a condition of zeros gives unconditional batch norm.
    y, _ = module.apply(variables, x, 0 * c, True, mutable=["batch_stats"])
    np.testing.assert_allclose(y, standardised(x, (0, 1, 2)), atol=1e-5)


def test_its_vectors_maps_are_divided_by_their_singular_values():
    module, x, c, variables = by_vector(spectral=True)
    for _ in range(50):
        _, updated = module.apply(variables, x, c, True, mutable=["spectral", "batch_stats"])
        variables = {**variables, **updated}
    kernels = []
    for name in ("scale", "bias"):
        kernel = np.asarray(variables["params"][name]["kernel"])
        sigma = np.linalg.norm(kernel @ variables["spectral"][name]["u"])
        np.testing.assert_allclose(sigma, np.linalg.svd(kernel, compute_uv=False)[0], rtol=0.01)
        kernels.append(kernel / sigma)
    y, (w, v) = module.apply(variables, x, c, False), kernels
    stats = variables["batch_stats"]
    normal = (x - stats["mean"]) / np.sqrt(stats["var"] + 1e-5)
    np.testing.assert_allclose(y, (1 + c @ w)[:, None, None] * normal + (c @ v)[:, None, None], atol=1e-4)


def test_its_averages_and_evaluation_are_batch_norms():
    module, x, variables = by_label()
    plain = layers.BatchNorm()
    theirs = plain.init(jax.random.key(0), x, True)
    assert jax.tree.structure(theirs["batch_stats"]) == jax.tree.structure(variables["batch_stats"])
    for seed in range(3):
        batch = standard(x.shape, seed) * (1 + seed) + seed
        _, updated = module.apply(variables, batch, LABELS, True, mutable=["batch_stats"])
        variables = {**variables, **updated}
        _, updated = plain.apply(theirs, batch, True, mutable=["batch_stats"])
        theirs = {**theirs, **updated}
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6),
        variables["batch_stats"],
        theirs["batch_stats"],
    )
    scale, bias = (variables["params"][name]["kernel"][LABELS][:, None, None] for name in ("scale", "bias"))
    normal = plain.apply(theirs, x, False)
    y, updated = module.apply(variables, x, LABELS, False, mutable=["batch_stats"])
    np.testing.assert_allclose(y, scale * normal + bias, rtol=1e-5, atol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, updated["batch_stats"], variables["batch_stats"])


def test_evaluation_of_a_sample_depends_on_its_own_label_alone():
    module, x, variables = by_label()
    y = module.apply(variables, x, LABELS, False)
    other = module.apply(variables, x, LABELS.at[1:].set(0), False)
    np.testing.assert_array_equal(y[0], other[0])
    assert not np.allclose(y[1], other[1])


def test_four_devices_see_the_batch_of_one():
    x, labels = 2 * standard((8, 3, 3, 3)) + 1, jnp.array([0, 1, 2, 0, 1, 2, 0, 1])
    module, _, variables = by_label()
    apply = functools.partial(module.apply, mutable=["batch_stats"])
    y, updated = apply(variables, x, labels, True)
    shares = jax.pmap(lambda x, labels: apply(variables, x, labels, True), axis_name="batch")
    split, stats = shares(x.reshape(4, 2, 3, 3, 3), labels.reshape(4, 2))
    np.testing.assert_allclose(split.reshape(y.shape), y, atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a[0], b, rtol=1e-5, atol=1e-6), stats, updated)


def gradients(f, arguments):
    """Computes first derivatives, and those of a function of them as in a gradient penalty."""

    def value(*arguments):
        return jnp.sum(jnp.sin(f(*arguments)))

    def penalty(*arguments):
        first = jax.grad(value, range(len(arguments)))(*arguments)
        return sum(jnp.sum(jnp.sin(g)) for g in jax.tree.leaves(first))

    return [jax.jit(jax.grad(g, range(len(arguments))))(*arguments) for g in (value, penalty)]


def close(ours, theirs):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_derivatives_of_conditional_batch_norm_are_those_of_the_formula():
    module, x, variables = by_label()

    def ours(x, scale, bias):
        params = {"scale": {"kernel": scale}, "bias": {"kernel": bias}}
        return module.apply({**variables, "params": params}, x, LABELS, True, mutable=["batch_stats"])[0]

    def formula(x, scale, bias):
        normal = (x - x.mean((0, 1, 2))) / jnp.sqrt(x.var((0, 1, 2)) + 1e-5)
        chosen = jax.nn.one_hot(LABELS, 3)
        return (chosen @ scale)[:, None, None] * normal + (chosen @ bias)[:, None, None]

    arguments = (x, *(variables["params"][name]["kernel"] for name in ("scale", "bias")))
    close(gradients(ours, arguments), gradients(formula, arguments))


@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 5), st.integers(2, 5), st.integers(1, 4)),
    seed=st.integers(0, 99),
    scale=st.floats(0.1, 100),
    offset=st.floats(-30, 30),
)
@settings(max_examples=20)
def test_instance_norm_is_the_formula(shape, seed, scale, offset):
    x = np.random.default_rng(seed).normal(size=shape) * scale + offset
    y = conditional_norm.InstanceNorm().apply({}, jnp.float32(x), True)
    # In float32, an offset of 300 standard deviations makes rounding errors 300 times as large.
    np.testing.assert_allclose(y, standardised(np.float32(x), (1, 2)), atol=2e-3)


def test_instance_norm_has_no_state_and_is_flaxs_group_norm():
    x = 2 * standard((3, 4, 5, 6)) + 1
    module = conditional_norm.InstanceNorm(affine=True)
    variables = module.init(jax.random.key(0), x, True)
    assert set(variables) == {"params"}
    assert not conditional_norm.InstanceNorm().init(jax.random.key(0), x, True)
    variables = {"params": {"scale": standard((6,), 1), "bias": standard((6,), 2)}}
    theirs = nn.GroupNorm(num_groups=None, group_size=1, epsilon=1e-5)
    y = module.apply(variables, x, True)
    np.testing.assert_allclose(y, theirs.apply(variables, x), atol=1e-5)
    np.testing.assert_array_equal(module.apply(variables, x, False), y)
    np.testing.assert_allclose(module.apply(variables, x[1:2], True), y[1:2], atol=1e-6)


def test_instance_norm_undoes_an_affine_map_of_its_input():
    x, a, b = standard((2, 6, 6, 3)), jnp.array([0.5, 2.0, 30.0]), jnp.array([-3.0, 0.0, 4.0])
    norm = functools.partial(conditional_norm.InstanceNorm(epsilon=1e-12).apply, {})
    np.testing.assert_allclose(norm(a * x + b, True), norm(x, True), atol=1e-4)


def test_norms_of_a_single_pixel_are_refused():
    x = jnp.ones((2, 1, 1, 3))
    with pytest.raises(SetupError, match="single pixel"):
        conditional_norm.InstanceNorm().apply({}, x, True)
    with pytest.raises(SetupError, match="single pixel"):
        conditional_norm.AdaIN().init(jax.random.key(0), x, jnp.ones((2, 4)), True)


@pytest.mark.parametrize("affine", [layers.Dense, functools.partial(EqualisedDense, gain=1.0)])
def test_adain_is_the_formula(affine):
    x, w = 2 * standard((3, 4, 5, 6)) + 1, standard((3, 7), 1)
    module = conditional_norm.AdaIN(affine)
    variables = module.init(jax.random.key(0), x, w, True)
    variables = {"params": {"style": {**variables["params"]["style"], "bias": standard((12,), 2)}}}
    style = np.asarray(affine(12).apply({"params": variables["params"]["style"]}, w, True))[:, None, None]
    exact = (1 + style[..., :6]) * standardised(x, (1, 2)) + style[..., 6:]
    np.testing.assert_allclose(module.apply(variables, x, w, True), exact, atol=2e-5)
    np.testing.assert_array_equal(module.apply(variables, x, w, True), module.apply(variables, x, w, False))


def test_adain_gives_the_moments_that_the_style_asks_for():
    x, w = 5 * standard((3, 8, 8, 4)) - 2, standard((3, 7), 1)
    module = conditional_norm.AdaIN()
    variables = module.init(jax.random.key(0), x, w, True)
    y = np.asarray(module.apply(variables, x, w, True))
    style = np.asarray(w @ variables["params"]["style"]["kernel"])
    np.testing.assert_allclose(y.mean((1, 2)), style[:, 4:], atol=1e-5)
    np.testing.assert_allclose(y.std((1, 2)), np.abs(1 + style[:, :4]), rtol=1e-5, atol=1e-5)


def test_derivatives_of_adain_are_those_of_the_formula():
    x, w = standard((2, 3, 4, 3)), standard((2, 5), 1)
    module = conditional_norm.AdaIN()
    variables = module.init(jax.random.key(0), x, w, True)
    kernel = variables["params"]["style"]["kernel"]

    def ours(x, w, kernel):
        return module.apply({"params": {"style": {"kernel": kernel, "bias": jnp.zeros(6)}}}, x, w, True)

    def formula(x, w, kernel):
        mean, var = x.mean((1, 2), keepdims=True), x.var((1, 2), keepdims=True)
        style = (w @ kernel)[:, None, None]
        return (1 + style[..., :3]) * (x - mean) / jnp.sqrt(var + 1e-5) + style[..., 3:]

    close(gradients(ours, (x, w, kernel)), gradients(formula, (x, w, kernel)))


def test_a_flat_image_has_finite_derivatives():
    x = jnp.ones((2, 4, 4, 3))
    norm = functools.partial(conditional_norm.InstanceNorm().apply, {})
    first, second = gradients(lambda x: norm(x, True), (x,))
    assert np.isfinite(first[0]).all()
    assert np.isfinite(second[0]).all()


def test_pixel_norm_leaves_a_mean_square_of_one():
    x = 3 * standard((2, 4, 5, 6)) + 1
    y = conditional_norm.pixel_norm(x)
    np.testing.assert_allclose(np.square(y).mean(-1), 1, rtol=1e-5)
    np.testing.assert_allclose(y / y[..., :1], x / x[..., :1], rtol=1e-4)
    np.testing.assert_allclose(
        conditional_norm.pixel_norm(standard((3, 8))),
        standard((3, 8)) / np.sqrt(np.square(standard((3, 8))).mean(-1, keepdims=True) + 1e-8),
        rtol=1e-5,
    )
    assert np.isfinite(jax.grad(lambda x: conditional_norm.pixel_norm(x).sum())(jnp.zeros((2, 3)))).all()


def test_in_bfloat16_parameters_and_moments_stay_float32():
    x, w = jnp.bfloat16(standard((4, 4, 4, 3)) + 20), standard((4, 5), 1)
    labels = jnp.array([0, 1, 0, 1])
    for module, condition in (
        (conditional_norm.ConditionalBatchNorm(num_classes=2), (labels,)),
        (conditional_norm.ConditionalBatchNorm(), (w,)),
        (conditional_norm.InstanceNorm(affine=True), ()),
        (conditional_norm.AdaIN(), (w,)),
    ):
        variables = module.init(jax.random.key(0), x, *condition, True)
        assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype("float32")}
        y, _ = module.apply(variables, x, *condition, True, mutable=["batch_stats"])
        exact, _ = module.apply(variables, jnp.float32(x), *condition, True, mutable=["batch_stats"])
        assert y.dtype == jnp.bfloat16
        np.testing.assert_allclose(jnp.float32(y), exact, rtol=2**-8, atol=1e-6)
    assert conditional_norm.pixel_norm(x).dtype == jnp.bfloat16
