"""Tests of the class-conditional networks, and of self-attention in all families of convolutions."""

import functools

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.errors import SetupError
from jaxgan.models import conditional_dcgan, conditional_resnet, dcgan, resnet

CLASSES = 3
Z = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
X = np.tanh(np.random.default_rng(1).normal(size=(6, 16, 16, 1))).astype(np.float32)
LABELS = np.array([0, 1, 2, 2, 1, 0], np.int32)
ORDER = np.array([2, 0, 1])  # class k is renamed to ORDER[k]


def begin(module, *inputs):
    """Returns the variables of a module with random parameters, so that no scale or shift is trivial."""
    variables = jax.jit(lambda: module.init(jax.random.key(0), *inputs, True))()
    leaves, structure = jax.tree.flatten(variables["params"])
    keys = jax.random.split(jax.random.key(1), len(leaves))
    moved = [x + 0.1 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
    return {**variables, "params": jax.tree.unflatten(structure, moved)}


@functools.partial(jax.jit, static_argnums=0)
def call(module, variables, *inputs):
    return module.apply(variables, *inputs, False)


@pytest.mark.parametrize("norm", ["batch", "spectral"])
def test_permuting_one_hot_labels_and_their_weights_permutes_outputs(norm):
    generator = conditional_dcgan.Generator(16, 1, CLASSES, 4, labels="one_hot")
    critic = conditional_dcgan.Critic(CLASSES, 4, labels="one_hot", norm=norm)
    made, judged = begin(generator, Z, LABELS), begin(critic, X, LABELS)
    renamed = jax.tree.map(lambda x: x, made)
    first = renamed["params"]["Dense_0"]["kernel"]  # the rows of the code, then one row per class
    assert len(first) == Z.shape[1] + CLASSES
    renamed["params"]["Dense_0"]["kernel"] = first.at[Z.shape[1] + ORDER].set(first[Z.shape[1] :])
    samples = call(generator, made, Z, LABELS)
    np.testing.assert_allclose(call(generator, renamed, Z, ORDER[LABELS]), samples, atol=1e-6)
    assert np.abs(call(generator, made, Z, ORDER[LABELS]) - samples).max() > 1e-2  # the control

    renamed = jax.tree.map(lambda x: x, judged)
    first = renamed["params"]["Conv_0"]["kernel"]  # the channel of the image, then one per class
    assert first.shape[2] == 1 + CLASSES
    renamed["params"]["Conv_0"]["kernel"] = first.at[:, :, 1 + ORDER].set(first[:, :, 1:])
    logits = call(critic, judged, X, LABELS)
    np.testing.assert_allclose(call(critic, renamed, X, ORDER[LABELS]), logits, rtol=1e-4, atol=1e-5)
    assert np.abs(call(critic, judged, X, ORDER[LABELS]) - logits).max() > 1e-3


def test_one_hot_labels_are_constant_feature_maps():
    critic = conditional_dcgan.Critic(CLASSES, 4, labels="one_hot", norm="none")
    variables = begin(critic, X, LABELS)
    maps = np.broadcast_to(np.eye(CLASSES, dtype=np.float32)[LABELS][:, None, None], (6, 16, 16, CLASSES))
    plain = dcgan.Critic(4, norm="none")
    expected = call(plain, variables, np.concatenate([X, maps], -1))
    np.testing.assert_array_equal(call(critic, variables, X, LABELS), expected)


@pytest.mark.parametrize(
    ("module", "inputs"),
    [
        (conditional_dcgan.Generator(16, 1, CLASSES, 4, labels="projection"), (Z, LABELS)),
        (conditional_dcgan.Critic(CLASSES, 4, labels="norm"), (X, LABELS)),
    ],
)
def test_unknown_paths_of_labels_are_refused(module, inputs):
    with pytest.raises(SetupError, match=f"unknown labels '{module.labels}'.*one_hot"):
        jax.eval_shape(lambda: module.init(jax.random.key(0), *inputs, True))


@pytest.mark.parametrize("pyramid", [False, True])
def test_the_residual_logit_is_the_projection_of_sum_pooled_features(pyramid):
    critic = conditional_resnet.Critic(CLASSES, 4, pyramid=pyramid)
    variables = begin(critic, X, LABELS)
    evaluate = jax.jit(lambda v: critic.apply(v, X, LABELS, False, mutable=["intermediates"]))
    logits, sown = evaluate(variables)
    phi = np.asarray(sown["intermediates"]["features"][0], np.float64)
    assert (phi >= 0).all()  # sums of ReLUs

    def normalised(name):
        matrix = np.asarray(variables["params"][name]["kernel"], np.float64)
        return matrix / np.linalg.norm(matrix @ np.asarray(variables["spectral"][name]["u"], np.float64))

    bias = float(variables["params"]["Dense_0"]["bias"][0])
    expected = phi @ normalised("Dense_0")[:, 0] + bias + np.sum(normalised("Embed_0")[LABELS] * phi, 1)
    np.testing.assert_allclose(logits, expected, rtol=1e-4)


@pytest.mark.parametrize("spectral", [False, True])
def test_renaming_classes_in_the_residual_networks_renames_the_outputs(spectral):
    generator = conditional_resnet.Generator(16, 1, CLASSES, 4, spectral=spectral)
    critic = conditional_resnet.Critic(CLASSES, 4)
    for module, x in ((generator, Z), (critic, X)):
        variables = begin(module, x, LABELS)
        flat = flax.traverse_util.flatten_dict(variables["params"])
        tables = {path for path, leaf in flat.items() if len(leaf.shape) == 2 and len(leaf) == CLASSES}
        renamed = {path: leaf[np.argsort(ORDER)] if path in tables else leaf for path, leaf in flat.items()}
        renamed = {**variables, "params": flax.traverse_util.unflatten_dict(renamed)}
        out = call(module, variables, x, LABELS)
        np.testing.assert_allclose(call(module, renamed, x, ORDER[LABELS]), out, rtol=1e-4, atol=1e-5)
        assert np.abs(call(module, variables, x, ORDER[LABELS]) - out).max() > 1e-3


def test_labels_are_in_the_blocks_norms_and_not_in_the_last_one():
    generator = conditional_resnet.Generator(16, 1, CLASSES, 4, spectral=True)
    variables = jax.eval_shape(lambda: generator.init(jax.random.key(0), Z, LABELS, True))
    flat = flax.traverse_util.flatten_dict(variables["params"])
    tables = {path for path, leaf in flat.items() if leaf.shape == (CLASSES, 4)}
    norms = {path[:2] for path in tables}
    assert norms == {(f"GeneratorBlock_{i}", f"ConditionalBatchNorm_{j}") for i in (0, 1) for j in (0, 1)}
    assert set(variables["params"]["BatchNorm_0"]) == {"scale", "bias"}
    # Spectral normalisation covers every kernel of a dense or convolutional layer, and no table of labels.
    kernels = {path[:-1] for path in set(flat) - tables if path[-1] == "kernel"}
    normalised = {path[:-1] for path in flax.traverse_util.flatten_dict(variables["spectral"])}
    assert normalised == kernels


def test_the_pyramids_are_sagans():
    generator = conditional_resnet.Generator(128, 3, 1000, 64, pyramid=True, spectral=True, attention=(32,))
    critic = conditional_resnet.Critic(1000, 64, pyramid=True, attention=(32,))
    z, x, y = jnp.zeros((1, 128)), jnp.zeros((1, 128, 128, 3)), jnp.zeros(1, int)
    made = jax.eval_shape(lambda: generator.init(jax.random.key(0), z, y, True))["params"]
    judged = jax.eval_shape(lambda: critic.init(jax.random.key(0), x, y, True))["params"]
    assert made["Dense_0"]["kernel"].shape == (128, 4 * 4 * 1024)
    ups = [made[f"GeneratorBlock_{i}"]["UpsampleConv_0"]["kernel"].shape for i in range(5)]
    assert [shape[-1] for shape in ups] == [1024, 512, 256, 128, 64]
    downs = [judged[f"CriticBlock_{i}"]["Conv_0"]["kernel"].shape[-1] for i in range(6)]
    assert downs == [64, 128, 256, 512, 1024, 1024]
    assert "ConvMeanPool_0" not in judged["CriticBlock_5"]
    assert judged["Embed_0"]["kernel"].shape == (1000, 1024)
    # At 32 × 32 pixels the generator has 256 feature maps and the critic 128.
    assert made["SelfAttention_0"]["g"]["kernel"].shape == (1, 1, 256, 128)
    assert judged["SelfAttention_0"]["g"]["kernel"].shape == (1, 1, 128, 64)


NETWORKS = {
    "dcgan generator": (dcgan.Generator(16, 1, 4), (Z,), (4, 8)),
    "dcgan critic": (dcgan.Critic(4), (X,), (4, 8)),
    "conditional dcgan generator": (conditional_dcgan.Generator(16, 1, CLASSES, 4), (Z, LABELS), (8,)),
    "conditional dcgan critic": (conditional_dcgan.Critic(CLASSES, 4), (X, LABELS), (8,)),
    "resnet generator": (resnet.Generator(16, 1, 4), (Z,), (8, 16)),
    "resnet critic": (resnet.Critic(4), (X,), (8,)),
    "conditional resnet generator": (
        conditional_resnet.Generator(16, 1, CLASSES, 4, spectral=True),
        (Z, LABELS),
        (16,),
    ),
    "conditional resnet critic": (conditional_resnet.Critic(CLASSES, 4), (X, LABELS), (8,)),
}


# The other networks share their layers with these.
QUICK = ("dcgan generator", "dcgan critic", "conditional resnet generator", "conditional resnet critic")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS]
)
def test_attention_changes_nothing_at_first_and_then_mixes_pixels(name):
    plain, inputs, sides = NETWORKS[name]
    module = plain.clone(attention=sides)

    own = [f"SelfAttention_{i}" for i in range(len(sides))]
    variables, fewer = jax.jit(
        lambda: tuple(net.init(jax.random.key(0), *inputs, True) for net in (module, plain))
    )()
    assert set(variables["params"]) - set(fewer["params"]) == set(own)
    # The passes are not compiled as a whole, because fused operations round differently.
    ours = module.apply(variables, *inputs, False)
    np.testing.assert_array_equal(ours, plain.apply(fewer, *inputs, False))
    for i in own:  # the control: each of the modules is in use
        moved = {**variables["params"], i: {**variables["params"][i], "gamma": jnp.float32(1.0)}}
        assert np.any(call(module, {**variables, "params": moved}, *inputs) != ours)


@pytest.mark.parametrize("name", NETWORKS)
def test_attention_at_other_sides_is_refused(name):
    module, inputs, sides = NETWORKS[name]
    module = module.clone(attention=(*sides, 32))
    with pytest.raises(SetupError, match=r"32\): no hidden layer.* side of 32 pixels, give .*\(8,\)"):
        jax.eval_shape(lambda: module.init(jax.random.key(0), *inputs, True))


def test_attention_needs_an_even_side():
    module = dcgan.Critic(4, attention=(7,))  # its hidden layers have 14 and 7 pixels a side
    with pytest.raises(SetupError, match=r"attention \(7,\): .* give \(14,\)"):
        jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.zeros((1, 28, 28, 1)), True))


def test_of_layers_with_one_side_the_first_is_followed_by_attention():
    critic = resnet.Critic(4, attention=(8,))  # three blocks have outputs of 8 × 8 pixels
    variables = jax.eval_shape(lambda: critic.init(jax.random.key(0), X, True))
    assert [name for name in variables["params"] if name.startswith("Self")] == ["SelfAttention_0"]
