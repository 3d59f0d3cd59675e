"""Tests of AC-GAN's losses, penalties and pool, and of what it refuses."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import special

from experiments.cli import config_files
from experiments.training import build, checks
from jaxgan import latents, losses, regularizers
from jaxgan.errors import SetupError
from jaxgan.gans import passes
from jaxgan.gans.acgan import acgan
from jaxgan.models import conditional_dcgan, dcgan
from jaxgan.steps import train_step
from jaxgan.views import pool
from tests.two_gaussians import LinearCritic, bayes_critic, fakes_of, first, line, line_batch

CLASSES, BATCH, SIZE = 3, 8, 16


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
