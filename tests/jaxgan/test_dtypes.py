"""Tests of bfloat16: which computations use it, what stays float32, and how far results deviate."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.cli import config_files
from experiments.training import build, derived, named_parts
from jaxgan import layers, optimizers
from jaxgan.ops import batch_norm
from jaxgan.steps import train_step
from tests.conftest import tiny_batch, tiny_gan

pytestmark = pytest.mark.xdist_group("dtypes")  # on one worker, so that each system is compiled once

# The systems cover batch statistics, a penalty's second derivatives, and power iteration.
SYSTEMS = {
    "dcgan": {},
    "wgan_gp": {"loss": "wasserstein", "norm": "layer", "penalty": "gradient_penalty"},
    "sngan": {"loss": "hinge", "norm": "spectral"},
}


@functools.cache
def compiled(system, dtype):
    """Returns a system and its compiled step, with SGD so that updates are proportional to gradients."""
    gan = tiny_gan(**SYSTEMS[system], dtype=dtype, optimizer=optimizers.build("sgd", learning_rate=0.01))
    return gan, jax.jit(functools.partial(train_step, gan=gan, ema_decay=0.9))


@functools.cache
def begin(system):
    """Returns a state and its batch after some steps in float32, so that the players' gradients matter."""
    gan, step = compiled(system, "float32")
    batch = tiny_batch(batch_size=32)
    state = gan.init(jax.random.key(0), batch)
    for _ in range(30):
        state, _ = step(state, batch)
    return state, batch


@functools.cache
def step_once(system, dtype):
    """Returns a system's state one step after :func:`begin`, with the step's metrics and samples."""
    state, batch = begin(system)
    gan, step = compiled(system, dtype)
    after, metrics = step(state, batch)
    return after, metrics, jax.jit(gan.sample)(after, jax.random.key(1), {"row": jnp.arange(4)})


def floats(tree):
    return [
        (jax.tree_util.keystr(path), leaf.dtype)
        for path, leaf in jax.tree.leaves_with_path(tree)
        if jnp.issubdtype(leaf.dtype, jnp.floating)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS)
def test_all_that_lasts_is_float32(system):
    for tree in step_once(system, "bfloat16"):
        found = floats(tree)
        assert found
        assert [path for path, dtype in found if dtype != jnp.float32] == []


def operands(jaxpr):
    """Returns the operand types of all matrix products, at any depth, except products with vectors."""
    found = set()
    for equation in jaxpr.eqns:
        if equation.primitive.name in ("conv_general_dilated", "dot_general"):
            types = [x.aval for x in equation.invars]
            found |= {x.dtype.name for x in types if min(y.ndim for y in types) > 1}
        for value in jax.tree.leaves(equation.params, is_leaf=lambda x: hasattr(x, "jaxpr")):
            inner = getattr(value, "jaxpr", value)
            found |= operands(inner) if hasattr(inner, "eqns") else set()
    return found


@pytest.mark.parametrize("name", ["dcgan_mnist.py", "sngan_cifar10.py", "gan_gaussians.py"])
@pytest.mark.parametrize("dtype", named_parts.DTYPES)
def test_every_family_multiplies_in_the_configs_type(name, dtype):
    config = config_files.load(name).values
    with config.unlocked():
        config.dtype, config.n_critic = dtype, 1
        for player in ("generator", "critic"):
            if "width" in config.models[player]:
                config.models[player].width = 4
    gan = build.build(config)
    batch = {"real": jnp.zeros((1, 8, *derived.spec_of(config).shape)), "row": jnp.arange(8)[None]}
    state = jax.eval_shape(gan.init, jax.random.key(0), batch)
    step = functools.partial(train_step, gan=gan, ema_decay=0.9)
    sample = jax.eval_shape(gan.sample, state, jax.random.key(0), {"row": batch["row"][0]})
    for tree in (jax.eval_shape(step, state, batch), sample):
        assert {dtype for _, dtype in floats(tree)} == {jnp.dtype("float32")}
    assert operands(jax.make_jaxpr(step)(state, batch).jaxpr) == {dtype}


@pytest.mark.slow
@pytest.mark.parametrize("system", SYSTEMS)
def test_a_step_is_close_to_the_one_in_float32(system):
    # bfloat16 rounds to 1 part in 512, about ten times in succession, which sets the tolerances below.
    before, _ = begin(system)
    half, half_metrics, half_samples = step_once(system, "bfloat16")
    full, full_metrics, full_samples = step_once(system, "float32")
    for player in ("generator", "critic"):

        def update(state, player=player):
            pairs = zip(*[jax.tree.leaves(getattr(x, player).params) for x in (state, before)], strict=True)
            return np.concatenate([np.ravel(after - start) for after, start in pairs])

        error = np.linalg.norm(update(half) - update(full)) / np.linalg.norm(update(full))
        assert 1e-4 < error < 0.05  # the lower bound shows that the results are not float32 ones
        name = f"{player}_loss"
        np.testing.assert_allclose(half_metrics[name], full_metrics[name], atol=0.01)
    np.testing.assert_allclose(half_samples, full_samples, atol=0.003)


def test_a_biass_gradient_is_summed_in_float32():
    # In bfloat16, 256 + 1 is 256, so a sum over pixels would get stuck at 256.
    module = layers.Conv(2, dtype=jnp.bfloat16)
    x = jnp.ones((16, 16, 16, 3))
    variables = module.init(jax.random.key(0), x, True)
    gradient = jax.jit(jax.grad(lambda v: jnp.sum(module.apply(v, x, True).astype(jnp.float32))))(variables)
    np.testing.assert_array_equal(gradient["params"]["bias"], 16**3)


def test_moments_of_bfloat16_are_taken_in_float32():
    x = (3 + jax.random.normal(jax.random.key(0), (64, 16, 16, 4))).astype(jnp.bfloat16)
    y, mean, var = batch_norm.batch_norm(x, jnp.ones(4), jnp.zeros(4), 1e-5)
    exact = np.asarray(x, np.float64)
    assert (y.dtype, mean.dtype, var.dtype) == (jnp.bfloat16, jnp.float32, jnp.float32)
    np.testing.assert_allclose(mean, exact.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(var, exact.var((0, 1, 2)), rtol=1e-4)
    expected = (exact - exact.mean((0, 1, 2))) / np.sqrt(exact.var((0, 1, 2)) + 1e-5)
    np.testing.assert_allclose(np.asarray(y, np.float64), expected, rtol=2**-8, atol=1e-5)
    stored = layers.BatchNorm().init_with_output(jax.random.key(0), x, True)[1]["batch_stats"]
    assert [dtype for _, dtype in floats(stored)] == [jnp.float32] * 2
