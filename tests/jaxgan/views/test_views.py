"""Tests of views: noise on the samples that the critic sees, and past fakes in place of fresh ones."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxgan import latents
from jaxgan.gans import passes
from jaxgan.gans.began import began
from jaxgan.losses import LossPair
from jaxgan.models import mlp
from jaxgan.regularizers import Regularizer
from jaxgan.views.augmentation import Augmentation
from jaxgan.views.noise import instance_noise
from jaxgan.views.pool import history, replay
from tests.conftest import example, fakes_of, losses_of
from tests.points import BATCH, PRIOR, assert_devices_agree, game, points_batch, stepper


class Mirror(nn.Module):
    """A critic whose logits are its inputs, scaled by a parameter that is 1 at the start."""

    @nn.compact
    def __call__(self, x, train):
        return x * self.param("scale", nn.initializers.ones, ())


def _show(seen):
    shown = {
        "seen_real": seen.real_logits,
        "seen_fake": seen.fake_logits,
        "real": seen.real,
        "fake": seen.fake,
    }
    return jnp.float32(0), shown, seen.state.extra


SHOW = Regularizer(_show, ("seen_real", "seen_fake", "real", "fake"))
WEIGHTS = np.random.default_rng(5).normal(size=(BATCH, 2)).astype(np.float32)
# The generator's loss weights its samples by row, so that the loss reveals which samples it saw.
PAIR = LossPair(
    lambda real, fake: jnp.mean(fake) - jnp.mean(real), lambda fake: jnp.sum(fake * WEIGHTS), False
)


def showing(**options):
    """Returns a system whose critic's metrics are the samples before and after the views."""
    return game(loss=PAIR, critic=Mirror(), regularizers={"show": SHOW}, **options)


def begin(gan, n_critic=1):
    batch = points_batch(n_critic=n_critic)
    return gan.init(jax.random.key(0), batch), example(batch)


def close(ours, theirs, rtol=1e-5, atol=1e-6):
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=rtol, atol=atol), ours, theirs)


# Tests of augmentations.


def test_instance_noise_has_its_variance_and_dies_away():
    gan = showing(augment=instance_noise(std=2.0, steps=10))
    state, _ = begin(gan)
    many = {"real": jnp.zeros((4000, 2)), "row": jnp.arange(4000)}
    _, aux = losses_of(gan, "critic")(state.replace(step=jnp.int32(5)), many, state.key)
    shown = aux.metrics
    noise = np.concatenate([shown["seen_real"] - shown["real"], shown["seen_fake"] - shown["fake"]], 1)
    # σ = 2 · (1 − 5 / 10) = 1. The variance of 4,000 draws has a standard error of √(2 / 4000) = 0.022.
    np.testing.assert_allclose(np.cov(noise.T), np.eye(4), atol=0.09)
    assert shown["instance_noise"] == 1.0


def test_without_instance_noise_left_the_losses_are_the_clean_ones():
    gan, plain = game(augment=instance_noise(std=2.0, steps=10)), game()
    state, data = begin(gan)
    for player in ("critic", "generator"):
        ours, theirs = losses_of(gan, player), losses_of(plain, player)
        late = state.replace(step=jnp.int32(12))
        np.testing.assert_allclose(
            ours(late, data, late.key)[0], theirs(late, data, late.key)[0], rtol=1e-6
        )
        early = ours(state, data, state.key)[0] - theirs(state, data, state.key)[0]
        assert np.abs(early) > 1e-3, player


def test_both_players_see_an_augmentation_and_penalties_what_is_before_it():
    gan = showing(augment=instance_noise(std=1.0, steps=10))
    state, data = begin(gan)
    (fake,) = fakes_of(gan)(state, data, state.key)
    keys = latents.row_keys(jax.random.fold_in(state.key, passes.NOISE), data["row"])

    def noise(side):
        return np.stack([jax.random.normal(jax.random.fold_in(key, side), (2,)) for key in keys])

    _, aux = losses_of(gan, "critic")(state, data, state.key)
    close(aux.metrics["seen_real"], data["real"] + noise(0))
    close(aux.metrics["seen_fake"], fake + noise(1))
    close((aux.metrics["real"], aux.metrics["fake"]), (data["real"], fake))
    loss, _ = losses_of(gan, "generator")(state, data, state.key)
    np.testing.assert_allclose(loss, np.sum((fake + noise(1)) * WEIGHTS), rtol=1e-4)


def test_samples_are_clean():
    plain, gan = game(), game(augment=instance_noise(std=1.0, steps=10), pool=replay(size=8, share=1.0))
    (state, data), (ours, _) = begin(plain), begin(gan)
    rows = {"row": jnp.arange(8)}
    np.testing.assert_array_equal(gan.sample(ours, ours.key, rows), plain.sample(state, state.key, rows))
    close(fakes_of(gan)(ours, data, ours.key), fakes_of(plain)(state, data, state.key), rtol=0, atol=0)


def test_an_augmentation_reads_the_state():
    doubled = Augmentation(
        lambda x, keys, state: x * state.extra["pool"]["filled"],
        lambda state: {"strength": state.extra["pool"]["filled"]},
    )
    gan = showing(augment=doubled, pool=replay(size=40, share=0.0))
    state, data = begin(gan)
    loss = losses_of(gan, "critic")
    for filled in (0, BATCH):  # the state before the critic's update
        _, aux = loss(state, data, state.key)
        assert aux.metrics["strength"] == filled
        close(aux.metrics["seen_real"], filled * data["real"])
        state = state.replace(extra=aux.extra)


# Tests of pools.


@pytest.mark.parametrize("size", [40, 6])
def test_replay_keeps_the_last_fakes_and_shows_some(size):
    gan = showing(pool=replay(size=size, share=0.5))
    state, batch = begin(gan)
    loss, make = losses_of(gan, "critic"), fakes_of(gan)
    everything, replayed = np.zeros((0, 2)), 0
    for i in range(8):
        key = jax.random.fold_in(state.key, i)
        fresh, memory = np.asarray(make(state, batch, key)[0]), everything[-size:]
        _, aux = loss(state, batch, key)
        np.testing.assert_array_equal(aux.metrics["seen_real"], batch["real"])
        for one, new in zip(np.asarray(aux.metrics["seen_fake"]), fresh, strict=True):
            if not np.array_equal(one, new):
                assert (memory == one).all(1).any(), "neither fresh nor from the ring"
                replayed += 1
        everything = np.concatenate([everything, fresh])
        state = state.replace(extra=aux.extra)
        ring = state.extra["pool"]["samples"][0]
        held = np.asarray(ring)[: int(state.extra["pool"]["filled"])]
        assert {tuple(x) for x in held} == {tuple(x) for x in everything[-size:]}
        assert len(held) == len(everything[-size:])
    # Half of the 7 batches after the first are replayed, to within four standard deviations of the
    # binomial.
    assert abs(replayed - 3.5 * BATCH) < 4 * np.sqrt(7 * BATCH / 4)


def test_replay_of_nothing_is_the_game_itself():
    plain, gan = game(), game(pool=replay(size=8, share=0.0))
    (state, _), (ours, _) = begin(plain), begin(gan)
    step, our_step = jax.jit(stepper(plain)), jax.jit(stepper(gan))
    for seed in range(3):
        state, _ = step(state, points_batch(seed))
        ours, _ = our_step(ours, points_batch(seed))
    close((ours.critic.params, ours.generator.params), (state.critic.params, state.generator.params))


class Papers:
    """The pool of Zhu et al., which processes one sample after another."""

    def __init__(self, size):
        self.size, self.images = size, []

    def query(self, image, exchanged, place):
        if len(self.images) < self.size:
            self.images.append(image)
            return image
        if exchanged:
            past, self.images[place] = self.images[place], image
            return past
        return image


@functools.cache
def exchange_of(size):
    return jax.jit(history(size=size).exchange)


@given(
    size=st.sampled_from([3, 8, 50]),
    batch=st.sampled_from([1, 5, 16]),
    updates=st.integers(1, 7),
    seed=st.integers(0, 2**31),
)
def test_history_is_the_papers(size, batch, updates, seed):
    pool, papers = history(size=size), Papers(size)
    memory = pool.init((jnp.zeros((1, 2)), jnp.zeros(1, jnp.int32)))
    for update in range(updates):
        # Each fake is a point in the plane and a label, which must stay together.
        labels = np.arange(batch * update, batch * (update + 1), dtype=np.int32)
        fakes = np.stack([labels, -labels], 1).astype(np.float32) + 0.5, labels
        keys = latents.row_keys(jax.random.fold_in(jax.random.key(seed), update), jnp.arange(batch))
        draws = [jax.random.split(key) for key in keys]
        coins = [float(jax.random.uniform(whether)) < 0.5 for whether, _ in draws]
        places = [int(jax.random.randint(which, (), 0, size)) for _, which in draws]
        expected = [
            papers.query(label, coin, place)
            for label, coin, place in zip(labels, coins, places, strict=True)
        ]
        (shown, shown_labels), memory = exchange_of(size)(memory, fakes, keys)
        np.testing.assert_array_equal(shown_labels, expected)
        np.testing.assert_array_equal(shown[:, 0], shown_labels + 0.5)
        assert int(memory["filled"]) == len(papers.images)
        np.testing.assert_array_equal(memory["samples"][1][: len(papers.images)], papers.images)


def test_half_of_what_history_shows_is_past():
    pool, count = history(size=50), 4000
    fakes = jnp.arange(50 + count, dtype=jnp.float32)
    keys = latents.row_keys(jax.random.key(0), jnp.arange(50 + count))
    memory = pool.init(jnp.zeros(1))
    filling, memory = exchange_of(50)(memory, fakes[:50], keys[:50])
    np.testing.assert_array_equal(filling, fakes[:50])
    shown, _ = exchange_of(50)(memory, fakes[50:], keys[50:])
    past = np.asarray(shown) != fakes[50:]
    assert abs(past.sum() - count / 2) < 4 * np.sqrt(count / 4)
    assert len(np.unique(shown)) == count  # a shown image leaves the pool


@pytest.mark.parametrize("pool", [history(size=4), replay(size=4, share=0.5)], ids=["history", "replay"])
def test_gradients_flow_through_fresh_fakes_only(pool):
    keys = latents.row_keys(jax.random.key(0), jnp.arange(16))
    fakes = jnp.arange(16.0) + 1
    _, memory = pool.exchange(pool.init(fakes[:1]), -fakes, keys)
    shown, _ = pool.exchange(memory, fakes, keys)
    gradient = jax.grad(lambda x: jnp.sum(pool.exchange(memory, x, keys)[0]))(fakes)
    assert 0 < np.sum(np.asarray(shown) == fakes) < 16
    # In ``history``, a row may also get a fake that an earlier row of the same batch has stored.
    np.testing.assert_array_equal(gradient, np.asarray(shown) == fakes)


def replaying():
    return showing(pool=replay(size=8, share=1.0))


def remembering():
    return showing(pool=history(size=8))


@pytest.mark.parametrize("make", [replaying, remembering])
def test_only_the_critic_sees_past_fakes(make):
    gan = make()
    state, data = begin(gan)
    loss, of_generator, fresh_of = losses_of(gan, "critic"), losses_of(gan, "generator"), fakes_of(gan)
    for update in range(3):
        key = jax.random.fold_in(state.key, update)
        (fresh,) = fresh_of(state, data, key)
        _, aux = loss(state, data, key)
        # Penalties are computed at the samples that the critic saw.
        np.testing.assert_array_equal(aux.metrics["fake"], aux.metrics["seen_fake"])
        value, after = of_generator(state, data, key)
        np.testing.assert_allclose(value, np.sum(fresh * WEIGHTS), rtol=1e-4)
        jax.tree.map(np.testing.assert_array_equal, after.extra, state.extra)
        state = state.replace(extra=aux.extra)
    assert not np.array_equal(aux.metrics["seen_fake"], fresh)


def test_a_pool_moves_with_each_of_the_critics_updates():
    gan = game(pool=history(size=50))
    state, _ = begin(gan, n_critic=3)
    step = jax.jit(stepper(gan))
    for number in range(2):
        state, _ = step(state, points_batch(number, 3))
        assert int(state.extra["pool"]["filled"]) == min(50, 3 * BATCH * (number + 1))


def augmented():
    return game(augment=instance_noise(std=0.5, steps=10), pool=history(size=20))


def auto_encoding():
    return began(
        mlp.Generator((2,), (8,)),
        mlp.AutoEncoder((8,), code=1),
        gamma=0.4,
        lambda_k=0.05,
        generator_tx=optax.sgd(0.05),
        critic_tx=optax.sgd(0.05),
        prior=PRIOR,
        augment=instance_noise(std=0.5, steps=10),
        pool=replay(size=20, share=0.5),
    )


@pytest.mark.slow
@pytest.mark.parametrize("how", ["jit", "pmap"])
@pytest.mark.parametrize("make", [augmented, auto_encoding])
def test_eight_devices_agree_with_one(make, how):
    assert_devices_agree(make, how)


def test_began_keeps_its_pool_beside_k_and_reconstructs_what_it_sees():
    gan = auto_encoding()
    state, data = begin(gan)
    assert set(state.extra) == {"k", "pool"}
    state = state.replace(extra={**state.extra, "k": jnp.float32(0.5)})
    loss = losses_of(gan, "critic")
    _, first = loss(state, data, state.key)
    assert int(first.extra["pool"]["filled"]) == BATCH
    assert first.metrics["instance_noise"] == 0.5
    # The same fakes are passed again, but some of those shown now come from the ring.
    _, second = loss(state.replace(extra={**first.extra, "k": jnp.float32(0.5)}), data, state.key)
    assert first.metrics["real_reconstruction"] == second.metrics["real_reconstruction"]
    assert first.metrics["fake_reconstruction"] != second.metrics["fake_reconstruction"]
    _, aux = losses_of(gan, "generator")(state, data, state.key)
    jax.tree.map(np.testing.assert_array_equal, aux.extra, state.extra)
