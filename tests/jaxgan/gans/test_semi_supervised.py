"""Tests of the semi-supervised system against an explicit softmax over K + 1 classes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.sharding import PartitionSpec

from jaxgan import latents, optimizers, parallel
from jaxgan.errors import SetupError
from jaxgan.gans import passes, semi_supervised
from jaxgan.models import weight_norm_mlp
from jaxgan.steps import train_step

CLASSES, BATCH, DIM = 3, 8, 5


def random_logits(seed, classes=CLASSES, count=BATCH):
    rng = np.random.default_rng(seed)
    return tuple(4 * rng.normal(size=(count, classes)) for _ in range(3)), rng.integers(0, classes, count)


def log_softmax_with_fakes(logits):
    """Returns the log-probabilities of K + 1 classes; the last class has logit 0, in float64."""
    whole = np.concatenate([logits, np.zeros((len(logits), 1))], 1)
    whole -= whole.max(1, keepdims=True)
    return whole - np.log(np.exp(whole).sum(1, keepdims=True))


@given(st.integers(0, 999), st.integers(1, 12))
def test_the_losses_are_those_of_a_softmax_with_one_more_class(seed, classes):
    (labelled, real, fake), labels = random_logits(seed, classes)
    rows = log_softmax_with_fakes(labelled)
    given_real = np.exp(rows[:, :-1]) / np.exp(rows[:, :-1]).sum(1, keepdims=True)  # p(y | x, y ≤ K)
    supervised = -np.mean(np.log(given_real[np.arange(BATCH), labels]))
    np.testing.assert_allclose(
        semi_supervised.labelled_loss(jnp.float32(labelled), labels), supervised, rtol=1e-4, atol=1e-6
    )
    is_real = 1 - np.exp(log_softmax_with_fakes(real)[:, -1])
    is_fake = log_softmax_with_fakes(fake)[:, -1]
    unsupervised = -0.5 * np.mean(np.log(is_real)) - 0.5 * np.mean(is_fake)
    found = semi_supervised.unlabelled_loss(jnp.float32(real), jnp.float32(fake))
    np.testing.assert_allclose(found, unsupervised, rtol=1e-4, atol=1e-6)


@given(st.integers(0, 999))
def test_one_class_is_half_of_the_binary_cross_entropy(seed):
    (labelled, real, fake), labels = random_logits(seed, classes=1)
    probabilities = [1 / (1 + np.exp(-x)) for x in (real, fake)]
    expected = -0.5 * (np.mean(np.log(probabilities[0])) + np.mean(np.log(1 - probabilities[1])))
    found = semi_supervised.unlabelled_loss(jnp.float32(real), jnp.float32(fake))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    assert semi_supervised.labelled_loss(jnp.float32(labelled), labels) == 0


@given(st.integers(0, 999), st.floats(-5, 5))
def test_a_constant_leaves_the_labelled_loss_alone(seed, constant):
    (labelled, real, fake), labels = random_logits(seed)
    losses = [semi_supervised.labelled_loss(jnp.float32(labelled + c), labels) for c in (0, constant)]
    np.testing.assert_allclose(*losses, rtol=1e-4, atol=1e-5)
    # The unlabelled loss does change.
    odds = [semi_supervised.unlabelled_loss(jnp.float32(real + c), jnp.float32(fake)) for c in (0, -5)]
    assert odds[1] > odds[0] + 0.01


@given(st.integers(0, 999))
def test_feature_matching_is_the_mean_square_of_the_differences(seed):
    rng = np.random.default_rng(seed)
    real, fake = rng.normal(size=(8, 6)), rng.normal(size=(5, 6))
    expected = np.mean((real.mean(0) - fake.mean(0)) ** 2)
    found = semi_supervised.feature_distance(jnp.float32(real), jnp.float32(fake))
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)


def test_feature_means_are_global():
    rng = np.random.default_rng(0)
    real, fake = (jnp.float32(rng.normal(size=(8, 6))) for _ in range(2))
    expected = semi_supervised.feature_distance(real, fake)
    split = [x.reshape(8, 1, 6) for x in (real, fake)]
    found = jax.pmap(semi_supervised.feature_distance, axis_name=parallel.AXIS)(*split)
    np.testing.assert_allclose(found, np.full(8, expected), rtol=1e-5)
    local = jax.pmap(semi_supervised.feature_distance, axis_name="other")(*split)
    assert np.mean(np.abs(local - expected)) > 0.1  # Without the means of all rows, the loss differs.
    sharding = jax.sharding.NamedSharding(parallel.device_mesh(), PartitionSpec(parallel.AXIS))
    sharded = jax.device_put((real, fake), sharding)
    np.testing.assert_allclose(jax.jit(semi_supervised.feature_distance)(*sharded), expected, rtol=1e-5)


def system(weight=1.0):
    tx = optimizers.build("adam", learning_rate=3e-3, b1=0.5)
    return semi_supervised.semi_supervised(
        weight_norm_mlp.Generator((DIM,), hidden=(8,)),
        weight_norm_mlp.Classifier(CLASSES, hidden=(16, 6)),
        generator_tx=tx,
        critic_tx=tx,
        prior=functools.partial(latents.uniform, dim=4),
        unlabelled_weight=weight,
    )


def make_batch(seed=0):
    rng = np.random.default_rng(seed)
    parts = {name: rng.normal(size=(1, BATCH, DIM)) for name in ("real", "matched", "labelled")}
    rows = np.arange(BATCH, dtype=np.int32)[None]
    labels = rng.integers(0, CLASSES, (1, BATCH)).astype(np.int32)
    return {**{name: jnp.float32(x) for name, x in parts.items()}, "labelled_labels": labels, "row": rows}


@pytest.fixture(scope="module")
def begun():
    gan = system()
    return gan, gan.init(jax.random.key(0), make_batch())


def step_of(gan):
    return jax.jit(functools.partial(train_step, gan=gan, ema_decay=0.9))


def classify(params, x):
    """Computes the logits of the classifier without noise, in float64."""
    layers = [params[f"WeightNormDense_{i}"] for i in range(3)]
    for i, layer in enumerate(layers):
        v, g, b = (np.asarray(layer[name], np.float64) for name in ("kernel", "scale", "bias"))
        x = x @ (v / np.linalg.norm(v, axis=0) * g) + b
        x = np.maximum(x, 0) if i < 2 else x
    return x


def test_the_averaged_classifier_is_measured(begun):
    gan, state = begun
    step = step_of(gan)
    for _ in range(5):
        state, _ = step(state, make_batch())
    x = np.random.default_rng(3).normal(size=(200, DIM))
    logits = {
        name: classify(params, x)
        for name, params in (("raw", state.critic.params), ("ema", state.critic.ema_params))
    }
    labels = {name: np.argmax(x, 1) for name, x in logits.items()}
    assert np.any(labels["raw"] != labels["ema"])
    measure = gan.measures["error"]
    for own, expected in (("ema", 0.0), ("raw", np.mean(labels["raw"] != labels["ema"]))):
        batch = {"real": jnp.float32(x), "labels": labels[own]}
        rows = measure.per_row(state, batch, jax.random.key(0))
        assert rows["wrong"].shape == (200,)
        assert measure.reduce({name: np.asarray(x) for name, x in rows.items()}) == pytest.approx(expected)
    assert not measure.more_is_better
    odds = np.log(np.sum(np.exp(logits["ema"]), 1))
    np.testing.assert_allclose(gan.judge(state, jnp.float32(x)), odds, rtol=1e-3, atol=1e-4)


def test_the_noise_of_a_row_depends_on_its_row_alone(begun):
    _, state = begun
    batch = jax.tree.map(lambda x: x[0], make_batch())
    critic = weight_norm_mlp.Classifier(CLASSES, hidden=(16, 6))
    keys = passes.keys_for(state.key, passes.NOISE, batch)
    variables = {"params": state.critic.params}
    whole = critic.apply(variables, batch["real"], keys, True)
    part = critic.apply(variables, batch["real"][3:5], keys[3:5], True)
    np.testing.assert_allclose(whole[3:5], part, rtol=1e-5, atol=1e-6)
    silent = critic.apply(variables, batch["real"], None, False)
    np.testing.assert_allclose(silent, classify(state.critic.params, batch["real"]), rtol=1e-4, atol=1e-5)
    same = critic.apply(variables, jnp.repeat(batch["real"][:1], BATCH, 0), keys, True)
    assert len(np.unique(np.asarray(same)[:, 0])) == BATCH


def test_noise_has_its_standard_deviation():
    keys = latents.row_keys(jax.random.key(0), jnp.arange(4000))
    critic = weight_norm_mlp.Classifier(CLASSES, hidden=(), input_noise=0.3)
    images = jnp.ones((4000, 2, 2, 1))  # 1 in [−1, 1] is 1 in [0, 1].
    params = {"kernel": jnp.ones((4, 3)), "scale": jnp.full(3, 2.0), "bias": jnp.zeros(3)}  # The sum.
    logits = critic.apply({"params": {"WeightNormDense_0": params}}, images, keys, True)
    np.testing.assert_allclose(np.mean(logits, 0), 4, atol=0.04)
    np.testing.assert_allclose(np.std(logits, 0), 0.3 * 2, rtol=0.05)


def test_without_weight_the_labels_alone_are_learnt():
    gan = system(weight=0.0)
    state = gan.init(jax.random.key(0), make_batch())
    step = step_of(gan)
    after, metrics = step(state, make_batch())
    assert metrics["critic_loss"] == metrics["labelled_loss"]
    assert metrics["generator_grad_norm"] == 0
    other = {**make_batch(), **{name: make_batch(1)[name] for name in ("real", "matched")}}
    again, _ = step(state, other)
    jax.tree.map(np.testing.assert_array_equal, again.critic.params, after.critic.params)
    jax.tree.map(np.testing.assert_array_equal, after.generator.params, state.generator.params)
    changed, _ = step_of(system())(state, make_batch())  # With the weight, both players differ.
    for player in ("generator", "critic"):
        own, theirs = getattr(changed, player).params, getattr(after, player).params
        assert any(np.any(x != y) for x, y in zip(*map(jax.tree.leaves, (own, theirs)), strict=True))


def test_the_generator_matches_samples_that_the_critic_did_not_see(begun):
    gan, state = begun
    step = step_of(gan)
    _, metrics = step(state, make_batch())
    for part, changed in (("matched", "generator_loss"), ("real", "critic_loss")):
        _, others = step(state, {**make_batch(), part: make_batch(1)[part]})
        assert others[changed] != metrics[changed]
    _, others = step(state, {**make_batch(), "matched": make_batch(1)["matched"]})
    assert others["critic_loss"] == metrics["critic_loss"]


def test_hidden_scales_stay_as_they_began(begun):
    gan, state = begun
    after, _ = step_of(gan)(state, make_batch())
    for number, trained in enumerate((False, False, True)):
        old, new = (x.critic.params[f"WeightNormDense_{number}"]["scale"] for x in (state, after))
        assert np.any(old != new) == trained


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("matched", "no matched samples in the data: give data.name zipped"),
        ("labelled_labels", "no labels"),
    ],
)
def test_data_without_a_part_are_refused(missing, message):
    batch = make_batch()
    del batch[missing]
    with pytest.raises(SetupError, match=message):
        system().init(jax.random.key(0), batch)


def test_samples_without_labels_have_no_error(begun):
    gan, state = begun
    with pytest.raises(SetupError, match="needs labels"):
        gan.measures["error"].per_row(state, {"real": make_batch()["real"][0]}, state.key)
