"""Tests of the blocks of BigGAN and BigGAN-deep, and of their logit, computed by hand in float64."""

import functools

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.models import biggan, biggan_deep, resnet

FAMILIES = pytest.mark.parametrize("family", [biggan, biggan_deep])
CLASSES = 3
LABELS = jnp.array([0, 1, 2, 1])


def start(module, *inputs):
    return jax.jit(lambda: module.init(jax.random.key(1), *inputs, True))()


def normalised(variables, *path):
    """Returns a kernel divided by vᵀWu with the stored u, in float64, and its bias."""
    params, state = variables["params"], variables["spectral"]
    for name in path:
        params, state = params[name], state[name]
    kernel = np.asarray(params["kernel"], np.float64)
    sigma = np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]) @ np.asarray(state["u"], np.float64))
    return kernel / sigma, np.asarray(params.get("bias", 0.0), np.float64)


def convolve(x, kernel, bias):
    return bias + np.asarray(
        jax.lax.conv_general_dilated(
            jnp.float32(x), jnp.float32(kernel), (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
    )


def upsample(x):
    return x.repeat(2, 1).repeat(2, 2)


def pool(x):
    b, h, w, c = x.shape
    return x.reshape(b, h // 2, 2, w // 2, 2, c).mean((2, 4))


def relu(x):
    return np.maximum(x, 0)


def random_biases(variables):
    flat = flax.traverse_util.flatten_dict(variables["params"])
    keys = jax.random.split(jax.random.key(7), len(flat))
    flat = {
        path: jax.random.normal(key, x.shape) if path[-1] == "bias" else x
        for key, (path, x) in zip(keys, flat.items(), strict=True)
    }
    return {**variables, "params": flax.traverse_util.unflatten_dict(flat)}


def conditional_norm(variables, name, x, condition):
    gain, bias = (normalised(variables, name, part)[0] for part in ("scale", "bias"))
    standard = (x - x.mean((0, 1, 2))) / np.sqrt(x.var((0, 1, 2)) + 1e-5)
    return standard * (1 + condition @ gain)[:, None, None] + (condition @ bias)[:, None, None]


X = jax.random.normal(jax.random.key(3), (4, 4, 4, 8))
C = jax.random.normal(jax.random.key(4), (4, 5))


def test_a_block_of_the_generator_by_hand():
    block = resnet.GeneratorBlock(6, True, jnp.float32, biggan.INIT, biggan.INIT)
    norm = functools.partial(biggan.normalise, condition=C, train=True)
    variables = random_biases(start(block, X, norm))
    x, c = np.asarray(X, np.float64), np.asarray(C, np.float64)
    y = upsample(relu(conditional_norm(variables, "ConditionalBatchNorm_0", x, c)))
    y = convolve(y, *normalised(variables, "UpsampleConv_0"))
    y = relu(conditional_norm(variables, "ConditionalBatchNorm_1", y, c))
    y = convolve(y, *normalised(variables, "Conv_0"))
    expected = y + convolve(upsample(x), *normalised(variables, "Conv_1"))
    np.testing.assert_allclose(block.apply(variables, X, norm, True), expected, atol=2e-5)


@pytest.mark.parametrize("up", [False, True])
def test_a_block_of_the_deep_generator_by_hand(up):
    block = biggan_deep.GeneratorBlock(6, up)
    variables = random_biases(start(block, X, C))
    x, c = np.asarray(X, np.float64), np.asarray(C, np.float64)
    wide = upsample if up else lambda x: x
    names = ["Conv_0", *(["UpsampleConv_0", "Conv_1", "Conv_2"] if up else ["Conv_1", "Conv_2", "Conv_3"])]
    y = x
    for i, name in enumerate(names):
        y = relu(conditional_norm(variables, f"ConditionalBatchNorm_{i}", y, c))
        y = convolve(wide(y) if i == 1 else y, *normalised(variables, name))
    np.testing.assert_allclose(
        block.apply(variables, X, C, True), y + wide(x[..., :6]), atol=2e-5
    )  # the shortcut keeps the first 6 of 8 channels


@pytest.mark.parametrize(("pooled", "first"), [(True, True), (True, False), (False, False)])
def test_a_block_of_the_critic_by_hand(pooled, first):
    block = resnet.CriticBlock(6, "spectral", pooled, first, jnp.float32, biggan.INIT, biggan.INIT)
    variables = random_biases(start(block, X))
    x = np.asarray(X, np.float64)
    names = ("Conv_0", "ConvMeanPool_0", "Conv_1") if pooled else ("Conv_0", "Conv_1", "Conv_2")
    y = convolve(x if first else relu(x), *normalised(variables, names[0]))
    y = convolve(relu(y), *normalised(variables, names[1])) + convolve(x, *normalised(variables, names[2]))
    np.testing.assert_allclose(block.apply(variables, X, True), pool(y) if pooled else y, atol=2e-5)


@pytest.mark.parametrize("pooled", [True, False])
def test_a_block_of_the_deep_critic_by_hand(pooled):
    block = biggan_deep.CriticBlock(12, pooled)
    variables = random_biases(start(block, X))
    x = np.asarray(X, np.float64)
    small = pool if pooled else lambda x: x
    y = x
    for name in ("Conv_0", "Conv_1", "Conv_2"):
        y = convolve(relu(y), *normalised(variables, name))
    y = convolve(small(relu(y)), *normalised(variables, "Conv_3"))
    x = small(x)
    x = np.concatenate([x, convolve(x, *normalised(variables, "Conv_4"))], -1)
    np.testing.assert_allclose(block.apply(variables, X, True), x + y, atol=2e-5)


@FAMILIES
def test_the_logit_is_the_projection_of_summed_features(family):
    critic, x = family.Critic(CLASSES, 2, (8,)), jax.random.normal(jax.random.key(2), (4, 16, 16, 1))
    variables = start(critic, x, LABELS)
    logits, kept = critic.apply(
        variables, x, LABELS, True, capture_intermediates=True, mutable=["intermediates"]
    )
    kept = kept["intermediates"]
    last = max((name for name in kept if "Block" in name), key=lambda name: int(name.rpartition("_")[2]))
    phi = relu(np.asarray(kept[last]["__call__"][0], np.float64)).sum((1, 2))
    np.testing.assert_allclose(kept["features"][0], phi, rtol=1e-5, atol=1e-6)
    psi, bias = normalised(variables, "Dense_0")
    table, _ = normalised(variables, "Embed_0")
    expected = (phi @ psi)[:, 0] + bias + np.sum(table[np.asarray(LABELS)] * phi, 1)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)
