"""Tests of the conditional GAN and its projection critic against their formulas."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan import latents, layers, losses, optimizers
from jaxgan.gans import passes
from jaxgan.gans.conditional import conditional
from jaxgan.models import conditional_dcgan
from jaxgan.steps import train_step

CLASSES, BATCH, SIZE = 3, 8, 8


@functools.cache
def system():
    tx = optimizers.build("adam", learning_rate=1e-3, b1=0.5)
    return conditional(
        conditional_dcgan.Generator(SIZE, 1, CLASSES, width=4),
        conditional_dcgan.Critic(CLASSES, width=4),
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
    critic, x = conditional_dcgan.Critic(CLASSES, width=4), batch["real"][0]
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
    critic = conditional_dcgan.Critic(CLASSES, width=4)
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


# Two Gaussian classes of unit covariance in the plane, real (p) and generated (q).
REAL_MEANS = np.array([[1.0, 0.5], [-0.5, -1.0]], np.float32)
FAKE_MEANS = np.array([[0.0, -0.5], [0.5, 0.0]], np.float32)


class FixedGaussians(nn.Module):
    """A generator of N(FAKE_MEANS[y], I), with a parameter that has no effect."""

    @nn.compact
    def __call__(self, z, labels, train):
        return z + jnp.asarray(FAKE_MEANS)[labels] + 0 * self.param("unused", nn.initializers.zeros, ())


class OneHotCritic(nn.Module):
    """An MLP on a point and its one-hot label."""

    @nn.compact
    def __call__(self, x, labels, train):
        x = jnp.concatenate([x, jax.nn.one_hot(labels, 2)], -1)
        for width in (32, 32):
            x = nn.leaky_relu(layers.Dense(width)(x, train), 0.2)
        return layers.Dense(1)(x, train)[:, 0]


def test_the_critic_of_a_fixed_generator_approaches_the_conditional_log_ratio():
    rows, steps = 512, 800
    gan = conditional(
        FixedGaussians(),
        OneHotCritic(),
        loss=losses.get("non_saturating"),
        generator_tx=optax.sgd(0.0),
        critic_tx=optax.adam(optax.cosine_decay_schedule(1e-2, steps)),
        prior=functools.partial(latents.normal, dim=2),
    )

    def batch_at(key):
        real_key, label_key, asked_key = jax.random.split(key, 3)
        labels, asked = (jax.random.randint(k, (1, rows), 0, 2) for k in (label_key, asked_key))
        real = jax.random.normal(real_key, (1, rows, 2)) + jnp.asarray(REAL_MEANS)[labels]
        row = jnp.arange(rows)[None]
        return {"real": real, "labels": labels, "row": row, "conditions": {"row": row, "labels": asked}}

    @jax.jit
    def train(key):
        def step(state, key):
            return train_step(state, batch_at(key), gan=gan, ema_decay=0.9)[0], None

        keys = jax.random.split(key, steps)
        return jax.lax.scan(step, gan.init(key, batch_at(key)), keys)[0]

    critic = train(jax.random.key(0)).critic
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 1000)
    x = rng.normal(size=(1000, 2)) + np.stack([REAL_MEANS, FAKE_MEANS])[rng.integers(0, 2, 1000), labels]

    def log_density(means, y):
        return -np.sum((x - means[y]) ** 2, 1) / 2

    def error(y):
        """Returns the root mean square difference from log p(x|y) / q(x|y) as a share of its own."""
        exact = log_density(REAL_MEANS, y) - log_density(FAKE_MEANS, y)
        return np.sqrt(np.mean((logits - exact) ** 2) / np.mean(exact**2))

    logits = np.asarray(passes.evaluate(OneHotCritic(), critic, jnp.float32(x), jnp.asarray(labels)))
    assert error(labels) < 0.1
    assert error(1 - labels) > 1  # the control: the other class's ratio

    def marginal(means):
        return np.logaddexp(log_density(means, 0), log_density(means, 1))

    # The control: a critic that ignores labels could only know log p(x) / q(x).
    exact = log_density(REAL_MEANS, labels) - log_density(FAKE_MEANS, labels)
    ratio = marginal(REAL_MEANS) - marginal(FAKE_MEANS)
    assert np.sqrt(np.mean((ratio - exact) ** 2) / np.mean(exact**2)) > 0.5
