"""Schedules of learning rates, decays and weights, which count training steps."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from jaxgan import optimizers, schedules
from jaxgan.errors import SetupError
from tests.conftest import with_optimizer
from tests.points import game, points_batch, stepper

LINEAR = {"schedule": "linear", "init_value": 1.0, "end_value": 0.0, "transition_steps": 100}


def test_a_section_becomes_optaxs_schedule():
    sections = {
        "linear": ({"init_value": 2.0, "end_value": 1.0, "transition_steps": 4}, optax.linear_schedule),
        "cosine": ({"init_value": 2.0, "decay_steps": 10}, optax.cosine_decay_schedule),
        "exponential": (
            {"init_value": 1.0, "transition_steps": 3, "decay_rate": 0.5},
            optax.exponential_decay,
        ),
        "polynomial": (
            {"init_value": 1.0, "end_value": 0.0, "power": 2, "transition_steps": 5},
            optax.polynomial_schedule,
        ),
        "warmup_cosine": (
            {"init_value": 0.0, "peak_value": 1.0, "warmup_steps": 2, "decay_steps": 9},
            optax.warmup_cosine_decay_schedule,
        ),
    }
    assert set(sections) == set(schedules.SCHEDULES)
    for name, (arguments, theirs) in sections.items():
        ours = schedules.build({"schedule": name, **arguments})
        for step in (0, 1, 7, 50):
            assert schedules.at(ours, step) == theirs(**arguments)(step)


def test_numbers_stay_numbers():
    traced = jnp.float32(3)
    assert schedules.build(0.5) == 0.5
    assert schedules.build(traced) is traced
    assert schedules.at(traced, 7) is traced


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"schedule": "liner"}, "unknown rate.schedule 'liner': did you mean 'linear' or 'cosine'?"),
        ({"init_value": 1.0}, "the config has no field rate.schedule: give linear, cosine, "),
        ({**LINEAR, "end": 0.0}, "unknown rate argument 'end': did you mean 'end_value'?"),
        ({**LINEAR, "init_value": "1"}, "config field rate.init_value is '1': give a number"),
        ({**LINEAR, "init_value": True}, "config field rate.init_value is True: give a number"),
        (
            {"schedule": "linear", "init_value": 1.0},
            "the config has no field rate.end_value: schedule linear needs one",
        ),
        ({"schedule": "cosine", "init_value": 1.0, "decay_steps": 0}, "config field rate: "),
    ],
)
def test_invalid_schedules_are_refused(section, message):
    with pytest.raises(SetupError) as error:
        schedules.build(section, "rate")
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def begin(tx, player, n_critic=1):
    gan, batch = game(), points_batch(n_critic=n_critic)
    return *with_optimizer(gan, gan.init(jax.random.key(0), batch), tx, player), batch


def test_a_rate_counts_the_games_steps_and_not_the_critics_updates():
    # The gradient is replaced by ones, so that each update subtracts the rate from every parameter.
    ones = optax.stateless(lambda updates, params: jax.tree.map(jnp.ones_like, updates))
    tx = optax.chain(ones, optimizers.build("sgd", learning_rate=LINEAR))
    gan, state, batch = begin(tx, "critic", n_critic=5)
    moved = {}
    for number in (0, 50, 100):
        now = state.replace(
            step=jnp.int32(number), critic=state.critic.replace(updates=jnp.int32(5 * number))
        )
        after, _ = jax.jit(stepper(gan))(now, batch)
        difference = jax.tree.map(lambda x, y: x - y, state.critic.params, after.critic.params)
        moved[number] = float(jax.tree.leaves(difference)[0].ravel()[0])
    # The rate is halved at step 50. By the critic's own count, 250, it would be 0 from step 20 on.
    np.testing.assert_allclose([moved[0], moved[50], moved[100]], [5.0, 2.5, 0.0], atol=1e-5)

    tx = optax.chain(ones, optax.sgd(optax.linear_schedule(1.0, 0.0, 100)))
    counted, own, _ = begin(tx, "critic", n_critic=5)
    step = jax.jit(stepper(counted))
    for _ in range(50):
        own, _ = step(own, batch)
    after, _ = step(own, batch)
    jax.tree.map(np.testing.assert_array_equal, after.critic.params, own.critic.params)


def adam_by_hand(gradients, rates, b1, b2s, eps=1e-8):
    """Computes Adam in float64 with a rate and a β2 per update; bias corrections count the updates."""
    p = m = v = 0.0
    for t, (g, rate, b2) in enumerate(zip(gradients, rates, b2s, strict=True), 1):
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        p -= rate * (m / (1 - b1**t)) / (np.sqrt(v / (1 - b2**t)) + eps)
    return p


def test_rates_and_b2_of_adam_may_be_schedules():
    rate = {"schedule": "linear", "init_value": 0.1, "end_value": 0.02, "transition_steps": 8}
    b2 = {"schedule": "cosine", "init_value": 0.99, "decay_steps": 20}
    tx = optimizers.build("adam", learning_rate=rate, b1=0.5, b2=b2)
    steps = [0, 1, 3, 4, 10, 30]
    gradients = np.random.default_rng(0).normal(size=(len(steps), 3))
    params = jnp.zeros(3)
    state, update = tx.init(params), jax.jit(tx.update)
    for step, gradient in zip(steps, gradients, strict=True):
        updates, state = update(jnp.float32(gradient), state, params, step=jnp.int32(step))
        params = optax.apply_updates(params, updates)
    rates, b2s = ([float(schedules.build(section)(step)) for step in steps] for section in (rate, b2))
    np.testing.assert_allclose(params, adam_by_hand(gradients, rates, 0.5, b2s), rtol=1e-4, atol=1e-6)


def test_an_optimiser_of_numbers_is_optaxs():
    ours, theirs = optimizers.build("adam", learning_rate=0.1, b1=0.5), optax.adam(0.1, b1=0.5)
    params, gradient = jnp.ones(3), jnp.array([1.0, -2.0, 0.5])
    states = ours.init(params), theirs.init(params)
    assert jax.tree.structure(states[0]) == jax.tree.structure(states[1])
    for step in (5, 3):
        (mine, one), (other, two) = (
            ours.update(gradient, states[0], params, step=jnp.int32(step)),
            theirs.update(gradient, states[1], params),
        )
        states = one, two
        np.testing.assert_array_equal(mine, other)


PARAMS = {"mapping": {"w": jnp.ones(2)}, "synthesis": {"w": jnp.ones(3), "b": {"c": jnp.ones(1)}}}


def test_groups_have_rates_of_their_own():
    slow = {"schedule": "linear", "init_value": 0.1, "end_value": 0.0, "transition_steps": 10}
    tx = optimizers.build("sgd", learning_rate=1.0, groups={"mapping": {"learning_rate": slow}}, clip=0.5)
    gradients = jax.tree.map(lambda x: jnp.full_like(x, 0.8), PARAMS)
    for step, rate in ((0, 0.1), (5, 0.05)):
        updates, _ = tx.update(gradients, tx.init(PARAMS), PARAMS, step=jnp.int32(step))
        after = optax.apply_updates(PARAMS, updates)
        # The parameters of all groups are clipped.
        np.testing.assert_allclose(after["mapping"]["w"], min(1 - 0.8 * rate, 0.5), rtol=1e-6)
        tx_free = optimizers.build("sgd", learning_rate=1.0, groups={"mapping": {"learning_rate": slow}})
        updates, _ = tx_free.update(gradients, tx_free.init(PARAMS), PARAMS, step=jnp.int32(step))
        np.testing.assert_allclose(updates["mapping"]["w"], -0.8 * rate, rtol=1e-6)
        for leaf in jax.tree.leaves(updates["synthesis"]):
            np.testing.assert_allclose(leaf, -0.8, rtol=1e-6)


def test_a_group_keeps_what_it_does_not_change():
    tx = optimizers.build("adam", learning_rate=0.1, b1=0.0, groups={"mapping": {"b2": 0.5}})
    plain = {
        "mapping": optax.adam(0.1, b1=0.0, b2=0.5),
        "synthesis": optax.adam(0.1, b1=0.0),
    }
    rng, params, state = np.random.default_rng(1), PARAMS, tx.init(PARAMS)
    states = {part: plain[part].init(PARAMS[part]) for part in plain}
    for _ in range(3):
        gradients = jax.tree.map(lambda x: jnp.float32(rng.normal(size=x.shape)), PARAMS)
        updates, state = tx.update(gradients, state, params, step=jnp.int32(0))
        for part in plain:
            expected, states[part] = plain[part].update(gradients[part], states[part])
            jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), updates[part], expected)


def test_groups_of_parameters_that_do_not_exist_are_refused():
    tx = optimizers.build("sgd", learning_rate=1.0, groups={"maping": {"learning_rate": 0.1}})
    with pytest.raises(SetupError, match="unknown group of parameters 'maping': did you mean 'mapping'"):
        tx.init(PARAMS)
    with pytest.raises(SetupError, match="unknown sgd argument 'rate'"):
        optimizers.build("sgd", learning_rate=1.0, groups={"mapping": {"rate": 0.1}})


def test_a_step_hands_groups_the_games_step():
    schedule = {"schedule": "linear", "init_value": 0.0, "end_value": 1.0, "transition_steps": 10}
    tx = optimizers.build("sgd", learning_rate=0.0, groups={"Dense_0": {"learning_rate": schedule}})
    gan, state, batch = begin(tx, "generator")
    step = jax.jit(stepper(gan))
    still, _ = step(state, batch)
    jax.tree.map(np.testing.assert_array_equal, still.generator.params, state.generator.params)
    state = still.replace(step=jnp.int32(5))
    after, _ = step(state, batch)
    before, moved = state.generator.params, after.generator.params
    jax.tree.map(np.testing.assert_array_equal, before["Dense_1"], moved["Dense_1"])
    assert not np.array_equal(before["Dense_0"]["kernel"], moved["Dense_0"]["kernel"])


def test_the_averages_decay_may_be_a_schedule():
    decay = schedules.build(
        {"schedule": "linear", "init_value": 0.0, "end_value": 0.9, "transition_steps": 90}
    )
    gan = game()
    batch = points_batch()
    state = gan.init(jax.random.key(0), batch)
    step = jax.jit(functools.partial(stepper(gan), ema_decay=decay))
    for number in (0, 30, 90, 200):
        # The average is moved away from the parameters, so that the decay has a visible effect.
        away = jax.tree.map(lambda x: x + 1.0, state.generator.ema_params)
        now = state.replace(step=jnp.int32(number), generator=state.generator.replace(ema_params=away))
        after, _ = step(now, batch)
        d = min(0.9 * min(number, 90) / 90, (1 + number) / (10 + number))
        expected = jax.tree.map(lambda a, p, d=d: d * a + (1 - d) * p, away, after.generator.params)
        jax.tree.map(
            functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5),
            after.generator.ema_params,
            expected,
        )
