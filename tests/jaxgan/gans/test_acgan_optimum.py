"""Tests of AC-GAN's cross-entropy against NumPy, and of its optimum for two Gaussian classes on a line."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies
from scipy import special

from jaxgan import losses
from jaxgan.gans.acgan import accuracy, cross_entropy
from tests.two_gaussians import LinearCritic, bayes_critic, fakes_of, first, line, line_batch


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
