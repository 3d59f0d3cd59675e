"""Tests of critics that classify and of residual generators with labels against their plain versions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.errors import SetupError
from jaxgan.models import conditional_resnet, dcgan, resnet

CLASSES = 3
CRITICS = {
    "dcgan": (dcgan.Critic(4, norm="layer"), dcgan.ClassifyingCritic(CLASSES, 4, norm="layer")),
    "dcgan spectral": (dcgan.Critic(4, norm="spectral"), dcgan.ClassifyingCritic(CLASSES, 4, "spectral")),
    "resnet": (resnet.Critic(4), resnet.ClassifyingCritic(CLASSES, 4)),
    "resnet, mean": (
        resnet.Critic(4, norm="none", pool="mean"),
        resnet.ClassifyingCritic(CLASSES, 4, norm="none", pool="mean"),
    ),
}


@pytest.mark.parametrize("name", CRITICS)
def test_the_score_of_a_classifying_critic_is_the_plain_critics(name):
    plain, classifying = CRITICS[name]
    x = jax.random.normal(jax.random.key(0), (4, 16, 16, 1))
    variables = jax.jit(lambda: classifying.init(jax.random.key(1), x, True))()
    heads = variables["params"]["ClassifyingHeads_0"]
    shapes = {part: layer["kernel"].shape[1] for part, layer in heads.items()}
    assert shapes == {"score": 1, "classes": CLASSES}

    def without_classes(collection):
        same = {part: values for part, values in collection.items() if part != "ClassifyingHeads_0"}
        return {**same, "Dense_0": collection["ClassifyingHeads_0"]["score"]}

    moved = {collection: without_classes(values) for collection, values in variables.items()}
    out, sown = classifying.apply(variables, x, False, mutable=["intermediates"])
    np.testing.assert_allclose(out.logits, plain.apply(moved, x, False), rtol=1e-6)
    # The class logits are an affine function of the same features, without any softmax.
    (features,) = sown["intermediates"]["features"]
    kernel = np.asarray(heads["classes"]["kernel"], np.float64)
    if "spectral" in variables:
        u = np.asarray(variables["spectral"]["ClassifyingHeads_0"]["classes"]["u"], np.float64)
        kernel = kernel / np.linalg.norm(kernel @ u.reshape(-1))
    expected = np.asarray(features, np.float64) @ kernel + np.asarray(heads["classes"]["bias"])
    np.testing.assert_allclose(out.class_logits, expected, rtol=1e-4, atol=1e-6)


def test_a_mean_over_pixels_is_the_sum_over_64():
    x = jax.random.normal(jax.random.key(0), (4, 16, 16, 1))
    critics = [resnet.Critic(4, norm="none", pool=pool) for pool in ("sum", "mean")]
    variables = jax.jit(lambda: critics[0].init(jax.random.key(1), x, True))()
    total, mean = (critic.apply(variables, x, False) for critic in critics)
    np.testing.assert_allclose(mean, total / 64, rtol=1e-5)  # the initial bias is 0
    with pytest.raises(SetupError, match="unknown pool 'max'"):
        resnet.Critic(4, pool="max").init(jax.random.key(1), x, True)


def test_a_labelled_generator_with_equal_tables_is_the_plain_one():
    labelled, plain = (
        conditional_resnet.Generator(16, 1, CLASSES, width=4),
        resnet.Generator(16, 1, width=4),
    )
    z, labels = jax.random.normal(jax.random.key(0), (6, 5)), jnp.arange(6) % CLASSES
    variables = jax.jit(lambda: labelled.init(jax.random.key(1), z, labels, True))()
    params = variables["params"]

    def without_labels(block):
        return {
            part.replace("ConditionalBatchNorm", "Norm"): (
                {"batch_norm": {name: table["kernel"][0] for name, table in values.items()}}
                if part.startswith("Conditional")
                else values
            )
            for part, values in block.items()
        }

    moved = {
        part: without_labels(values) if part.startswith("GeneratorBlock") else values
        for part, values in params.items()
        if part != "BatchNorm_0"
    }
    moved["Norm_0"] = {"batch_norm": params["BatchNorm_0"]}  # the norm at the output has no labels
    images, _ = jax.jit(lambda v: labelled.apply(v, z, labels, True, mutable=["batch_stats"]))(variables)
    expected, _ = jax.jit(lambda p: plain.apply({"params": p}, z, True, mutable=["batch_stats"]))(moved)
    np.testing.assert_allclose(images, expected, rtol=1e-5, atol=1e-6)

    # In evaluation, other values in the tables of class 1 change the images of that class alone.
    def shift(path, leaf):
        table = len(path) > 2 and path[-2].key in ("scale", "bias")
        return leaf.at[1].add(0.5) if table else leaf

    other = {**variables, "params": jax.tree_util.tree_map_with_path(shift, params)}
    before, after = (labelled.apply(v, z, labels, False) for v in (variables, other))
    changed = np.abs(np.asarray(after - before)).max((1, 2, 3)) > 1e-4
    np.testing.assert_array_equal(changed, labels == 1)
