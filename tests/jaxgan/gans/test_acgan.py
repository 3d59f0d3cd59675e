"""Tests of AC-GAN against NumPy, and against the exact solution for two Gaussian classes on a line."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, strategies
from scipy import special, stats

from experiments.cli import config_files
from experiments.training import build, checks
from jaxgan import latents, losses, regularizers
from jaxgan.errors import SetupError
from jaxgan.gans import passes
from jaxgan.gans.acgan import accuracy, acgan, cross_entropy
from jaxgan.layers.heads import ClassifyingHeads
from jaxgan.models import conditional_dcgan, dcgan
from jaxgan.steps import train_step
from jaxgan.views import pool

CLASSES, BATCH, SIZE = 3, 8, 16


def first(batch):
    return jax.tree.map(lambda x: x[0], batch)


def fakes_of(gan, state, data, params=None):
    params = state.generator.params if params is None else params
    return jax.jit(lambda: gan.generate(params, state, data, state.key, advance=False)[0])()


class LineGenerator(nn.Module):
    """Generator z + m_y of points on a line, with one learnt mean per class."""

    @nn.compact
    def __call__(self, z, labels, train):
        means = self.param("means", lambda key: jnp.array([-1.0, 1.0]))
        return z + means[labels][:, None]


class LinearCritic(nn.Module):
    """Critic whose two heads are affine functions of the point."""

    @nn.compact
    def __call__(self, x, train):
        return ClassifyingHeads(2)(x, train)


def line(*, classify_fakes=True, generator_class_weight=1.0, loss="wasserstein", **options):
    return acgan(
        LineGenerator(),
        LinearCritic(),
        loss=losses.get(loss),
        critic_class_weight=1.0,
        generator_class_weight=generator_class_weight,
        classify_fakes=classify_fakes,
        **options,
        generator_tx=optax.sgd(0.1),
        critic_tx=optax.sgd(0.1),
        prior=functools.partial(latents.normal, dim=1),
    )


def line_batch(count, means=(-1.0, 1.0)):
    """Returns ``count`` quantiles of N(m, 1) for each class, and those of N(0, 1) as latents.

    Means over the batch are thus integrals up to a small error, without any randomness.
    """
    quantiles = stats.norm.ppf((np.arange(count) + 0.5) / count)
    real = np.concatenate([quantiles + mean for mean in means]).astype(np.float32)[None, :, None]
    labels = np.repeat(np.arange(2, dtype=np.int32), count)[None]
    rows = np.arange(2 * count, dtype=np.int32)[None]
    z = np.tile(quantiles, 2).astype(np.float32)[None, :, None]
    conditions = {"row": rows, "labels": labels, "z": z}
    return {"real": real, "labels": labels, "row": rows, "conditions": conditions}


def images(*, norm="layer", **options):
    hyper = {"critic_class_weight": 1.0, "generator_class_weight": 1.0, "classify_fakes": True}
    return acgan(
        conditional_dcgan.Generator(SIZE, 1, CLASSES, width=4),
        dcgan.ClassifyingCritic(CLASSES, width=4, norm=norm),
        loss=losses.get("non_saturating"),
        generator_tx=optax.sgd(0.1),
        critic_tx=optax.sgd(0.1),
        prior=functools.partial(latents.normal, dim=4),
        **{**hyper, **options},
    )


def image_batch(n_critic=1):
    rng = np.random.default_rng(0)
    rows = np.broadcast_to(np.arange(BATCH, dtype=np.int32), (n_critic, BATCH))
    real = np.tanh(rng.normal(size=(n_critic, BATCH, SIZE, SIZE, 1))).astype(np.float32)
    labels, asked = rng.integers(0, CLASSES, (2, n_critic, BATCH)).astype(np.int32)
    return {"real": real, "labels": labels, "row": rows, "conditions": {"row": rows, "labels": asked}}


@given(
    seed=strategies.integers(0, 1000),
    classes=strategies.integers(2, 10),
    scale=strategies.sampled_from([1e-3, 1.0, 300.0]),
    shift=strategies.floats(-50, 50),
)
def test_cross_entropy_is_numpys_and_ignores_a_shift(seed, classes, scale, shift):
    rng = np.random.default_rng(seed)
    logits = (scale * rng.normal(size=(16, classes))).astype(np.float32)
    labels = rng.integers(0, classes, 16)
    expected = -special.log_softmax(logits.astype(np.float64), -1)[np.arange(16), labels].mean()
    np.testing.assert_allclose(cross_entropy(logits, labels), expected, rtol=2e-6, atol=1e-6)
    shifted = cross_entropy(logits + np.float32(shift), labels)
    np.testing.assert_allclose(shifted, expected, rtol=1e-5, atol=2e-5)
    doubled = -np.log(special.softmax(special.softmax(logits, -1), -1)[np.arange(16), labels]).mean()
    assert abs(doubled - expected) > 1e-6  # the control
    np.testing.assert_allclose(accuracy(logits, labels), np.mean(logits.argmax(-1) == labels), rtol=1e-6)


def trained_slope(batch, fake_means=(-1.0, 1.0), **options):
    """Returns the slope of the class logit of a linear critic that is trained to convergence."""
    gan = line(**options)
    state, data = gan.init(jax.random.key(0), batch), first(batch)
    fakes = fakes_of(gan, state, data, {"means": jnp.array(fake_means)})

    def class_loss(params):
        return gan.critic_loss(params, state, data, fakes, state.key)[0] - score(params)

    def score(params):  # the wasserstein loss of the score head, which has no minimum
        out = [LinearCritic().apply({"params": params}, x, True) for x in (data["real"], fakes[0])]
        return losses.wasserstein_critic_loss(out[0].logits, out[1].logits)

    def descend(params, _):
        return jax.tree.map(lambda x, slope: x - slope, params, jax.grad(class_loss)(params)), None

    params, _ = jax.jit(lambda params: jax.lax.scan(descend, params, length=1500))(state.critic.params)
    kernel = np.asarray(params["ClassifyingHeads_0"]["classes"]["kernel"])[0]
    return kernel[1] - kernel[0]


def test_the_class_head_recovers_the_bayes_logit_of_two_gaussians():
    # log p(x | 1) / p(x | 0) = 2x for N(±1, 1) and 4x for N(±2, 1).
    np.testing.assert_allclose(trained_slope(line_batch(1000), classify_fakes=False), 2.0, atol=0.02)
    wider = line_batch(1000, means=(-2.0, 2.0))
    np.testing.assert_allclose(trained_slope(wider, classify_fakes=False), 4.0, atol=0.04)


def test_without_information_in_the_labels_the_class_logit_is_flat():
    batch = line_batch(1000)
    batch["labels"] = np.tile(np.arange(2, dtype=np.int32), 1000)[None]
    assert abs(trained_slope(batch, classify_fakes=False)) < 0.02


def test_the_papers_class_head_also_learns_from_the_fakes():
    batch = line_batch(1000)
    np.testing.assert_allclose(trained_slope(batch, classify_fakes=True), 2.0, atol=0.02)
    # If the generator exchanges the classes, no class is more probable than the other at any point.
    exchanged = functools.partial(trained_slope, batch, fake_means=(1.0, -1.0))
    assert abs(exchanged(classify_fakes=True)) < 0.02
    np.testing.assert_allclose(exchanged(classify_fakes=False), 2.0, atol=0.02)


def bayes_critic(state):
    """Returns the critic's parameters that are optimal for classes at ±1 and equal distributions."""
    params = jax.tree.map(jnp.zeros_like, state.critic.params)
    params["ClassifyingHeads_0"]["classes"]["kernel"] = jnp.array([[-1.0, 1.0]])
    return params


@pytest.mark.parametrize("weight", [0.0, 0.1, 1.0])
def test_the_generators_classes_drift_apart_at_the_datas_own_distribution(weight):
    """At G = data, the gradient of a mean's distance is −2 w E[σ(−2x)], x ~ N(1, 1), instead of 0."""
    gan, batch = line(generator_class_weight=weight), line_batch(4000)
    state, data = gan.init(jax.random.key(0), batch), first(batch)
    state = state.replace(critic=state.critic.replace(params=bayes_critic(state)))

    def loss(params):
        fakes, _ = gan.generate(params, state, data, state.key, advance=True)
        return gan.generator_loss(params, state, data, fakes, state.key)[0]

    gradient = np.asarray(jax.jit(jax.grad(loss))(state.generator.params)["means"])
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    slope = np.sum(weights * special.expit(-2 * (1 + nodes))) / np.sqrt(2 * np.pi)
    # Each class has half of the batch. Descent moves the means −1 and 1 outwards.
    np.testing.assert_allclose(gradient, weight * slope * np.array([1.0, -1.0]), atol=1e-4)
    assert weight == 0 or (gradient[0] > 0 > gradient[1])


@pytest.mark.parametrize("classify_fakes", [True, False])
def test_both_losses_are_the_papers(classify_fakes):
    gan = images(critic_class_weight=0.7, generator_class_weight=0.3, classify_fakes=classify_fakes)
    plain = images(critic_class_weight=0.0, generator_class_weight=0.0, classify_fakes=classify_fakes)
    batch = image_batch()
    state, data = gan.init(jax.random.key(0), batch), first(batch)
    fakes = fakes_of(gan, state, data)
    asked = data["conditions"]["labels"]
    np.testing.assert_array_equal(fakes[1], asked)
    judge = jax.jit(
        lambda x: passes.evaluate(dcgan.ClassifyingCritic(CLASSES, 4, "layer"), state.critic, x)
    )
    out = [jax.tree.map(np.asarray, judge(x)) for x in (data["real"], fakes[0])]

    def ce(logits, labels):
        return -special.log_softmax(logits.astype(np.float64), -1)[np.arange(BATCH), labels].mean()

    real, fake = ce(out[0].class_logits, data["labels"]), ce(out[1].class_logits, asked)
    score = np.log1p(np.exp(-out[0].logits)).mean() + np.log1p(np.exp(out[1].logits)).mean()
    critic, generator = (
        [
            jax.jit(function)(params, state, data, fakes, state.key)
            for function, params in (
                (system.critic_loss, state.critic.params),
                (system.generator_loss, state.generator.params),
            )
        ]
        for system in (gan, plain)
    )
    (critic, generator), (plain_critic, plain_generator) = critic, generator
    np.testing.assert_allclose(plain_critic[0], score, rtol=1e-5)
    # The cross-entropy of the fakes enters both losses with a positive sign.
    np.testing.assert_allclose(critic[0] - score, 0.7 * (real + classify_fakes * fake), rtol=1e-4)
    np.testing.assert_allclose(generator[0] - plain_generator[0], 0.3 * fake, rtol=1e-4)
    np.testing.assert_allclose(plain_generator[0], np.log1p(np.exp(-out[1].logits)).mean(), rtol=1e-5)
    expected = np.mean(out[0].class_logits.argmax(-1) == data["labels"])
    np.testing.assert_allclose(critic[1].metrics["real_class_accuracy"], expected)
    expected = np.mean(out[1].class_logits.argmax(-1) == asked)
    np.testing.assert_allclose(critic[1].metrics["fake_class_accuracy"], expected)


def head_changed(params, name):
    heads = params["ClassifyingHeads_0"]
    kernel = {**heads[name], "kernel": 3.0 * heads[name]["kernel"] + 0.1}
    return {**params, "ClassifyingHeads_0": {**heads, name: kernel}}


@pytest.mark.parametrize("name", ["gradient_penalty", "r1", "r2", "dragan"])
def test_penalties_read_the_score_head_alone(name):
    terms = {name: regularizers.penalty(name, weight=10.0)}
    gan, batch = images(regularizers=terms), image_batch()
    state, data = gan.init(jax.random.key(0), batch), first(batch)
    fakes = fakes_of(gan, state, data)

    @jax.jit
    def penalty(params):
        return gan.critic_loss(params, state, data, fakes, state.key)[1].metrics[name]

    params = state.critic.params
    classes = penalty(head_changed(params, "classes"))
    np.testing.assert_array_equal(classes, penalty(params))
    assert penalty(head_changed(params, "score")) != penalty(params)  # the control
    gradient = jax.jit(jax.grad(penalty))(params)["ClassifyingHeads_0"]
    assert not np.any(gradient["classes"]["kernel"])
    assert np.any(gradient["score"]["kernel"])


def test_the_penalty_of_a_score_of_unit_slope_is_0():
    gan = line(regularizers={"gradient_penalty": regularizers.penalty("gradient_penalty", weight=10.0)})
    batch = line_batch(8)
    state, data = gan.init(jax.random.key(0), batch), first(batch)
    fakes = fakes_of(gan, state, data)
    loss = jax.jit(gan.critic_loss)
    for slope, expected in ((1.0, 0.0), (-1.0, 0.0), (3.0, 40.0)):  # 10 · (3 − 1)²
        params = bayes_critic(state)
        params["ClassifyingHeads_0"]["score"]["kernel"] = jnp.array([[slope]])
        _, aux = loss(params, state, data, fakes, state.key)
        np.testing.assert_allclose(aux.metrics["gradient_penalty"], expected, atol=1e-5)


@pytest.mark.parametrize("loss", ["hinge", "relativistic_average"])
def test_any_loss_pair_trains_and_the_critic_judges_samples_without_labels(loss):
    gan, batch = line(loss=loss), line_batch(8)
    state = gan.init(jax.random.key(0), batch)
    state, metrics = jax.jit(functools.partial(train_step, gan=gan, ema_decay=0.9))(state, batch)
    assert all(np.isfinite(value) for value in metrics.values())
    out = passes.evaluate(LinearCritic(), state.critic, batch["real"][0])
    np.testing.assert_array_equal(gan.judge(state, batch["real"][0]), out.logits)
    assert gan.reads == ("labels",)


def test_past_fakes_are_classified_by_the_labels_that_they_were_asked_for():
    gan, batch = images(pool=pool.replay(size=BATCH, share=1.0)), image_batch()
    state = gan.init(jax.random.key(0), batch)
    data, loss = first(batch), jax.jit(gan.critic_loss)
    fakes = fakes_of(gan, state, data)
    _, aux = loss(state.critic.params, state, data, fakes, state.key)
    full = state.replace(extra=aux.extra)
    # All fakes are past ones, so that the labels of the new ones do not matter.
    values = [
        loss(state.critic.params, full, data, (fakes[0], (fakes[1] + shift) % CLASSES), state.key)
        for shift in (0, 1)
    ]
    np.testing.assert_array_equal(values[0][0], values[1][0])


def test_spectral_vectors_advance_once_in_an_update():
    gan, batch = images(norm="spectral"), image_batch()
    state, data = gan.init(jax.random.key(0), batch), first(batch)
    fakes = fakes_of(gan, state, data)
    _, aux = jax.jit(gan.critic_loss)(state.critic.params, state, data, fakes, state.key)
    both = dcgan.ClassifyingCritic(CLASSES, 4, "spectral")
    player = state.critic
    once = jax.jit(lambda x: passes.forward(both, player.params, player.model_state, x, advance=True)[1])(
        data["real"]
    )
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-5),
        aux.model_state["spectral"],
        once["spectral"],
    )


def test_data_without_labels_is_refused_in_one_line():
    batch = {name: value for name, value in line_batch(8).items() if name != "labels"}
    with pytest.raises(SetupError, match="needs labels, the data has real, row: give other data"):
        line().init(jax.random.key(0), batch)


@pytest.mark.parametrize(
    ("role", "message"),
    [
        (
            "generator",
            r"the generator is called with 2 inputs and train, but .*Generator takes \(z, train\)",
        ),
        (
            "classifying_critic",
            r"models.classifying_critic.family mlp has no classifying_critic: give dcgan",
        ),
    ],
)
def test_networks_of_other_systems_are_refused(role, message):
    config = config_files.load("acgan_mnist.py").values
    with config.unlocked():
        config.models[role] = {"family": "dcgan", "width": 4} if role == "generator" else {"family": "mlp"}
    with pytest.raises(SetupError, match=message):
        check_and_build(config)


def check_and_build(config):
    checks.check_all(config)
    return build.build(config)


def test_images_without_labels_are_refused_by_the_config():
    config = config_files.load("acgan_mnist.py").values
    with config.unlocked():
        config.data = {"name": "folder", "path": "", "size": 28, "channels": 1}
    with pytest.raises(SetupError, match="needs labels, and the sub-folders of data"):
        checks.check_all(config)
