"""Tests of each remedy against its paper, written in NumPy or derived by hand."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan import latents, losses
from jaxgan.errors import SetupError
from jaxgan.gans.adversarial import adversarial
from jaxgan.models import mlp
from jaxgan.remedies.history import historical_averaging
from jaxgan.remedies.pairs import one_sided_label_smoothing, top_k
from jaxgan.remedies.unrolling import unrolled
from jaxgan.views.noise import instance_noise
from jaxgan.views.pool import replay
from tests.conftest import composed, example, fakes_of, losses_of
from tests.points import assert_devices_agree, game, points_batch, stepper

NS = losses.get("non_saturating")


def begin(gan, n_critic=1):
    batch = points_batch(n_critic=n_critic)
    return gan.init(jax.random.key(0), batch), example(batch)


def close(ours, theirs, rtol=1e-5, atol=1e-6):
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=rtol, atol=atol), ours, theirs)


def test_label_smoothing_is_cross_entropy_with_soft_labels():
    real, fake = np.array([0.3, -2.0, 5.0]), np.array([1.0, -4.0])

    def d(x):
        return 1 / (1 + np.exp(-x))

    expected = -np.mean(0.9 * np.log(d(real)) + 0.1 * np.log(1 - d(real))) - np.mean(np.log(1 - d(fake)))
    pair = one_sided_label_smoothing(NS, real_label=0.9)
    np.testing.assert_allclose(pair.critic(jnp.array(real), jnp.array(fake)), expected, rtol=1e-6)
    assert pair.generator is NS.generator
    # On real samples alone, the critic's loss is minimal at D(x) = 0.9.
    gradient = jax.grad(lambda r: pair.critic(r, jnp.zeros(3)))(jnp.full(3, np.log(9.0)))
    np.testing.assert_allclose(gradient, 0, atol=1e-7)
    with pytest.raises(SetupError, match="cross-entropy"):
        one_sided_label_smoothing(losses.get("hinge"), real_label=0.9)


@pytest.mark.parametrize(("step", "k"), [(0, 6), (1, 5), (3, 3), (50, 2)])
def test_top_k_takes_the_best_and_fewer_with_time(step, k):
    logits = jnp.array([0.5, -1.0, 3.0, 2.0, 2.0, -4.0])
    pair = top_k(NS, share=0.3, decay=0.8)(jnp.int32(step))
    best = np.sort(logits)[::-1][:k]
    np.testing.assert_allclose(pair.generator(logits), np.mean(np.log1p(np.exp(-best))), rtol=1e-6)
    gradients = jax.grad(pair.generator)(logits)
    assert np.count_nonzero(gradients) == k  # of two equal logits, one may be left out
    np.testing.assert_allclose(
        pair.generator(logits[:, None, None] + jnp.zeros((1, 2, 1))), pair.generator(logits), rtol=1e-6
    )


def test_top_k_needs_samples_with_losses_of_their_own():
    with pytest.raises(SetupError, match="not relativistic"):
        top_k(losses.get("relativistic_average"), share=0.5, decay=0.9)


def test_feature_matching_is_the_distance_of_mean_features():
    gan = game(feature_matching=True)
    state, batch = begin(gan)
    loss, aux = losses_of(gan, "generator")(state, batch, state.key)
    fake, *_ = fakes_of(gan)(state, batch, state.key)
    layer = jax.tree.map(np.asarray, state.critic.params["Dense_0"])

    def features(x):
        x = np.asarray(x, np.float64) @ layer["kernel"] + layer["bias"]
        return np.where(x > 0, x, 0.2 * x)

    expected = np.sum((features(batch["real"]).mean(0) - features(fake).mean(0)) ** 2)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    assert aux.metrics == {}


def test_feature_matching_needs_features():
    gan = game(critic=mlp.AutoEncoder((4,)), feature_matching=True)
    with pytest.raises(SetupError, match="sows its 'features'"):
        jax.eval_shape(gan.init, jax.random.key(0), points_batch())


def test_historical_averaging_pulls_to_the_mean_of_the_past():
    weight, plain = 0.3, game()
    gan = historical_averaging(plain, weight=weight)
    state, _ = begin(gan, n_critic=2)
    step = jax.jit(stepper(gan))
    gradients = {
        player: jax.jit(jax.grad(composed(plain, player), has_aux=True))
        for player in ("critic", "generator")
    }
    past = {"critic": [], "generator": []}
    for t in range(3):
        batch = points_batch(t, 2)
        key = jax.random.fold_in(state.key, t)
        after, metrics = step(state, batch)
        now = state
        for i, player in ((0, "critic"), (1, "critic"), (1, "generator")):
            data = {name: values[i] for name, values in batch.items()}
            params = jax.tree.map(np.asarray, getattr(now, player).params)
            past[player].append(params)
            away = jax.tree.map(lambda p, *all_: p - np.mean(all_, 0), params, *past[player])
            grads, _ = gradients[player](params, now, data, jax.random.fold_in(key, i))
            params = jax.tree.map(lambda p, a, g: p - 0.05 * (g + 2 * weight * a), params, away, grads)
            now = now.replace(**{player: getattr(now, player).replace(params=params)})
        distance = sum(np.sum(np.square(leaf)) for leaf in jax.tree.leaves(away))
        np.testing.assert_allclose(metrics["generator_history"], weight * distance, rtol=1e-3, atol=1e-9)
        close(after.critic.params, now.critic.params, 1e-4)
        close(after.generator.params, now.generator.params, 1e-4)
        state = after
    assert metrics["generator_history"] > 0


def test_unrolling_differentiates_through_the_critics_updates():
    # The data are at 0, the samples at a, and the critic is D(x) = b x + c under the Wasserstein loss. Its
    # gradient in b is a, so K updates of rate η give b_K = b − η K a, and L_G = −b_K a = −b a + η K a².
    rate, k = 0.1, 4
    gan = adversarial(
        mlp.Generator((1,), ()),
        mlp.Critic(()),
        loss=losses.get("wasserstein"),
        generator_tx=optax.sgd(rate),
        critic_tx=optax.sgd(rate),
        prior=functools.partial(latents.normal, dim=1),
    )
    batch = {"real": jnp.zeros((1, 4, 1)), "row": jnp.arange(4)[None]}
    state = gan.init(jax.random.key(0), batch)
    a, b = 0.7, 0.3
    params = {"Dense_0": {"kernel": jnp.zeros((1, 1)), "bias": jnp.full(1, a)}}
    critic = {"Dense_0": {"kernel": jnp.full((1, 1), b), "bias": jnp.zeros(1)}}
    state = state.replace(critic=state.critic.replace(params=critic))
    data, loss = example(batch), composed(unrolled(gan, steps=k), "generator")
    (value, _), grads = jax.jit(jax.value_and_grad(loss, has_aux=True))(params, state, data, state.key)
    np.testing.assert_allclose(value, -b * a + rate * k * a**2, rtol=1e-5)
    # Without the gradient through the updates, the result would be −b_K = −b + η K a.
    np.testing.assert_allclose(grads["Dense_0"]["bias"], -b + 2 * rate * k * a, rtol=1e-5)


def test_no_unrolling_is_the_game_itself():
    plain, gan = game(), unrolled(game(), steps=0)
    state, batch = begin(plain)
    grads = [
        jax.jit(jax.grad(composed(g, "generator"), has_aux=True))(
            state.generator.params, state, batch, state.key
        )
        for g in (plain, gan)
    ]
    close(grads[1][0], grads[0][0])


def combined(*, share=0.5, std=0.3, weight=0.1, real_label=0.9, decay=0.7):
    """Returns a system that combines most of the remedies."""
    pair = one_sided_label_smoothing(NS, real_label=real_label)
    gan = game(
        loss=top_k(pair, share=share, decay=decay),
        critic=mlp.Critic((8,), minibatch="distance"),
        augment=instance_noise(std=std, steps=10),
        pool=replay(size=24, share=share),
    )
    return unrolled(historical_averaging(gan, weight=weight), steps=2)


def matching():
    return game(feature_matching=True)


@pytest.mark.slow
@pytest.mark.parametrize("how", ["jit", "pmap"])
@pytest.mark.parametrize("make", [combined, matching])
def test_eight_devices_agree_with_one(make, how):
    assert_devices_agree(make, how)


@pytest.mark.slow
def test_hyper_parameters_may_be_traced():
    values = jnp.array([0.2, 0.6])

    state, batch = begin(combined())
    state = state.replace(step=jnp.int32(3))

    def both(value):
        gan = combined(share=value, std=value, weight=value, real_label=value, decay=value)
        loss = composed(gan, "critic")
        _, aux = loss(state.critic.params, state, batch, state.key)
        after = state.replace(extra=aux.extra)  # the pool of this state is not empty
        return {
            "critic": loss(state.critic.params, after, batch, state.key)[0],
            "generator": composed(gan, "generator")(state.generator.params, after, batch, state.key)[0],
        }

    together = jax.jit(jax.vmap(both))(values)
    alone = jax.jit(lambda: both(0.6))()
    close(jax.tree.map(lambda x: x[1], together), alone, 1e-4)
    assert together["critic"][0] != together["critic"][1]
    assert together["generator"][0] != together["generator"][1]
