"""Tests of the conditional GAN and its projection critic against their formulas."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import latents, losses, optimizers
from jaxgan.gans import passes
from jaxgan.gans.conditional import conditional
from jaxgan.models import projection
from jaxgan.steps import train_step

CLASSES, BATCH, SIZE = 3, 8, 8


@functools.cache
def system():
    tx = optimizers.build("adam", learning_rate=1e-3, b1=0.5)
    return conditional(
        projection.Generator(SIZE, 1, CLASSES, width=4),
        projection.Critic(CLASSES, width=4),
        loss=losses.get("hinge"),
        generator_tx=tx,
        critic_tx=tx,
        prior=functools.partial(latents.normal, dim=4),
    )


def make_batch(seed=0):
    rng = np.random.default_rng(seed)
    rows = np.arange(BATCH, dtype=np.int32)
    labels = rng.integers(0, CLASSES, (2, BATCH)).astype(np.int32)
    real = np.tanh(rng.normal(size=(1, BATCH, SIZE, SIZE, 1))).astype(np.float32)
    conditions = {"row": rows[None], "labels": labels[1:]}
    return {"real": real, "labels": labels[:1], "row": rows[None], "conditions": conditions}


def first(batch):
    return jax.tree.map(lambda x: x[0], batch)


@pytest.fixture(scope="module")
def begun():
    gan, batch = system(), make_batch()
    return gan, gan.init(jax.random.key(0), batch), batch


def test_fakes_carry_the_labels_they_were_asked_for(begun):
    gan, state, batch = begun
    (samples, labels), _ = gan.generate(
        state.generator.params, state, first(batch), state.key, advance=True
    )
    assert samples.shape == (BATCH, SIZE, SIZE, 1)
    np.testing.assert_array_equal(labels, batch["conditions"]["labels"][0])
    assert gan.reads == ("labels",)


def test_the_logit_is_the_projection(begun):
    _, state, batch = begun
    critic, x = projection.Critic(CLASSES, width=4), batch["real"][0]
    labels = batch["labels"][0]
    variables = {"params": state.critic.params, **state.critic.model_state}
    logits, sown = critic.apply(variables, x, labels, False, mutable=["intermediates"])
    phi = np.asarray(sown["intermediates"]["features"][0], np.float64)
    params, spectra = state.critic.params, state.critic.model_state["spectral"]

    def normalised(name):
        matrix = np.asarray(params[name]["kernel"], np.float64)
        return matrix / np.linalg.norm(matrix @ np.asarray(spectra[name]["u"], np.float64))

    table, psi = normalised("Embed_0"), normalised("Dense_0")[:, 0]
    expected = phi @ psi + float(params["Dense_0"]["bias"][0]) + np.sum(table[labels] * phi, 1)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)


def test_renaming_the_classes_in_all_tables_renames_the_outputs(begun):
    gan, state, _ = begun
    order = np.array([2, 0, 1])  # class k is renamed to order[k]

    def rename(path, leaf):
        tables = ("scale", "bias", "Embed_0")
        of_classes = leaf.ndim == 2 and len(leaf) == CLASSES and path[-2].key in tables
        return leaf[np.argsort(order)] if of_classes else leaf

    renamed = jax.tree_util.tree_map_with_path(rename, state)
    rows = jnp.arange(BATCH)
    labels = rows % CLASSES
    key = jax.random.key(1)
    ours = gan.sample(state, key, {"row": rows, "labels": labels})
    theirs = gan.sample(renamed, key, {"row": rows, "labels": order[labels]})
    np.testing.assert_array_equal(ours, theirs)
    critic = projection.Critic(CLASSES, width=4)
    for player, names in ((state.critic, labels), (renamed.critic, order[labels])):
        logits = passes.evaluate(critic, player, ours, jnp.asarray(names))
        assert logits.shape == (BATCH,)
    np.testing.assert_allclose(
        passes.evaluate(critic, state.critic, ours, labels),
        passes.evaluate(critic, renamed.critic, ours, jnp.asarray(order[labels])),
        rtol=1e-6,
    )


def test_both_players_learn_from_labels(begun):
    gan, state, batch = begun
    data = first(batch)
    fakes, _ = gan.generate(state.generator.params, state, data, state.key, advance=False)
    loss = jax.jit(gan.critic_loss)
    value, _ = loss(state.critic.params, state, data, fakes, state.key)
    other = {**data, "labels": (data["labels"] + 1) % CLASSES}
    assert loss(state.critic.params, state, other, fakes, state.key)[0] != value
    wrong = (fakes[0], (fakes[1] + 1) % CLASSES)
    assert loss(state.critic.params, state, data, wrong, state.key)[0] != value
    after, metrics = jax.jit(functools.partial(train_step, gan=gan, ema_decay=0.9))(state, batch)
    assert all(np.isfinite(x) for x in metrics.values())
    moved = after.generator.params["ConditionalBatchNorm_0"]["scale"]["kernel"]
    before = state.generator.params["ConditionalBatchNorm_0"]["scale"]["kernel"]
    asked = np.unique(batch["conditions"]["labels"])
    changed = np.any(np.asarray(moved) != np.asarray(before), axis=1)
    np.testing.assert_array_equal(np.flatnonzero(changed), asked)  # other classes have no gradient
