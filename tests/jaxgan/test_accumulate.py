"""Tests that gradients over slices equal those of the whole batch, and that other cases are refused."""

import functools

import flax.linen as nn
import jax
import numpy as np
import optax
import pytest

from experiments.cli import config_files
from experiments.training import build
from jaxgan import layers, losses, parallel
from jaxgan.errors import SetupError
from jaxgan.gans import passes
from jaxgan.gans.began import began
from jaxgan.models import mlp
from jaxgan.regularizers import every, penalty
from jaxgan.remedies.history import historical_averaging
from jaxgan.remedies.pairs import top_k
from jaxgan.remedies.unrolling import unrolled
from jaxgan.steps import check_accumulate
from jaxgan.views.noise import instance_noise
from jaxgan.views.pool import history, replay
from tests.conftest import tiny_batch, tiny_gan
from tests.points import BATCH, PRIOR, game, points_batch, stepper

pytestmark = pytest.mark.xdist_group("accumulate")  # on one worker, so that each system is compiled once

CLOSE = functools.partial(np.testing.assert_allclose, rtol=2e-4, atol=2e-5)


class SpectralCritic(nn.Module):
    """A critic with a state that advances once in each update."""

    @nn.compact
    def __call__(self, x, train):
        x = nn.leaky_relu(layers.Dense(8, spectral=True)(x, train), 0.2)
        return layers.Dense(1, spectral=True)(x, train)[:, 0]


def spectral():
    """Returns a system with spectral state, penalties that draw, a lazy term's state and instance noise."""
    terms = {
        "gradient_penalty": penalty("gradient_penalty", weight=10.0),
        "r1": every(3, penalty("r1", weight=0.1)),
    }
    return game(
        loss=losses.get("wasserstein"),
        critic=SpectralCritic(),
        regularizers=terms,
        augment=instance_noise(std=0.3, steps=100),
    )


def balanced():
    """Returns a BEGAN, whose controller depends on the losses of the whole batch."""
    return began(
        mlp.Generator((2,), (8,)),
        mlp.AutoEncoder((8,), code=1),
        gamma=1.0,
        lambda_k=0.05,
        generator_tx=optax.sgd(0.05),
        critic_tx=optax.sgd(0.05),
        prior=PRIOR,
    )


@functools.cache
def trained(make, accumulate, how="one", n_critic=2, steps=3):
    gan = make()
    batches = [points_batch(seed, n_critic) for seed in range(steps)]
    state = gan.init(jax.random.key(3), batches[0])
    check_accumulate(gan, state, BATCH, accumulate, passes.MIXING)
    step = stepper(gan, accumulate=accumulate)
    if how == "pmap":
        step, state = parallel.pmap_step(step), parallel.copy_for_pmap(state, 2)
        for batch in batches:
            state, metrics = step(state, parallel.split_for_pmap(batch, 2))
        return jax.tree.map(lambda x: x[0], (state, metrics))
    step = jax.jit(step)
    for batch in batches:
        state, metrics = step(state, batch)
    return state, metrics


@pytest.mark.parametrize("accumulate", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_slices_are_the_whole(accumulate):
    (state, metrics), (expected, expected_metrics) = trained(spectral, accumulate), trained(spectral, 1)
    assert set(metrics) == set(expected_metrics)
    for name, value in metrics.items():
        CLOSE(value, expected_metrics[name], err_msg=name)
    for player in ("critic", "generator"):
        for part in ("params", "model_state", "opt_state"):
            ours, theirs = (getattr(getattr(x, player), part) for x in (state, expected))
            jax.tree.map(functools.partial(CLOSE, err_msg=f"{player} {part}"), ours, theirs)
        assert getattr(state, player).updates == getattr(expected, player).updates
    jax.tree.map(CLOSE, state.generator.ema_params, expected.generator.ema_params)
    jax.tree.map(CLOSE, state.extra, expected.extra)
    assert state.extra["lazy"]["r1"] > 0


@pytest.mark.slow
def test_slices_of_devices_are_the_whole():
    (state, metrics), (expected, expected_metrics) = trained(spectral, 4, "pmap"), trained(spectral, 1)
    jax.tree.map(CLOSE, metrics, expected_metrics)
    jax.tree.map(CLOSE, state.critic.params, expected.critic.params)
    jax.tree.map(CLOSE, state.generator.params, expected.generator.params)


@pytest.mark.slow
def test_a_slice_is_all_that_is_held_at_once():
    gan = spectral()
    batch = points_batch()
    batch = {name: np.repeat(values, 256, 1) for name, values in batch.items()}
    batch["row"] = np.arange(256 * BATCH, dtype=np.int32)[None]
    state = gan.init(jax.random.key(0), batch)
    peaks = [
        jax.jit(stepper(gan, accumulate=k))
        .lower(state, batch)
        .compile()
        .memory_analysis()
        .temp_size_in_bytes
        for k in (1, 8)
    ]
    assert peaks[1] < peaks[0] / 3


def refused(gan, batch, accumulate=2, batch_size=BATCH):
    state = jax.eval_shape(gan.init, jax.random.key(0), batch)
    with pytest.raises(SetupError) as error:
        check_accumulate(gan, state, batch_size, accumulate, passes.MIXING)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_batch_norm_is_refused():
    message = refused(tiny_gan(norm="layer", size=8), tiny_batch(size=8))
    assert message.startswith("accumulate 2: the generator mixes the samples of a batch (its collection")
    assert "'batch_stats'" in message


@pytest.mark.parametrize("kind", ["std", "discrimination"])
def test_a_layer_that_sees_the_batch_is_refused(kind):
    message = refused(game(critic=mlp.Critic((8,), minibatch=kind)), points_batch())
    assert "the critic mixes the samples of a batch (its collection 'minibatch')" in message


@pytest.mark.parametrize("pool", [history(size=8), replay(size=8, share=0.5)], ids=["history", "replay"])
def test_a_pool_is_refused(pool):
    message = refused(game(pool=pool), points_batch())
    assert "accumulate 2: the state ['pool']" in message
    assert message.endswith("give accumulate 1")


def test_averages_of_the_past_are_refused():
    message = refused(historical_averaging(game(), weight=0.1), points_batch())
    assert "['historical_averaging']" in message


def test_a_batch_that_cannot_be_cut_evenly_is_refused():
    message = refused(game(), points_batch(), accumulate=3)
    assert message == "accumulate 3 does not divide batch_size 16: give a divisor"
    state = jax.eval_shape(game().init, jax.random.key(0), points_batch())
    check_accumulate(game(), state, 15, 3, passes.MIXING)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: game(loss=losses.get("relativistic_average")), "a relativistic loss compares"),
        (lambda: game(feature_matching=True), "feature matching compares means"),
        (lambda: game(loss=top_k(losses.get("hinge"), share=0.5, decay=0.9)), "ranks the samples"),
        (lambda: unrolled(game(), steps=2), "unrolled updates are of the whole batch"),
        (balanced, "k follows the losses of the whole batch"),
    ],
)
def test_losses_that_see_the_batch_are_refused(make, why):
    assert why in refused(make(), points_batch())


def test_a_config_with_it_is_checked_before_any_work():
    values = config_files.load("gan_gaussians.py").values
    with values.unlocked():
        values.update({"accumulate": 7})
    with pytest.raises(SetupError, match="accumulate 7 does not divide batch_size"):
        build.build(values)
    with values.unlocked():
        values.update({"accumulate": 2, "pool": {"name": "history", "size": 8}})
    with pytest.raises(SetupError, match=r"accumulate 2: the state \['pool'\]"):
        build.build(values)
